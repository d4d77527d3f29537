"""The paging loop: read from the bookmark or the cursor until the listing ends or a limit is reached."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime

from fetch import backfill
from fetch.bookmarks import FeedPosition
from fetch.budget import Budgets, Refusal
from fetch.paid_reader import PaidReader
from fetch.reach import iso, reach
from fetch.stops import end_of_used_up_limit, stopped, wait_or_stop
from fetch.window_reader import WindowReader
from imagelake.accounts.redaction import redact
from imagelake.accounts.session import Session
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import BadFeedError, FeedNotFoundError, ImagelakeError, RateLimitedError, SourceChangedError
from imagelake.run.models import Progress, Run, Stop
from imagelake.sources import Bookmark, Feed, Page, Source
from imagelake.sources.contract import MAX_PAGE_URL, Priced
from imagelake.sources.raw_pages import emptied, remove_suppressed
from imagelake.sources.responses import content_type
from imagelake.web.errors import UrlRefusedError
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url

# Without this limit, a listing whose empty pages always have a next page would never end.
MAX_PAGES = 2000
# Validate holds the posts and the rejects of all pages in memory, and rejects do not count as posts.
MAX_BYTES = 200_000_000
# If less time is left than one page and its retries may take, start no page.
SECONDS_A_PAGE = 120
_REFUSALS = (BadFeedError, FeedNotFoundError, SourceChangedError)
# With these values of ``Progress``, Commit Bookmark leaves the bookmark as it is.
_NO_BOOKMARK = {"newest_id": "", "newest_at": ""}


class Pager:
    """Reads one feed's pages in one run."""

    def __init__(
        self,
        source: Source,
        feed: Feed,
        feed_id: str,
        run: Run,
        reader: Session | WindowReader,
        bucket: Bucket,
        listed: SuppressionList,
        budgets: Budgets,
    ) -> None:
        self._max_posts = min(feed.limit or run.posts_per_feed, run.posts_per_feed)
        self._source = source
        self._feed = feed.model_copy(update={"limit": self._max_posts})
        self._definition: Feed | None = feed
        self._feed_id = feed_id
        self._run = run
        self._reader = reader
        self._bucket = bucket
        self._listed = listed
        self._paid_reader = PaidReader(source, self._feed, reader, budgets)
        self._seen: set[str] = set()

    def read(self, progress: Progress, position: FeedPosition, seconds_left: Callable[[], float]) -> Progress:
        """Read pages from the position of ``progress`` on; return the new position, and the limit that stopped it."""
        bookmark = None if self._feed.since else position.bookmark
        asked_from = progress.asked_from or (iso(bookmark.newest_at) if bookmark else "")
        progress = progress.model_copy(update={"status": "more", "retry_at": None, "asked_from": asked_from})
        # Without a bookmark, all networks list their posts from the newest one back.
        progress = backfill.start(progress, self._feed, position.backfill, now())
        billed = progress.cost_usd
        while progress.status == "more" and seconds_left() > SECONDS_A_PAGE:
            try:
                progress = self._read_page(progress, bookmark)
            except RateLimitedError as limit:
                progress = wait_or_stop(progress, limit.reset_at)
                if progress.stopped_by and not progress.pages:
                    raise
            except ImagelakeError as error:
                # The next call meets the error again. So the run knows the bill, and no billed page is read twice.
                if progress.cost_usd > billed:
                    break
                progress = self._begin_again(progress, error)
        warnings = list(dict.fromkeys([*progress.warnings, *self._reader.warnings]))
        return self._end(progress.model_copy(update={"warnings": warnings}), position)

    def _begin_again(self, progress: Progress, error: Exception) -> Progress:
        """Begin a backfill at the newest post if the network refuses its stored cursor; cursors can expire."""
        if not isinstance(error, _REFUSALS) or not progress.backfill or progress.pages or progress.cursor is None:
            raise error
        text = (
            f"{self._feed.name}: the backfill begins again at the newest post, because its cursor is refused: {error}"
        )
        position = progress.backfill_position.model_copy(update={"cursor": ""})
        warnings = [*progress.warnings, text]
        update = {"cursor": None, "asked_to": "", "backfill_position": position, "warnings": warnings}
        return progress.model_copy(update=update)

    def _end(self, progress: Progress, position: FeedPosition) -> Progress:
        """Set the bookmark and the position of the backfill that are to be stored."""
        if progress.backfill and progress.status != "done":
            return progress
        if progress.backfill:
            stays = _fields(position.bookmark) if position.bookmark else _NO_BOOKMARK
            after = backfill.position_after(progress, position.backfill, leaves_gap=True)
            progress = progress.model_copy(update={"backfill_position": after, **stays})
            found = backfill.warnings(progress, self._feed, self._source) if progress.pages else []
            return progress.model_copy(update={"warnings": [*progress.warnings, *found]})
        guarded = self._guard_unread_posts(progress, position.bookmark)
        # If the bookmark stays, the next run reads the unread posts.
        leaves_gap = progress.stopped_by is not None and bool(guarded.newest_at)
        leaves_gap = leaves_gap and (position.bookmark is None or self._source.newest_first)
        after = backfill.position_after(progress, position.backfill, leaves_gap=leaves_gap)
        return guarded.model_copy(update={"backfill_position": after})

    def _read_page(self, progress: Progress, bookmark: Bookmark | None) -> Progress:
        request = self._source.request(self._feed, bookmark, progress.cursor)
        self._refuse_long_url(request, is_first=progress.cursor is None)
        if self._costs_too_much(request, progress):
            return stopped(progress, Stop.COST)
        answer = self._paid_reader.read(request, bookmark, progress.cursor)
        if isinstance(answer, Refusal):
            return self._stop_at_budget(progress, answer)
        response, page = answer
        self._refuse_long_cursor(page)
        progress = progress.model_copy(update={"calls": progress.calls + 1})
        if (new := self._count_new(page, bookmark, progress)) and self._is_full(progress):
            # The limit was reached before, so this page only shows that there are more new posts. It is not kept.
            return stopped(progress, Stop.POSTS)
        suppressed = self._keep(response, page, progress.pages)

        before, read_at = progress, now()
        posts = 0 if page.continues_posts else len(page.posts)
        known = posts - new + (len(page.rejects) if self._reaches_bookmark(page, bookmark) else 0)
        progress = progress.model_copy(
            update={
                "cursor": page.cursor,
                "pages": progress.pages + 1,
                "posts": progress.posts + posts,
                "new_posts": progress.new_posts + new,
                "read_again": progress.read_again + known,
                "suppressed": progress.suppressed + suppressed,
                "page_bytes": progress.page_bytes + len(response.body),
                "cost_usd": round(progress.cost_usd + page.cost_usd, 6),
                "warnings": list(dict.fromkeys([*progress.warnings, *page.warnings])),
                "reached_to": backfill.reached_to(progress, self._source, page),
                "declared": progress.declared if page.declared is None else page.declared,
                **reach(progress, self._source, page, read_at),
                **self._listed.without_id(self._source.name, self._newest(progress, page, bookmark, read_at)),
            }
        )
        progress = self._end_or_go_on(progress, before, page, bookmark)
        reset_at = end_of_used_up_limit(page.rate)
        if progress.status == "more" and reset_at is not None:
            # The network would refuse the next call, and some networks count refused calls against the reader.
            return wait_or_stop(progress, reset_at)
        return progress

    def _stop_at_budget(self, progress: Progress, refusal: Refusal) -> Progress:
        reader = "the next run reads" if not progress.pages and not progress.backfill else "a backfill can read"
        text = f"{self._feed.name}: reading stopped because {refusal}; {reader} the posts that are left"
        warnings = list(dict.fromkeys([*progress.warnings, text]))
        return stopped(progress.model_copy(update={"warnings": warnings}), Stop.BUDGET)

    def _end_or_go_on(self, progress: Progress, before: Progress, page: Page, bookmark: Bookmark | None) -> Progress:
        """Set the status: the reading ends at the last page, at the bookmark, or at a limit."""
        is_at_end = self._ends(progress, page, bookmark) or (page.continues_posts and before.is_at_end)
        is_at_end = is_at_end or backfill.reaches_since(self._feed, progress)
        is_last = page.cursor is None
        if not page.is_unfinished:
            is_last = is_last or is_at_end or self._repeats_itself(page, before)
        stopped_by = None if is_last else self._limit_reached(progress, page, bookmark)
        status = "done" if is_last or stopped_by else "more"
        update: dict[str, object] = {
            "status": status,
            "stopped_by": stopped_by,
            "limit": stopped_by,
            "is_at_end": is_at_end,
        }
        # One post is the bookmark's own.
        if is_at_end and page.cursor and progress.read_again > 1 and self._is_of_one_time(page, bookmark):
            text = f"{self._feed.name}: more posts than the limit have the time of the bookmark; some may not be read"
            update["warnings"] = list(dict.fromkeys([*progress.warnings, text]))
        return progress.model_copy(update=update)

    def _refuse_long_url(self, request: Request, is_first: bool) -> None:
        """Raise if the metadata of the raw page could not hold the request's URL."""
        try:
            length = len(str(Url.parse(request.url).with_params(request.params)))
        except UrlRefusedError:
            return  # a window of a stream has no such URL; the client refuses all others
        if length > MAX_PAGE_URL:
            error = BadFeedError if is_first else SourceChangedError
            raise error(
                f"{self._feed.name[:80]}: the URL of a page has {length:,} characters, more than {MAX_PAGE_URL:,}"
            )

    def _refuse_long_cursor(self, page: Page) -> None:
        """Raise if the next page is one whose URL would be too long; the run's state would hold the cursor."""
        if len((page.cursor or "").encode()) > MAX_PAGE_URL:
            raise SourceChangedError(f"{self._feed.name}: the next page's cursor has more than {MAX_PAGE_URL:,} bytes")

    def _limit_reached(self, progress: Progress, page: Page, bookmark: Bookmark | None) -> Stop | None:
        if progress.page_bytes >= MAX_BYTES:
            return Stop.BYTES
        if progress.pages >= MAX_PAGES:
            return Stop.PAGES
        if page.is_unfinished or not self._is_full(progress):
            return None
        # Only the next page shows if there are more new posts, unless the network bills it.
        must_look = bookmark is not None and self._source.newest_first and not progress.cost_usd
        return None if must_look else Stop.POSTS

    def _is_full(self, progress: Progress) -> bool:
        return progress.new_posts >= self._max_posts

    def _count_new(self, page: Page, bookmark: Bookmark | None, progress: Progress) -> int:
        """Count the posts that are not behind the bookmark; only these use up the limit."""
        if page.continues_posts:
            return 0
        if progress.backfill:
            return backfill.count_unread(progress.backfill_position, page)
        if bookmark is None:
            return len(page.posts)
        if page.positions is not None:
            return sum(bookmark.is_before(position) for position in page.positions)
        if self._source.newest_first:
            return sum(post.posted_at > bookmark.newest_at for post in page.posts)
        return len(page.posts)

    def _costs_too_much(self, request: Request, progress: Progress) -> bool:
        cap = self._feed.cost_cap_usd
        if cap is None or not isinstance(self._source, Priced):
            return False
        # Prices are multiples of a thousandth of a dollar; 1e-6 is more than the rounding errors of floats.
        return progress.cost_usd + self._source.price(request) > cap + 1e-6

    def _repeats_itself(self, page: Page, progress: Progress) -> bool:
        """Tell if a page has no new post, no new reject, and leads back to itself.

        An unchanged cursor alone does not prove that. Instagram's hashtags have the same cursor on every page, and each
        request with it returns the next page.
        """
        ids = {post.post_id for post in page.posts} | {reject.post_id for reject in page.rejects if reject.post_id}
        has_nothing_new = ids <= self._seen
        self._seen |= ids
        return has_nothing_new and page.cursor == progress.cursor

    def _guard_unread_posts(self, progress: Progress, bookmark: Bookmark | None) -> Progress:
        """Leave the bookmark as it is if posts between it and the last page are unread: a later run then reads them."""
        stop = progress.stopped_by
        # The user has set a cap on the cost. If the bookmark stayed, the network would bill the same posts again.
        if stop in (None, Stop.COST, Stop.BUDGET):
            return progress
        if not self._leaves_gap(progress, bookmark):
            return progress.model_copy(update={"stopped_by": None})
        # The next run would stop at the same post, and the network would bill the same posts again.
        if progress.cost_usd and stop is not Stop.RATE_LIMIT:
            return progress
        return progress.model_copy(update=_NO_BOOKMARK)

    def _leaves_gap(self, progress: Progress, bookmark: Bookmark | None) -> bool:
        # In a first run, the limits on posts and pages say how many old posts the user wants. The others do not.
        if bookmark is None:
            return progress.stopped_by in (Stop.RATE_LIMIT, Stop.BYTES)
        # A listing that runs from the bookmark to newer posts leaves no gap: the next run continues where it ended, if
        # this run came beyond the posts that it had to read again.
        return self._source.newest_first or not progress.new_posts

    def _ends(self, progress: Progress, page: Page, bookmark: Bookmark | None) -> bool:
        """Tell if a listing that starts at the newest post has reached the bookmark, and the overlap is read."""
        # The first run has read as many posts as its limit; a post behind them would become a new row.
        next_is_too_old = progress.read_again + len(page.posts) + len(page.rejects) > self._max_posts
        is_read = progress.read_again >= self._source.overlap and not self._is_of_one_time(page, bookmark)
        return (is_read or next_is_too_old) and self._reaches_bookmark(page, bookmark)

    def _reaches_bookmark(self, page: Page, bookmark: Bookmark | None) -> bool:
        """Tell if no post of a page is newer than the bookmark, in a listing that starts at the newest post."""
        return (
            self._source.newest_first
            and bookmark is not None
            and page.newest is not None
            and page.newest.newest_at <= bookmark.newest_at
        )

    def _is_of_one_time(self, page: Page, bookmark: Bookmark | None) -> bool:
        """Tell if all posts of a page have the bookmark's own time; new ones with that time can follow."""
        if bookmark is None or page.newest is None or [post.post_id for post in page.posts] == [bookmark.newest_id]:
            return False
        times = {page.newest.newest_at, *(post.posted_at for post in page.posts)}
        return times == {bookmark.newest_at}

    def _newest(self, progress: Progress, page: Page, bookmark: Bookmark | None, now: datetime) -> dict[str, str]:
        """Return the newest post after this page, as fields of ``Progress``."""
        so_far = _bookmark(progress) or (None if self._source.newest_first else bookmark)
        if page.newest is None:
            return {}
        # With the time of a post that is dated in the future, later posts would seem to be older than the bookmark.
        newest = page.newest.model_copy(update={"newest_at": min(page.newest.newest_at, now)})
        if bookmark is None or self._source.newest_first:
            # Of posts with the same time, the first one in the listing is the newest.
            return {} if so_far and so_far.newest_at >= newest.newest_at else _fields(newest)
        assert so_far is not None
        if page.positions is not None and not so_far.is_before(newest):
            return _fields(so_far)
        # The order of the listing decides. A time that goes back would keep Commit Bookmark from moving the bookmark.
        return _fields(newest.model_copy(update={"newest_at": max(newest.newest_at, so_far.newest_at)}))

    def _keep(self, response: Response, page: Page, number: int) -> int:
        """Store a page without the posts on the suppression list, and return their number."""
        kept, removed = remove_suppressed(self._source, self._feed, response, page, self._listed)
        # The URL of the feed of a suppressed author names the author.
        self._store(emptied(response) if self._listed.has_feed(self._feed_id) else kept, number)
        return len(removed)

    def _store(self, response: Response, page: int) -> None:
        if response.body and self._definition is not None:
            # The feed comes before its first page, which nobody can parse without it.
            key = object_keys.feed_definition(self._source.name, self._run.dt, self._run.run_id, self._feed_id)
            self._bucket.put_json(key, self._definition.model_dump(mode="json", exclude_none=True))
            self._definition = None
        key = object_keys.raw_page(self._run, self._source.name, self._feed_id, page)
        # With mtime=0, the same page makes the same object.
        body = gzip.compress(redact(response.body), mtime=0)
        url = redact(response.url.encode()).decode("ascii")
        metadata = {"url": url, "status": str(response.status)}
        if stated := content_type(response):
            # Validate needs its charset.
            metadata["content-type"] = redact(stated.encode()).decode("ascii")
        self._bucket.put(key, body, "application/gzip", metadata)


def now() -> datetime:
    """Return the time of a page."""
    return datetime.now(UTC)


def _bookmark(progress: Progress) -> Bookmark | None:
    if not progress.newest_at:
        return None
    return Bookmark(newest_id=progress.newest_id, newest_at=datetime.fromisoformat(progress.newest_at))


def _fields(newest: Bookmark) -> dict[str, str]:
    # DynamoDB compares these times as text, so all must have the same number of digits and the same time zone.
    return {"newest_id": newest.newest_id, "newest_at": iso(newest.newest_at)}
