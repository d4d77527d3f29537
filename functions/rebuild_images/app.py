"""Rebuild Images: make the planned rows of one dataset file again, from raw images."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.run.contracts import BatchRequest
from imagelake.run.observability import RUN_ID, logger, metrics
from rebuild_images.rebuilding import rebuild_batch
from rebuild_images.settings import RebuildImagesSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``BatchRequest`` and return ``RebuiltCounts``."""
    batch = BatchRequest.model_validate(event).batch
    settings = RebuildImagesSettings.load()

    counts = rebuild_batch(
        batch,
        settings,
        Bucket(settings.bucket_name),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )

    for name, number in counts.model_dump().items():
        metrics.add_metric(f"Rows{name.capitalize()}", MetricUnit.Count, number)
    logger.info("images rebuilt", extra={"batch": batch.model_dump(), "rows": counts.model_dump()})
    return counts.model_dump(mode="json")
