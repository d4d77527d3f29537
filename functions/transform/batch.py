"""The work of Transform on one batch: claim its items, make their rows, mark near duplicates and stage the result."""

from __future__ import annotations

from collections.abc import Callable

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.open_batches import open_batches
from imagelake.lake.staging import Staging
from imagelake.run.errors import BatchDeadlineError
from imagelake.run.models import Batch, PlannedBatch
from imagelake.sources import get_source
from transform.download import Downloader
from transform.image_urls import SignedUrls
from transform.near_duplicates import hash_log_cache, mark_near_duplicates
from transform.rows import make_rows
from transform.settings import TransformSettings


def transform_batch(
    batch: Batch, config: TransformSettings, bucket: Bucket, seconds_left: Callable[[], float]
) -> dict[str, int]:
    """Stage the rows of a batch and count them by status.

    A batch that is staged already stays as it is: its URLs may have expired since, and its images would be lost. If
    the time is too short, the rows so far are saved for the next try, and ``BatchDeadlineError`` is raised.
    """
    staging = Staging(bucket, batch)
    counts = staging.counts()
    if counts is not None:
        return counts

    plan = bucket.get_model(object_keys.planned_batch(batch), PlannedBatch)
    media_index = MediaIndex(config.image_keys_table)
    claimed = media_index.claim(
        [item.media_id for item in plan.items], batch.batch_id, list_open=lambda: open_batches(bucket)
    )
    source = get_source(batch.source)
    with Downloader(
        trusted_origins=config.trusted_origins, contact=config.contact, allowed_hosts=source.media_hosts
    ) as downloader:
        image_urls = SignedUrls(source, downloader, config)
        saved = staging.load_parts()
        remaining = claimed - {row["media_id"] for row in saved}
        new = list(make_rows(plan, remaining, image_urls.download, bucket, seconds_left))
    if len(new) < len(remaining):
        if new:
            staging.save_part(new, len(saved))
        done = len(saved) + len(new)
        raise BatchDeadlineError(f"batch {batch.batch_id}: out of time after {done} of {len(claimed)} items")

    positions = {item.media_id: position for position, item in enumerate(plan.items)}
    rows = sorted(saved + new, key=lambda row: positions[row["media_id"]])
    counts = staging.write(mark_near_duplicates(rows, batch, hash_log_cache(config.image_hashes_table)))
    if saved:
        staging.drop_parts()
    return counts
