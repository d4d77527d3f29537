"""Write Parquet: write one batch's rows to its one file of the dataset."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.staging import Staging
from imagelake.run.aws import aws_errors
from imagelake.run.models import Batch
from imagelake.run.observability import RUN_ID, logger, metrics
from write_parquet.settings import WriteParquetSettings
from write_parquet.table import read, write


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "batch"}``; returns the file's key and its number of rows."""
    batch = Batch.model_validate(event["batch"])
    bucket = Bucket(WriteParquetSettings.load().bucket_name)

    rows = Staging(bucket, batch).rows_with_images()
    key = object_keys.parquet(batch)
    if rows:
        written = read(bucket.get(key)) if batch.retried_by else []
        with aws_errors(key):
            write(rows, f"s3://{bucket.name}/{key}", written)

    metrics.add_metric("RowsWritten", MetricUnit.Count, len(rows))
    logger.info("file written", extra={"batch": batch.model_dump(), "key": key, "rows": len(rows)})
    return {"key": key, "rows": len(rows)}
