"""Spans of a feed's time, and those that a run has read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from imagelake.lake.coverage import second
from imagelake.run.models import FeedPlan
from imagelake.sources import Feed, get_source
from report.timeline import Timeline

_SECOND = timedelta(seconds=1)


class Span(NamedTuple):
    """The seconds from ``start`` on and before ``end``."""

    start: datetime
    end: datetime

    def without(self, other: Span | None) -> list[Span]:
        """Return what is left of this span: none, one or two pieces."""
        if other is None or other.end <= self.start or self.end <= other.start:
            return [self] if self.start < self.end else []
        pieces = (Span(self.start, other.start), Span(other.end, self.end))
        return [piece for piece in pieces if piece.start < piece.end]


def time_of(text: str) -> datetime | None:
    """Return the second of a time in a plan, ``None`` if the plan has no such time."""
    return second(text) if text else None


def look_back(feed: Feed | None) -> timedelta | None:
    """Return the time after which the network no longer lists a post; ``None`` if it always does."""
    return get_source(feed.source).manifest.lookback_of(feed).time if feed else None


def read_span(plan: FeedPlan, feed: Feed | None, start: datetime, before: Timeline) -> Span | None:
    """Return the span that a run has read without a hole; ``None`` if there is none.

    ``start`` is the start of the run, ``before`` is what earlier runs have covered.
    """
    asked, newest = time_of(plan.asked_from), time_of(plan.bookmark.newest_at)
    end = time_of(plan.asked_to) or start
    low: datetime | None
    if plan.limit is None:
        low = asked if plan.backfill else _low_of_whole(plan, feed, start, before)
    elif plan.backfill or asked is None or _is_newest_first(feed):
        low = _first_whole_second(plan)
    else:
        # The next run goes on at the newest post; others can be of the same second.
        end = min(newest or end, end)
        low = _low_of_whole(plan, feed, start, before) if newest else None
    return None if low is None else Span(min(low, end), end)


def unreported_span(plan: FeedPlan, feed: Feed | None, start: datetime, before: Timeline) -> Span | None:
    """Return what a run has read that was killed, or that failed later: its bookmark moved, but no plan was reported.

    ``None`` if that run may have left out posts: those that are billed, and those that a short listing has lost.
    """
    asked, known = time_of(plan.asked_from), before.bookmark_at
    if feed is None or plan.backfill or asked is None or known is None or asked <= known:
        return None
    manifest, lookback = get_source(feed.source).manifest, look_back(feed)
    if manifest.post_usd is not None or manifest.lookback_of(feed).posts is not None:
        return None
    low = max(known, start - lookback) if lookback else known
    return Span(low, asked) if low < asked else None


def _first_whole_second(plan: FeedPlan) -> datetime | None:
    """Return the second after the oldest post, because unread posts can be of the same second."""
    oldest = time_of(plan.oldest_at)
    return oldest + _SECOND if oldest else None


def _low_of_whole(plan: FeedPlan, feed: Feed | None, start: datetime, before: Timeline) -> datetime:
    """Return the begin of a listing that was read to the bookmark, or to its end."""
    asked, oldest, lookback = time_of(plan.asked_from), _first_whole_second(plan), look_back(feed)
    if asked is not None:
        # A bookmark can be later than the end of the feed's time: posts came while the run before was reading.
        is_reported = before.bookmark_at is None or asked <= before.bookmark_at
        low = min(asked, before.until or asked) if is_reported else asked
    elif before.begin is not None:
        low = before.begin
    else:
        low = start - lookback if lookback else min(time_of(plan.oldest_at) or start, start)
    if lookback is not None:
        low = max(low, min(start - lookback, oldest or start))
    return max(low, oldest) if oldest and _has_lost_posts(plan, feed, asked or before.begin) else low


def _has_lost_posts(plan: FeedPlan, feed: Feed | None, wanted: datetime | None) -> bool:
    """Tell if a listing of only the newest posts ended before it came to the second that is wanted."""
    oldest = time_of(plan.oldest_at)
    if feed is None or wanted is None or oldest is None or not _is_newest_first(feed):
        return False
    most = get_source(feed.source).manifest.lookback_of(feed).posts
    # Entries without a date have that of the feed. So posts of one time say nothing.
    return most is not None and plan.posts >= most and wanted < oldest and plan.oldest_at < plan.bookmark.newest_at


def _is_newest_first(feed: Feed | None) -> bool:
    return feed is None or get_source(feed.source).newest_first
