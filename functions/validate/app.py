"""Validate: turn raw pages into checked media items, store the rejects with a reason, and plan the batches."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.suppression import suppressions
from imagelake.run.contracts import FeedRequest
from imagelake.run.feed_names import errors_with_id
from imagelake.run.models import FeedPlan
from imagelake.run.observability import RUN_ID, logger, metrics
from imagelake.sources import get_source, parse_feed
from validate.pages import read_pages
from validate.planner import Planner
from validate.retries import reopen
from validate.settings import ValidateSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``FeedRequest`` and return a ``FeedPlan``."""
    request = FeedRequest.model_validate(event)
    settings = ValidateSettings.load()
    with errors_with_id(request.feed):
        plan = _plan(request, settings)

    metrics.add_metric("ItemsPlanned", MetricUnit.Count, plan.items)
    metrics.add_metric("PostsRejected", MetricUnit.Count, plan.rejected_posts)
    # Bookmark and warnings of the plan can name a person.
    logger.info(
        "batches planned",
        extra={"feed_id": request.feed.feed_id, "batches": plan.batches, "items": plan.items, "posts": plan.posts,
               "rejected_posts": plan.rejected_posts, "suppressed": plan.suppressed, "warnings": len(plan.warnings)},
    )  # fmt: skip
    return plan.model_dump(mode="json")


def _plan(request: FeedRequest, settings: ValidateSettings) -> FeedPlan:
    run, feed_id = request.run, request.feed.feed_id
    bucket = Bucket(settings.bucket_name)
    media_index = MediaIndex(settings.image_keys_table)

    problems = reopen(run.retry, run.run_id, feed_id, bucket, media_index) if run.retry else []
    warnings = [*request.progress.warnings, *(f"{request.feed.name}: {problem}" for problem in problems)]
    planner = Planner(request, bucket, media_index)
    if request.feed.resume_only:
        selection = planner.select_open_batches()
    else:
        feed = parse_feed(request.feed.config)
        listed = suppressions(settings.suppression_table, settings.suppression_key).read()
        pages = request.progress.pages
        entries = read_pages(get_source(feed.source), feed, feed_id, run, pages, bucket, listed)
        selection = planner.select(feed, entries)
    return planner.write(selection, warnings)
