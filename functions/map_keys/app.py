"""Map Keys: check a batch, map every raw image of it to its row and back, then close the batch."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.run.contracts import BatchRequest, MapKeysResult
from imagelake.run.events import BatchWritten, publish
from imagelake.run.observability import RUN_ID, logger, metrics
from map_keys.mapping import close, map_rows
from map_keys.settings import MapKeysSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``BatchRequest`` and return a ``MapKeysResult``."""
    request = BatchRequest.model_validate(event)
    settings = MapKeysSettings.load()
    run, batch = request.run, request.batch
    bucket = Bucket(settings.bucket_name)

    mapped = map_rows(batch, bucket, MediaIndex(settings.image_keys_table))
    if mapped:
        publish(
            settings.event_bus_name,
            BatchWritten(
                run_id=run.run_id,
                dt=run.dt,
                feed_id=batch.feed_id,
                source=batch.source,
                batch_id=batch.batch_id,
                bucket=bucket.name,
                key=object_keys.parquet(batch),
                rows=mapped,
                retried_by=batch.retried_by,
            ),
        )
    # This comes last: if a worker dies before it, the next run repeats the step, with the same event.
    close(batch, bucket)

    metrics.add_metric("MediaMapped", MetricUnit.Count, mapped)
    logger.info("batch closed", extra={"batch": batch.model_dump(), "mapped": mapped})
    return MapKeysResult(mapped=mapped).model_dump(mode="json")
