"""Write Parquet: write one batch's rows to its one file of the dataset."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import suppressions
from imagelake.run.contracts import BatchRequest, WriteParquetResult
from imagelake.run.observability import RUN_ID, logger, metrics
from write_parquet.file import write_batch
from write_parquet.settings import WriteParquetSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``BatchRequest`` and return a ``WriteParquetResult``."""
    batch = BatchRequest.model_validate(event).batch
    settings = WriteParquetSettings.load()
    bucket = Bucket(settings.bucket_name)

    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    rows = write_batch(batch, bucket, listed)
    key = object_keys.parquet(batch)

    metrics.add_metric("RowsWritten", MetricUnit.Count, rows)
    logger.info("file written", extra={"batch": batch.model_dump(), "key": key, "rows": rows})
    return WriteParquetResult(key=key, rows=rows).model_dump(mode="json")
