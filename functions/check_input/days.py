"""The day of a run, and the days that Athena finds."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

# The range of ``projection.dt`` in the Glue table: Athena shows no row of another day.
FIRST_DAY = date(2026, 1, 1)
DAYS_AHEAD = 1

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


def read_day(text: str) -> date:
    """Read a day; raise ``ValueError`` with a sentence if there is no such day."""
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("it has to be a day of the calendar, such as 2026-04-01")


def read_time(value: object) -> datetime:
    """Read a time that states its time zone; raise ``ValueError`` with a sentence for anything else."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is not None and match[1] is None:
        raise ValueError("it has to state its time zone, in a time such as 2026-04-01T05:00:00Z")
    try:
        if match is not None:
            return datetime.fromisoformat(match[0])
    except ValueError:
        pass
    raise ValueError("it has to be a time such as 2026-04-01T05:00:00Z")


def day_at(time: datetime, time_zone: str) -> date:
    """Return the day of a time in a time zone; raise ``ValueError`` with a sentence if no year has it."""
    try:
        return time.astimezone(ZoneInfo(time_zone)).date()
    except OverflowError:
        raise ValueError("it has to be in the years 1 to 9999 in every time zone") from None


def check_day(day: date, started_at: datetime) -> None:
    """Raise ``ValueError`` with a sentence for a day whose rows Athena would never show."""
    last = started_at.astimezone(UTC).date() + timedelta(days=DAYS_AHEAD)
    if not FIRST_DAY <= day <= last:
        raise ValueError(
            f"the day {day} is not from {FIRST_DAY} to {last} (one day after the start of the run); Athena shows"
            " no other days"
        )
