"""Map Keys: map every raw file of a batch to its processed row and back, then close the batch."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import select
from imagelake.lake.staging import Staging
from imagelake.run.events import BatchWritten, publish
from imagelake.run.models import Batch, Run
from imagelake.run.observability import RUN_ID, logger, metrics
from map_keys.settings import MapKeysSettings

# What the mapping keeps of a row, under the row's own names.
_KEPT = (
    "media_id", "source", "feed", "author_id", "status", "error_code", "duplicate_of", "raw_key", "raw_sha256",
    "run_id", "transform_version", "dt",
)  # fmt: skip


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "batch"}``; returns the number of media mapped."""
    run = Run.model_validate(event["run"])
    batch = Batch.model_validate(event["batch"])
    config = MapKeysSettings.load()
    bucket = Bucket(config.bucket_name)

    media_index = MediaIndex(config.image_keys_table)
    rows = Staging(bucket, batch).rows()
    media_ids = [row["media_id"] for row in rows]
    numbers = {media_id: number for number, media_id in enumerate(media_ids)}
    if batch.retried_by:
        # In the file they are where they were.
        numbers = {media_id: int(item["row"]) for media_id, item in media_index.get_many(media_ids).items()}
    place = {"batch_id": batch.batch_id, "processed_key": object_keys.parquet(batch)}
    items = [select(row, _KEPT) | place | {"row": numbers[row["media_id"]]} for row in rows]
    media_index.complete(items)
    # The batch's last act: whatever dies before this line is done again by the next run, under the same names.
    bucket.delete(object_keys.open_batch(batch))

    publish(
        config.event_bus_name,
        BatchWritten(
            run_id=run.run_id,
            dt=run.dt,
            feed_id=batch.feed_id,
            source=batch.source,
            batch_id=batch.batch_id,
            bucket=bucket.name,
            key=object_keys.parquet(batch),
            rows=len(rows),
        ),
    )
    metrics.add_metric("MediaMapped", MetricUnit.Count, len(items))
    logger.info("batch closed", extra={"batch": batch.model_dump(), "mapped": len(items)})
    return {"mapped": len(items)}
