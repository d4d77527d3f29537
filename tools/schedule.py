"""The longest pause between two runs of a schedule, from which the hours of ``NoGoodRunAlarm`` follow."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

# CloudWatch looks back seven days at most:
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
_MAX_HOURS = 168
# A start may be late, and a run takes its time.
_MARGIN_HOURS = 2
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# Long enough for each day of the year, a leap day included.
_FIRST, _DAYS = datetime(2027, 1, 1), 4 * 366


def no_good_run_hours(expression: str) -> int:
    """Return the hours without a good run that raise the alarm; 0, which is no alarm, for pauses of about a week."""
    pause = longest_pause(expression)
    hours = math.ceil(pause / timedelta(hours=1)) + _MARGIN_HOURS if pause is not None else 0
    return hours if hours <= _MAX_HOURS else 0


def longest_pause(expression: str) -> timedelta | None:
    """Return the longest pause of a rate or cron expression; ``None`` for one that has an end or a form not known here.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
    """
    if rate := _RATE.fullmatch(expression):
        return timedelta(**{f"{rate[2]}s": int(rate[1])})
    fields = expression.removeprefix("cron(").removesuffix(")").split()
    if not expression.startswith("cron(") or len(fields) != 6 or fields[5] not in ("*", "?"):
        return None
    try:
        times = list(_times(fields))
    except ValueError:
        return None
    return max((after - before for before, after in pairwise(times)), default=None)


def _times(fields: list[str]) -> Iterator[datetime]:
    minutes, hours = _values(fields[0], 0, 59), _values(fields[1], 0, 23)
    days, months = _values(fields[2], 1, 31), _values(fields[3], 1, 12, _MONTHS)
    weekdays = _values(fields[4], 1, 7, _WEEKDAYS)
    for number in range(_DAYS):
        day = _FIRST + timedelta(days=number)
        # In cron, Sunday is 1. In Python, Monday is 1.
        if day.day in days and day.month in months and day.isoweekday() % 7 + 1 in weekdays:
            yield from (day + timedelta(hours=hour, minutes=minute) for hour in hours for minute in minutes)


def _values(field: str, first: int, last: int, names: list[str] | None = None) -> list[int]:
    """List the values of a field; raise ``ValueError`` for ``L``, ``W`` and ``#``."""
    for number, name in enumerate(names or [], first):
        field = field.upper().replace(name, str(number))
    values: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        low, dash, high = ("1", "-", "") if span in ("*", "?") else span.partition("-")
        start, end = (first, last) if span in ("*", "?") else (int(low), int(high) if dash else int(low))
        values |= set(range(start, last + 1 if step and not dash else end + 1, int(step or 1)))
    return sorted(value for value in values if first <= value <= last)
