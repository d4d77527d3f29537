"""Backfill: read older posts than the bookmark, from a position of its own, without moving the bookmark.

Without a bookmark, every network lists its posts from the newest one back. So a backfill reads as if there were none,
from the cursor at which the last one stopped, or at which the first run stopped at its limit.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fetch.reach import iso
from imagelake.run.models import BackfillPosition, Progress
from imagelake.sources import Feed, Page, Source
from imagelake.sources.contract import Priced

# A backfill that is done reads nothing for so long. After that, it looks for newer posts that runs have left unread.
_STAYS_DONE = timedelta(hours=1)


def start(progress: Progress, feed: Feed, position: BackfillPosition, now: datetime) -> Progress:
    """Begin the backfill of a run at the stored position, or at the newest post, unless everything is read."""
    if feed.since is None or progress.backfill:
        return progress
    done = is_done(position, feed.since)
    if done and position.begun_at < iso(now - _STAYS_DONE):
        # It reads from the newest post to what is done.
        done, position = False, position.model_copy(update={"cursor": ""})
    return progress.model_copy(
        update={
            "backfill": True,
            "backfill_position": position,
            "cursor": position.cursor or None,
            "asked_from": iso(datetime.fromisoformat(feed.since).replace(tzinfo=UTC)),
            "asked_to": position.reached_to if position.cursor else "",
            "status": "done" if done else "more",
        }
    )


def is_done(position: BackfillPosition, since: str) -> bool:
    """Tell if a backfill has reached its day, or the end of the listing."""
    return position.is_at_end or ("" < position.reached_to < since)


def reached_to(progress: Progress, source: Source, page: Page) -> str:
    """Return the time back to which all listed posts are read after this page, as far as that is certain."""
    if page.newest is None:
        return progress.reached_to
    time = page.newest.newest_at
    if isinstance(source, Priced):
        # Single posts of other networks can be out of order, such as pinned or imported ones.
        time = min((post.posted_at for post in page.posts), default=time)
    elif not source.newest_first and page.positions is None:
        # The first post of such a page can have any time.
        time = max((post.posted_at for post in page.posts), default=time)
    return min(progress.reached_to or iso(time), iso(time))


def reaches_since(feed: Feed, progress: Progress) -> bool:
    """Tell if a backfill has reached its day, or what an earlier one has read down to that day."""
    if not progress.backfill or feed.since is None:
        return False
    is_rest_done = _joins(progress) and is_done(progress.backfill_position, feed.since)
    return is_rest_done or "" < progress.reached_to < feed.since


def _joins(progress: Progress) -> bool:
    """Tell if a backfill that began at the newest post has come to what an earlier one has read."""
    began = progress.backfill_position
    return not began.cursor and "" < progress.reached_to <= began.begun_at


def count_unread(position: BackfillPosition, page: Page) -> int:
    """Count the posts that no backfill has read yet; only these use up the limit of a run.

    ``position`` is that at which the run began; without a cursor, it began at the newest post.
    """
    newest = iso(page.newest.newest_at) if page.newest is not None else ""
    is_known = not position.cursor and position.reached_to <= newest <= position.begun_at
    return 0 if is_known and position.reached_to else len(page.posts)


def position_after(progress: Progress, stored: BackfillPosition, *, leaves_gap: bool) -> BackfillPosition:
    """Return the position to store; a reading of new posts changes it only if it left older ones unread."""
    if not progress.pages:
        return stored
    if progress.backfill:
        began = progress.backfill_position
        if _joins(progress) and progress.is_at_end and progress.reached_to >= began.reached_to:
            return stored.model_copy(update={"begun_at": progress.begun_at})
        return BackfillPosition(
            cursor=progress.cursor or "",
            reached_to=progress.reached_to or began.reached_to,
            # A backfill that began at a cursor continues what was read before it.
            begun_at=began.begun_at if began.cursor else progress.begun_at,
            # ``progress.is_at_end`` is about the day, this one about the listing.
            is_at_end=progress.status == "done" and progress.stopped_by is None and not progress.is_at_end,
        )
    if not leaves_gap or progress.cursor is None:
        return stored
    if "" < progress.reached_to <= stored.begun_at:
        # What an earlier backfill has read begins where this reading ends.
        return stored.model_copy(update={"begun_at": progress.begun_at})
    return BackfillPosition(cursor=progress.cursor, reached_to=progress.reached_to, begun_at=progress.begun_at)


def warnings(progress: Progress, feed: Feed, source: Source) -> list[str]:
    """Say that the network lists no posts back to the day of the backfill."""
    # All posts of a feed can be on one page, whose newest one says nothing about its end.
    oldest = min(filter(None, (progress.oldest_at, progress.reached_to)), default="")
    if not progress.backfill_position.is_at_end or "" < oldest < (feed.since or ""):
        return []
    first = f"no post before {oldest[:10]}" if oldest else "no older posts"
    return [
        f"{feed.name}: the backfill ends before {feed.since}: the network lists {first} (it lists:"
        f" {source.manifest.lookback_of(feed)})"
    ]
