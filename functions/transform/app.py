"""Transform: make a row of every media item of one batch, with its picture where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log import HashLog
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.staging import drop_parts, keep_part, kept_parts, stage, staged
from imagelake.run.errors import BatchDeadlineError
from imagelake.run.models import Batch, PlannedBatch
from imagelake.run.observability import RUN_ID, logger, metrics
from imagelake.sources import get_source
from transform.download import Downloader
from transform.image_urls import SignedUrls
from transform.near_duplicates import mark_near_duplicates
from transform.pictures import make_rows
from transform.settings import TransformSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "batch"}``; returns the number of rows by status."""
    batch = Batch.model_validate(event["batch"])
    config = TransformSettings.load()
    bucket = Bucket(config.bucket_name)

    counts = staged(batch, bucket) or _transform(
        batch, config, bucket, seconds_left=lambda: context.get_remaining_time_in_millis() / 1000
    )

    for status, number in counts.items():
        metrics.add_metric(f"Images{status.capitalize()}", MetricUnit.Count, number)
    logger.info("batch transformed", extra={"batch": batch.model_dump(), "rows": counts})
    return counts


def _transform(
    batch: Batch, config: TransformSettings, bucket: Bucket, seconds_left: Callable[[], float]
) -> dict[str, int]:
    plan = PlannedBatch.model_validate_json(bucket.get(object_keys.planned_batch(batch)))
    ours = MediaIndex(config.image_keys_table).claim((item.media_id for item in plan.items), batch.batch_id)
    source = get_source(batch.source)
    with Downloader(
        trusted_origins=config.trusted_origins, contact=config.contact, allowed_hosts=source.media_hosts
    ) as downloader:
        addresses = SignedUrls(source, downloader, config)
        kept = kept_parts(batch, bucket)
        left = ours - {result.row["media_id"] for result in kept}
        made = list(make_rows(plan, left, addresses.download, bucket, seconds_left))
    if len(made) < len(left):
        if made:
            keep_part(made, len(kept), batch, bucket)
        done = len(kept) + len(made)
        raise BatchDeadlineError(f"batch {batch.batch_id}: out of time after {done} of {len(ours)} items")
    place = {item.media_id: number for number, item in enumerate(plan.items)}
    results = sorted(kept + made, key=lambda result: place[result.row["media_id"]])
    counts = stage(mark_near_duplicates(results, batch, HashLog(config.image_hashes_table)), batch, bucket)
    if kept:
        drop_parts(batch, bucket)
    return counts
