"""Times in the forms that feeds use: ISO 8601, RFC 822 and what programs write instead of them.

A time is read completely or not at all. Otherwise, an unknown end such as ``PM`` would silently give a wrong hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from imagelake.sources import wire

_MAX_LENGTH = 120

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_WEEKDAY = r"(?:(?P<weekday>[^\W\d_]{2,12})\.?(?:,\s*|\s+))?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_TIME = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?:\s*(?P<half>[ap])\.?m\b\.?)?"
)
_ZONE = r"\s*(?P<zone>(?:[a-z+-].*)?)"
_BETWEEN = r"(?:,?\s+(?:at\s+)?)"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        # 2026-09-30 11:00:00 +02:00
        rf"{_YEAR}-(?P<number>\d\d)-{_DAY}(?:t|{_BETWEEN}){_TIME}{_ZONE}",
        # Wed, 30 Sep 2026 11:00:00 +0200, the form of RFC 822; also with dashes, or without a time
        rf"{_WEEKDAY}{_DAY}[\s-]+{_MONTH},?[\s-]+(?P<year>\d{{4}}|\d\d)(?:{_BETWEEN}{_TIME}{_ZONE})?",
        # September 30, 2026 9:00 AM; and of JavaScript: Wed Sep 30 2026 11:00:00 GMT+0200 (CEST)
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY},?\s+{_YEAR}(?:{_BETWEEN}{_TIME}{_ZONE})?",
        # Wed Sep 30 09:00:00 UTC 2026, of the command date; and of asctime, without a zone
        rf"{_WEEKDAY}{_MONTH}\s+{_DAY}\s+{_TIME}(?P<zone>(?:\s+[a-z+-][^\s]*)?)\s+{_YEAR}",
    )
)
# A comment of RFC 5322, or the name of a zone after its offset (RFC 9557).
_COMMENT = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])$")
_OFFSET = re.compile(r"(?:(?:gmt|utc?)\s*)?(?P<sign>[+-])(?P<hours>\d\d?)(?::?(?P<minutes>\d\d))?", re.IGNORECASE)
_NAME = re.compile(r"[a-z]{1,5}", re.IGNORECASE)
_REGION = re.compile(r"[A-Z][A-Za-z]{1,13}(?:/[A-Za-z][A-Za-z0-9_+-]{1,29}){1,2}")
# Hours from UTC: the names of RFC 822, then those with one meaning in the tz database, and two German ones.
_HOURS = {
    0: "ut utc gmt z wet",
    1: "bst cet met mez wat west",
    2: "cat cest eet mest mesz sast",
    3: "eat eest idt msk",
    5: "pkt",
    7: "wib",
    8: "awst hkt sgt wita",
    9: "jst kst wit",
    9.5: "acst",
    10: "aest",
    10.5: "acdt",
    11: "aedt",
    12: "nzst",
    13: "nzdt",
    -2.5: "ndt",
    -3: "adt",
    -3.5: "nst",
    -4: "ast edt",
    -5: "cdt est",
    -6: "cst mdt",
    -7: "mst pdt",
    -8: "akdt pst",
    -9: "akst",
    -10: "hst",
}
_NAMES = {name: timezone(timedelta(hours=hours)) for hours, names in _HOURS.items() for name in names.split()}
# Names for the time of the season.
_REGIONS = {
    "et": "America/New_York", "ct": "America/Chicago", "mt": "America/Denver", "pt": "America/Los_Angeles",
}  # fmt: skip
# India, Israel or Ireland.
_AMBIGUOUS = frozenset({"ist"})


def first_moment(texts: Iterable[Any], unreadable: list[str]) -> datetime | None:
    """Return the first time that can be read, and add the texts before it to ``unreadable``.

    Returns ``None`` if there is no time; raises ``ValueError`` if none of them can be read.
    """
    reason = None
    for text in texts:
        if text and isinstance(text, str):
            try:
                return moment(text)
            except ValueError as error:
                reason = reason or error
                unreadable.append(text)
    if reason is not None:
        raise reason
    return None


def moment(text: str) -> datetime:
    """Read a time and return it in UTC; raise ``ValueError`` if any part of it is not understood.

    A time without a zone is in UTC, and so is one with a name that is none of ours, as RFC 5322 says in section 4.3.
    """
    text = text.strip()
    try:
        return wire.moment(text)
    except ValueError as error:
        reason = str(error)
    read = _read(_COMMENT.sub("", text)) if len(text) <= _MAX_LENGTH else None
    if read is None:
        raise ValueError(f"date: {reason}")
    try:
        return wire.moment(read.isoformat())
    except ValueError as error:
        raise ValueError(f"date: {error}") from None


def _read(text: str) -> datetime | None:
    for form in _FORMS:
        if match := form.fullmatch(text):
            try:
                return _time(match.groupdict())
            except (ValueError, OverflowError):  # such as 31 February
                return None
    return None


def _time(parts: dict[str, str | None]) -> datetime:
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    if half := (parts["half"] or "").lower():
        if not 1 <= hour <= 12:
            raise ValueError("no hour of a clock with 12 hours")
        hour = hour % 12 + (12 if half == "p" else 0)
    # A leap second is the first one of the next minute.
    leap = second == 60
    fraction = (parts["fraction"] or "")[:6].ljust(6, "0")
    local = datetime(
        _year(parts["year"] or ""),
        _month(parts.get("number"), parts.get("month")),
        int(parts["day"] or ""),
        hour,
        minute,
        59 if leap else second,
        int(fraction),
    )
    return local.replace(tzinfo=_zone((parts["zone"] or "").strip())).astimezone(UTC) + timedelta(seconds=leap)


def _year(text: str) -> int:
    # https://www.rfc-editor.org/rfc/rfc5322#section-4.3
    return int(text) + (0 if len(text) == 4 else 2000 if int(text) < 50 else 1900)


def _month(number: str | None, name: str | None) -> int:
    if name is None:
        return int(number or "")
    name = name.lower()
    found = [month for month in _MONTHS if name in (month, month[:3]) or name == "sept" == month[:4]]
    return _MONTHS.index(found[0]) + 1 if found else 0


def _zone(text: str) -> tzinfo:
    if not text:
        return UTC
    if match := _OFFSET.fullmatch(text):
        hours, minutes = int(match["hours"]), int(match["minutes"] or 0)
        if hours > 23 or minutes > 59:
            raise ValueError("no offset from UTC")
        return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if match["sign"] == "-" else 1))
    text = _REGIONS.get(text.lower(), text)
    if _NAME.fullmatch(text) and text.lower() not in _AMBIGUOUS:
        return _NAMES.get(text.lower(), UTC)
    if _REGION.fullmatch(text):
        try:
            return ZoneInfo(text)
        except (OSError, LookupError):  # there is no such zone
            pass
    raise ValueError("an unknown zone")
