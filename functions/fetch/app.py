"""Fetch: read new pages of one feed within a budget and keep each as it came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from fetch.bookmarks import read_bookmark
from fetch.lease import take_lease
from fetch.pager import Pager
from fetch.settings import FetchSettings
from fetch.window_reader import WindowReader
from imagelake.accounts.api import Api
from imagelake.accounts.secrets import Secret
from imagelake.accounts.session import Session
from imagelake.lake.bucket import Bucket
from imagelake.run.models import FeedEntry, Progress, Run
from imagelake.run.observability import RUN_ID, logger, metrics
from imagelake.sources import Feed, get_source
from imagelake.sources.stream import Stream


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "feed", "progress"}``; returns the new progress, at once ``done`` in a run that retries."""
    run = Run.model_validate(event["run"])
    entry = FeedEntry.model_validate(event["feed"])
    before = Progress.model_validate(event["progress"])
    config = FetchSettings.load()

    feed = Feed.of(entry.config)
    source = get_source(feed.source)
    # Windows of a stream are no listing: they overlap, each has its own posts, and claims keep their media apart.
    if feed.window is None:
        take_lease(config.bookmarks_table, entry.feed_id, run.execution_arn)
    if run.retry is not None:
        metrics.add_metric("PagesFetched", MetricUnit.Count, 0)
        # What failed before is planned already; without a time, the bookmark stays.
        return before.model_copy(update={"status": "done"}).model_dump()
    with Api(trusted_origins=config.trusted_origins, contact=config.contact) as api:
        secret = Secret(f"{config.secrets_prefix}{source.name}", source.manifest.credentials)
        bucket = Bucket(config.bucket_name)
        session: Session | WindowReader = Session(source, feed, api, secret, config.trusted_origins)
        if isinstance(source, Stream):
            session = WindowReader(source, feed, bucket)
        pager = Pager(source, feed, entry.feed_id, run, session, bucket)
        bookmark = read_bookmark(config.bookmarks_table, entry.feed_id)
        after = pager.read(before, bookmark, seconds_left=lambda: context.get_remaining_time_in_millis() / 1000)

    metrics.add_metric("PagesFetched", MetricUnit.Count, after.pages - before.pages)
    if session.ends_at is not None:
        left = session.ends_at - datetime.now(UTC)
        metrics.add_metric("TokenExpiresInDays", MetricUnit.NoUnit, left / timedelta(days=1))
    metrics.add_metric("PostsFetched", MetricUnit.Count, after.posts - before.posts)
    logger.info("pages fetched", extra={"feed": entry.name, "progress": after.model_dump()})
    return after.model_dump()
