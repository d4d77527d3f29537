"""The time back to which a listing is read for certain, although single posts can be dated long before their place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from imagelake.run.models import Progress
from imagelake.sources import Page, Source

# A post in the second half of a page counts as backdated only if it is at least so much older than the one before it.
_LEAST_JUMP = timedelta(days=1)


def reach(progress: Progress, source: Source, page: Page, now: datetime) -> dict[str, str]:
    """Return how far back the listing is read after a page of this time, and when, as fields of ``Progress``."""
    begun_at = progress.begun_at or iso(now)
    return {"oldest_at": _oldest(progress, source, page, now), "listed_at": iso(now), "begun_at": begun_at}


def iso(time: datetime) -> str:
    """Write a time so that times are compared as texts."""
    # ``strftime`` writes years before 1000 with fewer digits.
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _oldest(progress: Progress, source: Source, page: Page, now: datetime) -> str:
    """Return the time of the oldest post so far that is in the order of the listing.

    A page without a bookmark of its own is in no order of time.
    """
    if page.newest is None:
        return progress.oldest_at
    times = [position.newest_at for position in page.positions or ()] or [post.posted_at for post in page.posts]
    times = times or [page.newest.newest_at]
    is_priced = source.manifest.post_usd is not None
    if is_priced or (progress.asked_from and not progress.backfill and not source.newest_first):
        oldest = iso(min([*times, page.newest.newest_at]))
        return min(oldest, progress.oldest_at or oldest)
    so_far = [datetime.fromisoformat(time) for time in (progress.newest_at, progress.oldest_at) if time]
    asked_from = datetime.fromisoformat(progress.asked_from) if progress.asked_from else None
    return iso(_oldest_in_order(so_far, [min(time, now) for time in times], asked_from))


def _oldest_in_order(so_far: list[datetime], times: list[datetime], asked_from: datetime | None) -> datetime:
    """Return the oldest time of a page, without those that are much older than their place in the listing."""
    pairs = list(pairwise(times))
    if sum(later > earlier for earlier, later in pairs) > len(pairs) / 2:
        # A few feeds have their newest entry at the end.
        times = times[::-1]
    # A post that is older than one behind it is out of order.
    ordered: list[datetime] = []
    for time in reversed(times):
        if not ordered or time >= ordered[-1]:
            ordered.append(time)
    ordered = [time for time in so_far if time > ordered[-1]] + ordered[::-1]
    # Behind the last posts is nothing to compare them with. One that has the time of the bookmark is in its place.
    for n in range(max(1, len(ordered) - max(1, len(times) // 2)), len(ordered)):
        before, time = ordered[n - 1], ordered[n]
        if before - time > max(_LEAST_JUMP, ordered[0] - before) and time != asked_from:
            return before
    return ordered[-1]
