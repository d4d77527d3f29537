"""The header ``Retry-After``: a number of seconds or a date (https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# The standard knows whole seconds only; some services send fractions.
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def retry_seconds(retry_after: str | None, date: str | None) -> float | None:
    """The seconds to wait, or ``None`` if the header is missing or makes no sense.

    A date in ``Retry-After`` counts from ``date``, the answer's ``Date``, because our clock may differ.
    """
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    until, now = http_date(text), http_date(date)
    return max((until - now).total_seconds(), 0.0) if until and now else None


def retry_time(retry_after: str | None, date: str | None) -> datetime | None:
    """The time by the server's clock at which to ask again, or ``None`` if the headers do not say."""
    text, now = (retry_after or "").strip(), http_date(date)
    if not _SECONDS.fullmatch(text):
        return http_date(text)
    try:
        return now + timedelta(seconds=float(text)) if now else None
    except OverflowError:
        return None


def http_date(text: str | None) -> datetime | None:
    """An HTTP date as an aware time in UTC, or ``None`` if it is missing or makes no sense."""
    try:
        time = parsedate_to_datetime(text or "")
        # The zone "-0000" gives a naive time, which HTTP defines as UTC.
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError, IndexError):  # the last two come out of email.utils
        return None
