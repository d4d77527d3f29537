"""One call of Fetch: take the feed's lease, then read pages through a session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from fetch import backfill
from fetch.bookmarks import read_position
from fetch.budget import Budgets
from fetch.lease import take_lease
from fetch.pager import Pager
from fetch.paid_reader import PaidReader
from fetch.settings import FetchSettings
from fetch.window_reader import reader_for
from imagelake.accounts.api import Api
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import SuppressionList, suppressions
from imagelake.run.contracts import FeedRequest
from imagelake.run.errors import SourceUnavailableError
from imagelake.run.models import Outlook, Progress
from imagelake.run.observability import metrics
from imagelake.sources import Bookmark, Feed, Page, Source, get_source, parse_feed
from imagelake.sources.contract import Counted
from imagelake.web.messages import Request


def read_feed(request: FeedRequest, settings: FetchSettings, seconds_left: Callable[[], float]) -> Progress:
    """Read pages of the request's feed.

    A run that retries failed items reads none and is ``done`` at once; so is a feed whose open batches are resumed.
    """
    run, feed_id = request.run, request.feed.feed_id
    if request.feed.resume_only:
        take_lease(settings.bookmarks_table, feed_id, run.execution_arn)
        return _read_nothing(request, settings)
    feed = parse_feed(request.feed.config)
    source = get_source(feed.source)
    if run.plan:
        return _look_ahead(request, feed, source, settings)
    # Windows of a stream need no lease: each has its own posts, and claims keep their media items apart.
    if feed.window is None:
        take_lease(settings.bookmarks_table, feed_id, run.execution_arn)
    if run.retry is not None:
        return _read_nothing(request, settings)
    return _read_pages(request, feed, source, settings, seconds_left)


def _read_nothing(request: FeedRequest, settings: FetchSettings) -> Progress:
    # Commit Bookmark stores this position again.
    position = read_position(settings.bookmarks_table, request.feed.feed_id).backfill
    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    done = request.progress.model_copy(update={"status": "done", "backfill_position": position})
    return _without_cursor(done, request.feed.feed_id, listed)


def _without_cursor(progress: Progress, feed_id: str, listed: SuppressionList) -> Progress:
    """Take a cursor that can name a suppressed author from what is stored; the next backfill begins at the newest post.

    Until the reading is done, the position is only that of this run's begin.
    """
    position = progress.backfill_position
    if progress.status != "done" or not position.cursor or not listed.has_cursor(feed_id, position.cursor):
        return progress
    return progress.model_copy(update={"backfill_position": position.model_copy(update={"cursor": ""})})


def _look_ahead(request: FeedRequest, feed: Feed, source: Source, settings: FetchSettings) -> Progress:
    """Find out what a run would read; nothing is stored."""
    position = read_position(settings.bookmarks_table, request.feed.feed_id)
    bookmark = None if feed.since else position.bookmark
    # A feed that is wrong fails here.
    source.request(feed, bookmark, None)
    begun = backfill.start(request.progress, feed, position.backfill, datetime.now(UTC))
    if begun.status == "done":
        outlook = Outlook(posts=0, images=0)
    else:
        answer = _ask(request, feed, source, bookmark, settings)
        outlook = Outlook(has_bookmark=bookmark is not None, reached_to=begun.asked_to, **answer)
    return request.progress.model_copy(update={"status": "planned", "outlook": outlook})


def _ask(
    request: FeedRequest, feed: Feed, source: Source, bookmark: Bookmark | None, settings: FetchSettings
) -> dict[str, Any]:
    """Ask the network how many posts a run would read, if it can tell; return fields of ``Outlook``."""
    question = _question(source, feed, bookmark)
    if question is None:
        return {}
    with Api(trusted_origins=settings.trusted_origins, contact=settings.contact) as api:
        reader = reader_for(source, feed, Bucket(settings.bucket_name), api, settings)
        paid = PaidReader(source, feed, reader, _budgets(settings, feed, request.feed.feed_id))
        try:
            page = paid.ask(question)
        except SourceUnavailableError as error:
            # The state machine would try again for a minute and a half, and somebody waits for the plan.
            return {"problem": str(error)}
    if page is None:
        return {}
    counts = {"posts": page.declared} if isinstance(source, Counted) else _counts(page, feed, bookmark)
    return {**counts, "usd": page.cost_usd}


def _question(source: Source, feed: Feed, bookmark: Bookmark | None) -> Request | None:
    """Build the request whose answer tells the number of posts; ``None`` if there is none."""
    if isinstance(source, Counted):
        lookback = source.manifest.lookback_of(feed).time
        first = datetime.now(UTC) - lookback if lookback else None
        if feed.since and first and datetime.fromisoformat(feed.since).replace(tzinfo=UTC) < first:
            feed = feed.model_copy(update={"since": None})
        return source.count_request(feed, bookmark)
    # A feed of a site is one free document, and nothing else tells its number of entries.
    return source.request(feed, bookmark, None) if source.manifest.page_size is None else None


def _counts(page: Page, feed: Feed, bookmark: Bookmark | None) -> dict[str, int]:
    """Count the posts of a page that is the whole listing; nobody knows what older pages have."""
    if page.cursor is not None and bookmark is None:
        return {}
    since = datetime.fromisoformat(feed.since).replace(tzinfo=UTC) if feed.since else None
    new = [
        post
        for post in page.posts
        if (bookmark is None or post.posted_at > bookmark.newest_at) and (since is None or post.posted_at >= since)
    ]
    images = {media.media_id for post in new for media in post.media if media.kind == "image" and not media.skip_reason}
    return {"posts": len(new), "known_posts": len(page.posts) - len(new), "images": len(images)}


def _budgets(settings: FetchSettings, feed: Feed, feed_id: str) -> Budgets:
    return Budgets(settings.bookmarks_table, feed, feed_id, settings.budget_usd_per_day, settings.budget_usd_per_month)


def _read_pages(
    request: FeedRequest, feed: Feed, source: Source, settings: FetchSettings, seconds_left: Callable[[], float]
) -> Progress:
    feed_id = request.feed.feed_id
    bucket = Bucket(settings.bucket_name)
    with Api(trusted_origins=settings.trusted_origins, contact=settings.contact) as api:
        reader = reader_for(source, feed, bucket, api, settings)
        position = read_position(settings.bookmarks_table, feed_id)
        listed = suppressions(settings.suppression_table, settings.suppression_key).read()
        budgets = _budgets(settings, feed, feed_id)
        pager = Pager(source, feed, feed_id, request.run, reader, bucket, listed, budgets)
        progress = _without_cursor(pager.read(request.progress, position, seconds_left), feed_id, listed)
    if reader.ends_at is not None:
        days = (reader.ends_at - datetime.now(UTC)) / timedelta(days=1)
        metrics.add_metric("TokenExpiresInDays", MetricUnit.NoUnit, days)
    return progress
