"""Figures of a lake for the tests of the page that shows them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

from report.glance import FeedDay, FeedGlance, Glance, LakeDay
from report.glance_images import Thumbnail
from tests.support.factories import jpeg

UNTIL = datetime(2026, 4, 30, 5, tzinfo=UTC)
SRC = "data:image/jpeg;base64," + base64.b64encode(jpeg()).decode()


def day(ago: int) -> str:
    """The day that was so many days before the last run."""
    return (UNTIL - timedelta(days=ago)).date().isoformat()


def thumbnail(number: int, alt: str = "A cat", permalink: str | None = "https://example.org/p") -> Thumbnail:
    return Thumbnail(media_id=f"media-{number}", source="rss", dt=day(0), alt=alt, permalink=permalink, src=SRC)


def glance_of(*names: str, alt: str = "A cat") -> Glance:
    """A lake whose feeds have every kind of day and of state; two days had no run."""
    days = {day(ago): LakeDay(runs=2, not_ok=ago % 2, usd_networks=0.5, usd_aws=0.25) for ago in range(30)}
    del days[day(7)], days[day(8)]
    states = ("complete", "no_activity", "gap", "failed", "not_requested")
    feeds = {
        f"feed-{number}": FeedGlance(
            name=name,
            state=states[number % len(states)],
            silent=number % 7 == 6,
            run_at=UNTIL,
            days={
                one: FeedDay(images=1_000_000 * (at % 5), missing=at % 3, not_read=at % 4 == 3)
                for at, one in enumerate(days)
            },
            gaps=[(UNTIL - timedelta(days=3), UNTIL - timedelta(days=1))] if number % len(states) == 2 else [],
        )
        for number, name in enumerate(names)
    }
    return Glance(
        since=UNTIL - timedelta(days=99),
        until=UNTIL,
        last_run="daily-2026-04-30",
        runs=100,
        images=1_234_567_890,
        image_bytes=10**14,
        days=days,
        months={"2026-03": LakeDay(usd_networks=12_345.678), "2026-04": LakeDay(usd_aws=0.004)},
        feeds=feeds,
        newest=[thumbnail(number, alt) for number in range(24)],
    )
