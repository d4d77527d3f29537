"""Unpack: read one dataset file without its images, and plan which of its rows are made again."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import suppressions
from imagelake.run.contracts import UnpackRequest
from imagelake.run.observability import RUN_ID, logger, metrics
from unpack.settings import UnpackSettings
from unpack.unpacking import unpack


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an ``UnpackRequest`` and return an ``UnpackResult``."""
    request = UnpackRequest.model_validate(event)
    settings = UnpackSettings.load()

    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    result = unpack(request, Bucket(settings.bucket_name), listed)

    metrics.add_metric("RowsUnpacked", MetricUnit.Count, result.batch.items)
    logger.info("file unpacked", extra={"batch": result.batch.model_dump(), "status": result.status})
    return result.model_dump(mode="json")
