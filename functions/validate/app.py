"""Validate: turn raw pages into checked media items, keep the rejects with a reason, and plan the batches."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.run.models import FeedEntry, Progress, Run
from imagelake.run.observability import RUN_ID, logger, metrics
from imagelake.sources import Feed, get_source
from validate.pages import read_pages
from validate.planner import Planner
from validate.retries import reopen
from validate.settings import ValidateSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "feed", "progress"}``; returns counts, the key of the batch list and the bookmark to commit."""
    run = Run.model_validate(event["run"])
    entry = FeedEntry.model_validate(event["feed"])
    progress = Progress.model_validate(event["progress"])
    config = ValidateSettings.load()

    feed = Feed.of(entry.config)
    bucket = Bucket(config.bucket_name)
    media_index = MediaIndex(config.image_keys_table)
    warnings = list(progress.warnings)
    if run.retry is not None:
        warnings += [
            f"{feed.name}: {problem}" for problem in reopen(run.retry, run.run_id, entry.feed_id, bucket, media_index)
        ]
    posts, rejects = read_pages(get_source(feed.source), feed, entry.feed_id, run, progress.pages, bucket)
    plan = Planner(feed, entry.feed_id, run, bucket, media_index).plan(posts, rejects)

    metrics.add_metric("ItemsPlanned", MetricUnit.Count, plan["items"])
    metrics.add_metric("PostsRejected", MetricUnit.Count, plan["rejected_posts"])
    logger.info("batches planned", extra={"feed": entry.name, "plan": plan})
    return {
        **plan,
        "bookmark": {"newest_id": progress.newest_id, "newest_at": progress.newest_at},
        "stopped_by": progress.stopped_by,
        "cost_usd": progress.cost_usd,
        "warnings": warnings,
    }
