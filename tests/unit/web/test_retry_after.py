"""Retry-After: seconds, dates by the server's own clock, and nothing for what makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.web.retry_after import http_date, retry_seconds, retry_time

DATE = "Thu, 01 Oct 2026 12:00:00 GMT"
HOUR_LATER, HOUR_EARLIER = "Thu, 01 Oct 2026 13:00:00 GMT", "Thu, 01 Oct 2026 11:00:00 GMT"
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("0", None, 0), ("90", None, 90), (" 90 ", DATE, 90), ("3.5", None, 3.5), ("007", None, 7),
        (HOUR_LATER, DATE, 3600), (HOUR_EARLIER, DATE, 0), (HOUR_LATER, None, None), (HOUR_LATER, "noon", None),
        ("Thursday, 01-Oct-26 13:00:00 GMT", DATE, 3600), ("Thu Oct  1 13:00:00 2026", DATE, 3600),
        ("Thu, 01 Oct 2026 13:00:00 -0000", DATE, 3600), ("Thu, 01 Oct 2026 13:00:00 +0100", DATE, 0),
        (None, DATE, None), ("", DATE, None), ("soon", DATE, None), ("-5", DATE, None), ("+5", DATE, None),
        ("1e3", DATE, None), ("nan", DATE, None), ("inf", DATE, None), ("5 s", DATE, None), (".5", DATE, None),
        ("\u0665", DATE, None), ("9" * 400, None, float("inf")),
    ],
)  # fmt: skip
def test_seconds_to_wait(value: str | None, date: str | None, seconds: float | None) -> None:
    assert retry_seconds(value, date) == seconds


@pytest.mark.parametrize(
    ("value", "date", "time"),
    [
        ("90", DATE, NOON.replace(minute=1, second=30)), ("90", None, None), (HOUR_LATER, None, NOON.replace(hour=13)),
        ("soon", DATE, None), (None, DATE, None), ("9" * 30, DATE, None), ("9" * 400, DATE, None),
    ],
)  # fmt: skip
def test_time_to_ask_again(value: str | None, date: str | None, time: datetime | None) -> None:
    assert retry_time(value, date) == time


@given(st.text(), st.text())
def test_any_text_gives_a_result_and_no_error(value: str, date: str) -> None:
    seconds, time = retry_seconds(value, date), retry_time(value, date)
    assert seconds is None or seconds >= 0
    assert time is None or time.tzinfo is UTC


@pytest.mark.parametrize("text", ["Fri, 31 Dec 9999 23:00:00 -2300", None, ""])
def test_date_outside_of_the_calendar_is_none(text: str | None) -> None:
    assert http_date(text) is None
