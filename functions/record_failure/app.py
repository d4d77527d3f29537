"""Record Failure: keep why a batch failed where Reconcile finds it; the batch itself stays open."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.failures import CaughtError, Failure
from imagelake.run.models import Batch, Run
from imagelake.run.observability import RUN_ID, logger, metrics
from record_failure.settings import RecordFailureSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "batch", "error": what Step Functions caught}``; returns the failure in short."""
    run = Run.model_validate(event["run"])
    batch = Batch.model_validate(event["batch"])

    failure = Failure.of(CaughtError.model_validate(event["error"]))
    Bucket(RecordFailureSettings.load().bucket_name).put_json(
        object_keys.batch_failure(run.run_id, batch.batch_id), failure.model_dump()
    )

    metrics.add_metric("BatchesFailed", MetricUnit.Count, 1)
    logger.error("batch failed", extra={"batch": batch.model_dump(), "failure": failure.model_dump()})
    return failure.model_dump()
