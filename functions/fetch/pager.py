"""The paging loop: from the bookmark or the cursor on, until the listing, the budget or the limit ends."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fetch.window_reader import WindowReader
from imagelake.accounts.redaction import redact
from imagelake.accounts.session import Session
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import RateLimitedError
from imagelake.run.models import Progress, Run
from imagelake.sources import Bookmark, Feed, Page, RateLimit, Source
from imagelake.sources.contract import Priced
from imagelake.web.messages import Request, Response

# A listing may answer empty pages with a cursor for ever.
MAX_PAGES = 2000
# One call leaves its last page, with all its tries, this many seconds before the function's own time-out.
SECONDS_A_PAGE = 120
# Beyond these a limit is an error that names its end, not a wait.
MAX_WAITS = 3
MAX_WAIT = timedelta(hours=6)
# Where the network names no end of its limit.
UNKNOWN_WAIT = timedelta(minutes=5)


class Pager:
    """Reads one feed's pages in one run."""

    def __init__(
        self, source: Source, feed: Feed, feed_id: str, run: Run, session: Session | WindowReader, bucket: Bucket
    ) -> None:
        self._source = source
        self._feed = feed
        self._feed_id = feed_id
        self._run = run
        self._session = session
        self._bucket = bucket
        self._limit = min(feed.limit or run.posts_per_feed, run.posts_per_feed)
        self._seen: set[str] = set()

    def read(self, progress: Progress, bookmark: Bookmark | None, seconds_left: Callable[[], float]) -> Progress:
        """Read pages from where ``progress`` is; return where it stopped and why."""
        progress = progress.model_copy(update={"status": "more", "retry_at": None})
        while progress.status == "more" and seconds_left() > SECONDS_A_PAGE:
            try:
                progress = self._read_page(progress, bookmark)
            except RateLimitedError as limit:
                progress = _wait(progress, limit)
        warnings = list(dict.fromkeys([*progress.warnings, *self._session.warnings]))
        return self._mind_the_gap(progress.model_copy(update={"warnings": warnings}), bookmark)

    def _read_page(self, progress: Progress, bookmark: Bookmark | None) -> Progress:
        request = self._source.request(self._feed, bookmark, progress.cursor)
        if self._costs_too_much(request, progress):
            return progress.model_copy(update={"status": "done", "stopped_by": "cost"})
        response, page = self._session.read(request)
        self._keep(response, progress.pages)

        posts = progress.posts + len(page.posts)
        newest_id, newest_at = _newer(progress, page)
        stopped_by = None
        if page.cursor is None or self._is_known(page, bookmark) or self._goes_in_circles(page, progress):
            status = "done"
        elif posts >= self._limit:
            status, stopped_by = "done", "posts"
        elif progress.pages + 1 >= MAX_PAGES:
            status, stopped_by = "done", "pages"
        else:
            status = "more"
        progress = progress.model_copy(
            update={
                "status": status,
                "cursor": page.cursor,
                "pages": progress.pages + 1,
                "posts": posts,
                "newest_id": newest_id,
                "newest_at": newest_at,
                "stopped_by": stopped_by,
                "cost_usd": round(progress.cost_usd + page.cost_usd, 6),
            }
        )
        if status == "more" and _is_used_up(page.rate):
            # Asked once more, it would refuse; some networks count that against the reader.
            return _wait(progress, RateLimitedError("no calls are left", page.rate.reset_at if page.rate else None))
        return progress

    def _costs_too_much(self, request: Request, progress: Progress) -> bool:
        cap = self._feed.cost_cap_usd
        if cap is None or not isinstance(self._source, Priced):
            return False
        # Prices are sums of thousandths; a float's error is not a cent.
        return progress.cost_usd + self._source.price(request) > cap + 1e-6

    def _goes_in_circles(self, page: Page, progress: Progress) -> bool:
        """Whether a page leads back to itself without a post that is new; the cursor alone does not tell.

        Instagram's hashtags have the same cursor on every page, and each asking for it is the next page.
        """
        ids = {post.post_id for post in page.posts}
        brings_nothing = ids <= self._seen
        self._seen |= ids
        return brings_nothing and page.cursor == progress.cursor

    def _mind_the_gap(self, progress: Progress, bookmark: Bookmark | None) -> Progress:
        """Keep the bookmark where it is if posts between it and the last page read would never be asked for again.

        A first run has no such gap if it ends at its limit, because it was asked for no more; later ones have none if
        the listing walks forward from the bookmark.
        """
        if progress.stopped_by == "cost":
            return progress
        leaves_gap = progress.stopped_by == "rate_limit" if bookmark is None else self._source.newest_first
        if not leaves_gap:
            return progress.model_copy(update={"stopped_by": None})
        # What was billed would be billed again, to end at the same place.
        if progress.stopped_by is None or (progress.cost_usd and progress.stopped_by != "rate_limit"):
            return progress
        return progress.model_copy(update={"newest_id": "", "newest_at": ""})

    def _is_known(self, page: Page, bookmark: Bookmark | None) -> bool:
        """Whether a listing that runs from new to old has come to what an earlier run has seen."""
        return (
            self._source.newest_first
            and bookmark is not None
            and page.newest is not None
            and page.newest.newest_at <= bookmark.newest_at
        )

    def _keep(self, response: Response, page: int) -> None:
        key = object_keys.raw_page(self._run, self._source.name, self._feed_id, page)
        # mtime=0: the same page makes the same object.
        body = gzip.compress(redact(response.body), mtime=0)
        url = redact(response.url.encode()).decode("ascii")
        self._bucket.put(key, body, "application/gzip", {"url": url, "status": str(response.status)})


def _is_used_up(rate: RateLimit | None) -> bool:
    return rate is not None and rate.remaining == 0 and rate.reset_at is not None


def _newer(progress: Progress, page: Page) -> tuple[str, str]:
    if page.newest is None:
        return progress.newest_id, progress.newest_at
    # One width and one zone, so that DynamoDB compares times by comparing text.
    at = page.newest.newest_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (page.newest.newest_id, at) if at > progress.newest_at else (progress.newest_id, progress.newest_at)


def _wait(progress: Progress, limit: RateLimitedError) -> Progress:
    """Turn a known limit into a time to come back, or into the end of this feed's reading if that is too far away."""
    now = datetime.now(UTC)
    retry_at = limit.reset_at or now + UNKNOWN_WAIT
    if progress.waits >= MAX_WAITS or retry_at - now > MAX_WAIT:
        if progress.pages == 0:
            raise limit
        return progress.model_copy(update={"status": "done", "stopped_by": "rate_limit"})
    # A second of grace: networks round their reset down.
    until = (retry_at + timedelta(seconds=1)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return progress.model_copy(update={"status": "rate_limited", "retry_at": until, "waits": progress.waits + 1})
