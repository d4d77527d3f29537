"""The lake at a glance: what is known of the last thirty days, and how one more run changes it; nothing is read here.

A day is the day, in UTC, on which a run started.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import TypeVar

from pydantic import Field

from imagelake.lake.coverage import CoverageRow, RunRow, Second, State
from imagelake.run.frozen_model import FrozenModel
from report.glance_images import Thumbnail, newest_first
from report.spans import Span

DAYS = 30
_MONTHS = 13
# A report that is repeated after so many other runs would be counted twice.
_RUNS_KNOWN = 2000
# A feed with more gaps in thirty days shows the newest ones.
_MAX_GAPS = 100
Value = TypeVar("Value")


class FeedDay(FrozenModel):
    """One day of one feed: its new images, its failed and rejected items, and the runs that could not read it."""

    images: int = 0
    missing: int = 0
    not_read: int = 0


class LakeDay(FrozenModel):
    """One day, or one month, of all feeds."""

    runs: int = 0
    # Runs that were partial or failed.
    not_ok: int = 0
    usd_networks: float = 0.0
    usd_aws: float = 0.0

    def plus(self, run: RunRow) -> LakeDay:
        """Add a run."""
        return LakeDay(
            runs=self.runs + 1,
            not_ok=self.not_ok + (run.outcome != "ok"),
            usd_networks=round(self.usd_networks + run.usd_networks, 6),
            usd_aws=round(self.usd_aws + run.usd_aws, 6),
        )


class FeedGlance(FrozenModel):
    """The last thirty days of one feed, and its state after its last run."""

    name: str
    state: State
    silent: bool
    # Start of the last run with this feed.
    run_at: Second
    days: dict[str, FeedDay] = Field(default_factory=dict)
    # Start and end of what no run has read.
    gaps: list[tuple[Second, Second]] = Field(default_factory=list)


class Glance(FrozenModel):
    """Everything that the page shows."""

    # Start of the first run that is counted, and of the last one.
    since: Second | None = None
    until: Second | None = None
    last_run: str = ""
    runs: int = 0
    images: int = 0
    image_bytes: int = 0
    days: dict[str, LakeDay] = Field(default_factory=dict)
    months: dict[str, LakeDay] = Field(default_factory=dict)
    feeds: dict[str, FeedGlance] = Field(default_factory=dict)
    newest: list[Thumbnail] = Field(default_factory=list)
    # Runs that are counted, the newest at the end.
    counted: list[str] = Field(default_factory=list)

    @property
    def dates(self) -> list[str]:
        """The thirty days up to the last run; empty before the first one."""
        if self.until is None:
            return []
        last = self.until.date()
        return [(last - timedelta(days=ago)).isoformat() for ago in reversed(range(DAYS))]


def with_run(
    before: Glance, run: RunRow, rows: Iterable[CoverageRow], image_bytes: int, thumbnails: list[Thumbnail]
) -> Glance:
    """Add a run unless it is counted already."""
    if run.run_id in before.counted:
        return before
    day, is_last = run.started_at.date().isoformat(), before.until is None or run.started_at >= before.until
    until = run.started_at if is_last else before.until
    assert until is not None
    first = (until.date() - timedelta(days=DAYS - 1)).isoformat()
    feeds = before.feeds | {row.feed_id: _feed(before.feeds.get(row.feed_id), row, day) for row in rows}
    month = day[:7]
    return Glance(
        since=min(filter(None, (before.since, run.started_at))),
        until=until,
        last_run=run.run_id if is_last else before.last_run,
        runs=before.runs + 1,
        images=before.images + run.ok,
        image_bytes=before.image_bytes + image_bytes,
        days=_from(before.days | {day: before.days.get(day, LakeDay()).plus(run)}, first),
        months=_newest_months(before.months | {month: before.months.get(month, LakeDay()).plus(run)}),
        feeds={feed_id: kept for feed_id, feed in feeds.items() if (kept := _recent(feed, first)) is not None},
        newest=newest_first(thumbnails, before.newest),
        counted=[*before.counted, run.run_id][-_RUNS_KNOWN:],
    )


def gap_days(feed: FeedGlance) -> set[str]:
    """Return the days of which something is not read."""
    found = set()
    for start, end in feed.gaps:
        last = (end - timedelta(seconds=1)).date()
        first = max(start.date(), last - timedelta(days=2 * DAYS))
        found |= {(first + timedelta(days=days)).isoformat() for days in range((last - first).days + 1)}
    return found


def _feed(before: FeedGlance | None, row: CoverageRow, day: str) -> FeedGlance:
    days = before.days if before else {}
    known = days.get(day, FeedDay())
    counted = FeedDay(
        images=known.images + row.ok,
        missing=known.missing + row.failed + row.rejected,
        not_read=known.not_read + (row.state == "failed"),
    )
    # A run that requests nothing of a feed does not know its state.
    is_old = before is not None and (row.state == "not_requested" or row.requested_end < before.run_at)
    return FeedGlance(
        name=row.feed,
        state=before.state if before and is_old else row.state,
        silent=before.silent if before and is_old else row.silent,
        run_at=max(before.run_at, row.requested_end) if before else row.requested_end,
        days=days | {day: counted},
        gaps=_gaps(before.gaps if before else [], row),
    )


def _gaps(before: Iterable[tuple[datetime, datetime]], row: CoverageRow) -> list[tuple[datetime, datetime]]:
    """Return what is not read after a run: also what nobody can read any more."""
    spans = [Span(*gap) for gap in before]
    if row.gap_start and row.gap_end:
        spans.append(Span(row.gap_start, row.gap_end))
    for start, end in ((row.read_start, row.read_end), (row.unreported_start, row.unreported_end)):
        if start and end:
            spans = [rest for span in spans for rest in span.without(Span(start, end))]
    return [(span.start, span.end) for span in sorted(spans)[-_MAX_GAPS:]]


def _recent(feed: FeedGlance, first: str) -> FeedGlance | None:
    """Return the days of a feed from ``first`` on; ``None`` if there are none."""
    days = _from(feed.days, first)
    if not days:
        return None
    start = date.fromisoformat(first)
    return feed.model_copy(update={"days": days, "gaps": [gap for gap in feed.gaps if gap[1].date() >= start]})


def _from(days: Mapping[str, Value], first: str) -> dict[str, Value]:
    return {day: days[day] for day in sorted(days) if day >= first}


def _newest_months(months: Mapping[str, LakeDay]) -> dict[str, LakeDay]:
    return {month: months[month] for month in sorted(months)[-_MONTHS:]}
