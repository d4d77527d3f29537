"""Write Parquet: write one batch's rows to its one file of the dataset."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.staging import Staging
from imagelake.run.aws import aws_errors
from imagelake.run.contracts import BatchRequest, WriteParquetResult
from imagelake.run.observability import RUN_ID, logger, metrics
from write_parquet.settings import WriteParquetSettings
from write_parquet.table import read, write


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``BatchRequest`` and return a ``WriteParquetResult``."""
    batch = BatchRequest.model_validate(event).batch
    bucket = Bucket(WriteParquetSettings.load().bucket_name)

    rows = Staging(bucket, batch).rows_with_images()
    key = object_keys.parquet(batch)
    if rows:
        # A retry replaces some rows of the file and keeps the others.
        old_rows = read(bucket.get(key)) if batch.retried_by else []
        with aws_errors(key):
            write(rows, f"s3://{bucket.name}/{key}", old_rows)

    metrics.add_metric("RowsWritten", MetricUnit.Count, len(rows))
    logger.info("file written", extra={"batch": batch.model_dump(), "key": key, "rows": len(rows)})
    return WriteParquetResult(key=key, rows=len(rows)).model_dump(mode="json")
