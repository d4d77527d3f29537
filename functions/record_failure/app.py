"""Record Failure: store why a batch failed, for Reconcile; the batch itself stays open."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.contracts import RecordFailureRequest
from imagelake.run.failures import Failure
from imagelake.run.observability import RUN_ID, logger, metrics
from record_failure.settings import RecordFailureSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``RecordFailureRequest`` and return a ``Failure``."""
    request = RecordFailureRequest.model_validate(event)
    bucket = Bucket(RecordFailureSettings.load().bucket_name)

    failure = Failure.of(request.error)
    bucket.put_json(object_keys.batch_failure(request.run.run_id, request.batch.batch_id), failure.model_dump())

    metrics.add_metric("BatchesFailed", MetricUnit.Count, 1)
    logger.error("batch failed", extra={"batch": request.batch.model_dump(), "failure": failure.model_dump()})
    return failure.model_dump(mode="json")
