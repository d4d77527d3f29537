"""Fetch: read new pages of one feed within a time budget, and store each page unchanged."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from fetch.feed_reader import read_feed
from fetch.settings import FetchSettings
from imagelake.run.contracts import FeedRequest
from imagelake.run.feed_names import errors_with_id
from imagelake.run.observability import RUN_ID, logger, metrics


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``FeedRequest`` and return the new ``Progress``."""
    request = FeedRequest.model_validate(event)

    settings = FetchSettings.load()
    with errors_with_id(request.feed):
        progress = read_feed(request, settings, seconds_left=lambda: context.get_remaining_time_in_millis() / 1000)

    metrics.add_metric("PagesFetched", MetricUnit.Count, progress.pages - request.progress.pages)
    metrics.add_metric("PostsFetched", MetricUnit.Count, progress.posts - request.progress.posts)
    # Cursor, bookmark and warnings of the progress can name a person.
    logger.info(
        "pages fetched",
        extra={"feed_id": request.feed.feed_id, "status": progress.status, "pages": progress.pages,
               "posts": progress.posts, "suppressed": progress.suppressed, "warnings": len(progress.warnings)},
    )  # fmt: skip
    return progress.model_dump(mode="json")
