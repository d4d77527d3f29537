"""Transform: make a row of every media item of one batch, with its image where there is one."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.run.contracts import BatchRequest, TransformResult
from imagelake.run.observability import RUN_ID, logger, metrics
from transform.batch import transform_batch
from transform.settings import TransformSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``BatchRequest`` and return a ``TransformResult``."""
    batch = BatchRequest.model_validate(event).batch
    settings = TransformSettings.load()

    counts = transform_batch(
        batch,
        settings,
        Bucket(settings.bucket_name),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )

    for status, number in counts.items():
        metrics.add_metric(f"Images{status.capitalize()}", MetricUnit.Count, number)
    logger.info("batch transformed", extra={"batch": batch.model_dump(), "rows": counts})
    return TransformResult(**counts).model_dump(mode="json")
