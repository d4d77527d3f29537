"""Dates of feeds: read completely, or not at all."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.sources.dates import first_moment, moment
from tests.support.feed_bodies import item, json_feed, json_item, only, page, rss
from tests.support.json_mutations import FIXED

NINE = datetime(2026, 9, 30, 9, tzinfo=UTC)
DAY = "Wed, 30 Sep 2026"


@pytest.mark.parametrize(
    "zone",
    [
        # RFC 822, section 5.1, and RFC 5322, section 4.3
        "11:00:00 +0200", "09:00:00 GMT", "09:00:00 UT", "09:00:00 Z", "05:00:00 EDT", "04:00:00 EST", "01:00:00 PST",
        "11:00:00 +0200 (CEST)", "09:00:00 -0000", "09:00 +0000",
        # RFC 3339, section 5.6: with a colon
        "11:00:00 +02:00", "11:00:00+02:00", "14:45:00 +05:45", "05:00:00 -04:00",
        # POSIX and JavaScript write a name before the offset: https://tc39.es/ecma262/#sec-todatestring
        "10:00:00 GMT+0100", "11:00:00 GMT+0200 (Central European Summer Time)", "11:00:00 UTC+2", "06:00:00 UTC-3",
        "11:00:00 UTC +02:00", "14:30:00 GMT+5:30",
        # names of the tz database: https://www.iana.org/time-zones
        "11:00:00 Europe/Berlin", "14:30:00 Asia/Kolkata", "05:00:00 America/New_York",
        "06:00:00 America/Argentina/Salta",
        "11:00:00 CEST", "10:00:00 BST", "18:00:00 JST", "19:00:00 AEST", "05:00:00 ET",
        # a clock of twelve hours
        "09:00:00 AM GMT", "9:00 am", "11:00:00 AM +0200", "09:00:00AM", "9:00 a.m. GMT", "04:00:00 PM +0700",
        "5:00 AM EDT", "01:00:00 p.m. UTC+4", "12:00:00 PM UTC+3",
    ],
)  # fmt: skip
def test_time_when_its_zone_is_known_is_in_utc(zone: str) -> None:
    assert moment(f"{DAY} {zone}") == NINE


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("Wed, 30 Sep 2026 08:28:28 PM", "2026-09-30T20:28:28"),
        ("Wed, 30 Sep 2026 12:28 AM", "2026-09-30T00:28:00"),
        ("Wed, 30 Sep 2026 12:28 PM", "2026-09-30T12:28:00"),
        # ISO 8601, with a space or a zone as text
        ("2026-09-30 11:00:00 +02:00", "2026-09-30T09:00:00"),
        ("2026-09-30T11:00:00 +0200", "2026-09-30T09:00:00"),
        ("2026-09-30T11:00:00+02:00[Europe/Berlin]", "2026-09-30T09:00:00"),
        ("2026-09-30 09:00:00 UTC", "2026-09-30T09:00:00"),
        ("2026-09-30 11:00 Europe/Berlin", "2026-09-30T09:00:00"),
        ("2026-09-30 08:28:28 PM", "2026-09-30T20:28:28"),
        ("2026-9-30 9:00:00", None),
        # A day in a zone begins at midnight there: https://www.w3.org/TR/xmlschema11-2/#date
        ("2026-09-30+02:00", "2026-09-29T22:00:00"),
        ("2026-09-30-05:00", "2026-09-30T05:00:00"),
        ("2026-09-30+05:45", "2026-09-29T18:15:00"),
        ("2026-09-30Z", "2026-09-30T00:00:00"),
        # RFC 3339, section 5.6: T and Z may be lower case, and a space may stand for T. No other sign may.
        ("2026-09-30t09:00:00z", "2026-09-30T09:00:00"),
        ("20260930T110000+0200", "2026-09-30T09:00:00"),
        ("2026-W40-3T09:00Z", "2026-09-30T09:00:00"),
        ("2026-09-30T11+02", "2026-09-30T09:00:00"),
        ("2026-09-30P11:00", None),
        ("2026-09-30_11:00", None),
        ("2026-09-30+11:00:00", None),
        ("2026-09-30-11:00:00Z", None),
        ("2026-09-30/11:00", None),
        ("2026-09-30\u300011:00", None),
        ("2026-W40-3+02:00", None),
        ("2026-W40-3-05:00", None),
        ("20260930+0200", None),
        ("20260930-05:00", None),
        ("2026-09-30+0200", None),
        ("2026-09-30+25:00", None),
        # JavaScript's Date.toString, date(1), asctime and what blogs write
        ("Wed Sep 30 2026 11:00:00 GMT+0200 (Central European Summer Time)", "2026-09-30T09:00:00"),
        ("Wed Sep 30 11:00:00 CEST 2026", "2026-09-30T09:00:00"),
        ("Wed Sep 30 09:00:00 +0000 2026", "2026-09-30T09:00:00"),
        ("Wed Sep 30 09:00:00 2026", "2026-09-30T09:00:00"),
        ("September 30, 2026 9:00 AM", "2026-09-30T09:00:00"),
        ("Sep 30th, 2026 at 9:00 AM", "2026-09-30T09:00:00"),
        ("Wednesday, 30 September 2026 09:00:00 GMT", "2026-09-30T09:00:00"),
        ("Wednesday, 30-Sep-26 09:00:00 GMT", "2026-09-30T09:00:00"),
        ("30 Sep 2026", "2026-09-30T00:00:00"),
        # the summer time of the region decides: https://www.iana.org/time-zones
        ("Wed, 30 Dec 2026 10:00:00 Europe/Berlin", "2026-12-30T09:00:00"),
        # the minute of a leap second: RFC 3339, section 5.7
        ("Sat, 31 Dec 2016 23:59:60 GMT", "2017-01-01T00:00:00"),
        # years of two digits: RFC 5322, section 4.3
        ("30 Sep 26 09:00 GMT", "2026-09-30T09:00:00"),
        ("30 Sep 99 09:00 GMT", "1999-09-30T09:00:00"),
        ("Wed, 30 Sep 2026 09:00:00.25 GMT", "2026-09-30T09:00:00.250"),
        # not read completely
        ("Wed, 30 Sep 2026 11:00:00 +2500", None),
        ("Wed, 30 Sep 2026 11:00:00 +02:75", None),
        ("Wed, 30 Sep 2026 11:00:00 UTC+", None),
        ("Wed, 30 Sep 2026 11:00:00 Europe/Atlantis", None),
        ("Wed, 30 Sep 2026 11:00:00 Europe", None),
        ("Wed, 30 Sep 2026 11:00:00 ../Berlin", None),
        ("Wed, 30 Sep 2026 11:00:00 Mitteleuropäische Zeit", None),
        ("Wed, 30 Sep 2026 11:00:00 IST", None),
        ("Wed, 30 Sep 2026 13:00:00 PM", None),
        ("Wed, 30 Sep 2026 00:00:00 PM", None),
        ("Wed, 30 Sep 2026 25:00:00 GMT", None),
        ("Thu, 31 Sep 2026 09:00:00 GMT", None),
        ("Wed, 30 Foo 2026 09:00:00 GMT", None),
        ("30/09/2026 09:00", None),
        ("09/10/2026", None),
        ("2026-09", None),
        ("1790758800", None),
        ("yesterday", None),
        ("", None),
        (f"{DAY} 09:00:00 GMT {'x' * 1_000_000}", None),
    ],
)
def test_time_when_written_in_any_way_is_read_completely_or_not_at_all(text: str, utc: str | None) -> None:
    if utc is None:
        with pytest.raises(ValueError, match=r"^date: "):
            moment(text)
    else:
        assert moment(text) == datetime.fromisoformat(utc).replace(tzinfo=UTC)


MOMENTS = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30)).map(lambda at: at.replace(microsecond=0))
OFFSETS = st.integers(-14 * 60, 14 * 60)


@FIXED
@given(MOMENTS, OFFSETS)
def test_time_when_written_by_programs_is_the_same_time(at: datetime, minutes: int) -> None:
    """All forms of one time are that time, which Python's own libraries write."""
    local = at.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    sign, rest = ("-" if minutes < 0 else "+"), divmod(abs(minutes), 60)
    with_colon, plain = f"{sign}{rest[0]:02}:{rest[1]:02}", f"{sign}{rest[0]:02}{rest[1]:02}"
    day = f"{at:%a, %d %b} {at.year:04}"
    for text in (
        format_datetime(local), local.isoformat(), local.isoformat(" "),
        f"{day} {at:%H:%M:%S} {with_colon}", f"{day} {at:%I:%M:%S %p} {plain}", f"{day} {at:%H:%M:%S} GMT{plain}",
        f"{at:%a %b %d} {at.year:04} {at:%H:%M:%S} UTC{with_colon} (x)", f"{at:%a %b %d %H:%M:%S} {plain} {at.year:04}",
        f"{at:%B %d}, {at.year:04} {at:%I:%M:%S %p} {plain}", f"{at.date()} {at:%H:%M:%S} {with_colon}",
    ):  # fmt: skip
        if 1970 <= local.astimezone(UTC).year <= 2200:
            assert moment(text) == local, text


@FIXED
@given(st.text(st.sampled_from("0123456789:+-., TZGMTUCwedSsepAPM/()[]\u0660é"), max_size=60))
def test_time_of_any_text_is_a_time_or_an_error(text: str) -> None:
    for written in (text, f"{DAY} {text}", f"{DAY} 09:00:00{text}", f"2026-09-30 09:00{text}"):
        with suppress(ValueError):
            assert moment(written).tzinfo is UTC


@pytest.mark.parametrize("unit", ["9", "a", " ", "-", "(", "1:", "Wed, "])
def test_time_of_a_long_text_takes_linear_time(unit: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match="date: "):
        moment(unit * (1_000_000 // len(unit)))
    assert time.process_time() - started < 5


def test_first_time_that_can_be_read_counts() -> None:
    unreadable: list[str] = []
    assert first_moment([None, "", "soon", 5, "2026-09-30T09:00:00Z", "x"], unreadable) == NINE
    assert unreadable == ["soon"]
    assert first_moment([None, ""], unreadable) is None
    with pytest.raises(ValueError, match="date: not a time"):
        first_moment(["soon", "x"], unreadable)


@pytest.mark.parametrize("text", ["soon", f"{DAY} 11:00:00 Middle Europe", f"{DAY} 13:00 PM", "30/09/2026"])
def test_entry_when_its_date_cannot_be_read_has_the_next_one(text: str) -> None:
    """An unreadable date counts as a missing one, which has the time of the feed: docs/networks.md."""
    about = f"<lastBuildDate>{DAY} 09:00:00 GMT</lastBuildDate>"
    assert only(rss(item(when=f"<pubDate>{text}</pubDate>"), about=about)).posted_at == NINE
    assert only(json_feed(json_item(date_published=text, date_modified="2026-09-30T09:00:00Z"))).posted_at == NINE
    (reject,) = page(rss(item(when=f"<pubDate>{text}</pubDate>"))).rejects
    assert reject.reason.startswith("date: not a time")


@pytest.mark.parametrize("text", ["10:00:00 +01:00", "10:00:00 GMT+0100", "11:00:00 UTC+2", "11:00:00 Europe/Berlin"])
def test_entry_when_its_offset_is_unusual_has_the_right_hour(text: str) -> None:
    assert only(rss(item(when=f"<pubDate>{DAY} {text}</pubDate>"))).posted_at == NINE
    assert only(json_feed(json_item(date_published=f"{DAY} {text}"))).posted_at == NINE
