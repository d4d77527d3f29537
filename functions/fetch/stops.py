"""Limits that end the reading of a feed, and rate limits that interrupt it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from imagelake.run.models import Progress, Stop
from imagelake.sources import RateLimit

# After this many waits, or if a rate limit lasts longer than this, the reading of the feed ends.
MAX_WAITS = 3
MAX_WAIT = timedelta(hours=6)
# Wait this long if the network does not say when its limit ends.
UNKNOWN_WAIT = timedelta(minutes=5)


def end_of_used_up_limit(rate: RateLimit | None) -> datetime | None:
    """Return the end of a rate limit that is used up."""
    return rate.reset_at if rate is not None and rate.remaining == 0 else None


def stopped(progress: Progress, limit: Stop) -> Progress:
    """Return the progress that ends at a limit."""
    return progress.model_copy(update={"status": "done", "stopped_by": limit, "limit": limit})


def wait_or_stop(progress: Progress, reset_at: datetime | None) -> Progress:
    """Return the progress that waits for the end of a rate limit, or that stops here if the end is too far away."""
    now = datetime.now(UTC)
    retry_at = reset_at or now + UNKNOWN_WAIT
    if progress.waits >= MAX_WAITS or retry_at - now > MAX_WAIT:
        return stopped(progress, Stop.RATE_LIMIT)
    # Networks state the end of the limit rounded down to a second, so wait one second more.
    until = (retry_at + timedelta(seconds=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return progress.model_copy(update={"status": "rate_limited", "retry_at": until, "waits": progress.waits + 1})
