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


def listed_from(plan: FeedPlan, feed: Feed | None, start: datetime) -> datetime | None:
    """Return the begin of what the network listed when the last page was read; ``None`` if it always lists all."""
    lookback = look_back(feed)
    return (time_of(plan.listed_at) or start) - lookback if lookback else None


def read_span(plan: FeedPlan, feed: Feed | None, start: datetime, before: Timeline) -> Span | None:
    """Return the span that a run has read without a hole; ``None`` if there is none.

    ``start`` is the start of the run, ``before`` is what earlier runs have covered.
    """
    if plan.backfill and not plan.pages:
        return None
    asked, newest = time_of(plan.asked_from), time_of(plan.bookmark.newest_at)
    end = time_of(plan.asked_to) or start
    low: datetime | None
    if plan.limit is None:
        low = _low_of_whole(plan, feed, start, before)
    elif plan.backfill or asked is None or _is_newest_first(feed):
        low = _first_whole_second(plan)
    else:
        # The next run goes on at the newest post; others can be of the same second.
        end = min(newest or end, end)
        low = _low_of_whole(plan, feed, start, before) if newest else None
    return None if low is None else Span(min(low, end), end)


def unreported_span(plan: FeedPlan, feed: Feed | None, start: datetime, before: Timeline) -> Span | None:
    """Return what earlier runs have read, as the bookmark or the position of the backfill shows.

    A run that was killed, or that failed later, moved them, but its plan was not reported. ``None`` if such a run may
    have left out posts: those that are billed, and those that a short listing has lost.
    """
    if plan.backfill:
        return _backfilled(plan, feed)
    asked, known = time_of(plan.asked_from), before.bookmark_at
    if feed is None or asked is None or known is None or asked <= known:
        return None
    manifest, lookback = get_source(feed.source).manifest, look_back(feed)
    if manifest.post_usd is not None or manifest.lookback_of(feed).posts is not None:
        return None
    low = max(known, start - lookback) if lookback else known
    return Span(low, asked) if low < asked else None


def _backfilled(plan: FeedPlan, feed: Feed | None) -> Span | None:
    """Return what the runs of a backfill have read together; they leave out nothing."""
    position = plan.backfill_position
    low, end = _second_after(position.reached_to), time_of(position.begun_at)
    if low is None or end is None:
        return None
    asked = time_of(plan.asked_from)
    if position.is_at_end and asked is not None and feed is not None and _lists_all(feed):
        low = min(low, asked)
    return Span(low, end) if low < end else None


def _lists_all(feed: Feed) -> bool:
    lookback = get_source(feed.source).manifest.lookback_of(feed)
    return lookback.time is None and lookback.posts is None


def _second_after(time: str) -> datetime | None:
    """Return the second after a post, because unread posts can be of the same second."""
    second = time_of(time)
    return second + _SECOND if second else None


def _first_whole_second(plan: FeedPlan) -> datetime | None:
    return _second_after(plan.oldest_at)


def _low_of_whole(plan: FeedPlan, feed: Feed | None, start: datetime, before: Timeline) -> datetime:
    """Return the begin of a listing that was read to the bookmark, to the day of a backfill, or to its end."""
    asked, oldest, listed = time_of(plan.asked_from), _first_whole_second(plan), listed_from(plan, feed, start)
    if asked is not None and plan.backfill:
        low = min(asked, oldest or asked)
    elif asked is not None:
        # A bookmark can be later than the end of the feed's time: posts came while the run before was reading.
        known = before.bookmark_at or before.until
        low = min(asked, before.until or asked) if known is None or asked <= known else asked
    elif before.begin is not None:
        low = min(before.begin, oldest or before.begin)
    else:
        low = listed or min(time_of(plan.oldest_at) or start, start)
    if listed is not None:
        low = max(low, min(listed, oldest or start))
    return max(low, oldest or start) if _has_lost_posts(plan, feed, asked or before.begin) else low


def _has_lost_posts(plan: FeedPlan, feed: Feed | None, wanted: datetime | None) -> bool:
    """Tell if a listing of only the newest posts ended before it came to the second that is wanted."""
    if feed is None or wanted is None:
        return False
    most, oldest = get_source(feed.source).manifest.lookback_of(feed).posts, time_of(plan.oldest_at)
    position = plan.backfill_position
    if plan.backfill and (plan.asked_to or position.reached_to < plan.oldest_at):
        # Earlier runs have read a part of this listing, and nobody counts the posts of all together.
        return most is not None and position.is_at_end
    if most is None or oldest is None or not _is_newest_first(feed):
        return False
    # Entries without a date have that of the feed. So posts of one time say nothing.
    return plan.posts >= most and wanted < oldest and (plan.backfill or plan.oldest_at < plan.bookmark.newest_at)


def _is_newest_first(feed: Feed | None) -> bool:
    return feed is None or get_source(feed.source).newest_first
