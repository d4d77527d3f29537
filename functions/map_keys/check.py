"""The check before a batch is closed: plan, rows, media index and file agree."""

from __future__ import annotations

from collections.abc import Iterator

from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import find_difference
from imagelake.lake.media_index import MediaIndex, is_of
from imagelake.lake.originals import originals_of, with_image
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import planned_rows
from imagelake.run.errors import ReconciliationError
from imagelake.run.models import PlannedBatch


def check_batch(
    plan: PlannedBatch, rows: list[StagedRow], staged_sha256: str, bucket: Bucket, media_index: MediaIndex
) -> None:
    """Raise a ``ReconciliationError`` that names the batch and its first difference."""
    batch = plan.batch
    difference = next(_differences(plan, rows, bucket, media_index), None)
    difference = difference or find_difference(bucket, batch, len(rows), staged_sha256)
    if difference is not None:
        raise ReconciliationError(f"batch {batch.batch_id} of {batch.feed_id}, {batch.dt}: {difference}")


def _differences(plan: PlannedBatch, rows: list[StagedRow], bucket: Bucket, media_index: MediaIndex) -> Iterator[str]:
    planned = dict.fromkeys(item.media_id for item in plan.items)
    named = planned_rows(rows, planned)
    with_row = dict.fromkeys(row["media_id"] for row in named)
    if len(named) != len(with_row):
        yield f"{len(named)} rows of {len(with_row)} items"
    unplanned = [media_id for media_id in with_row if media_id not in planned]
    if unplanned:
        yield f"{len(unplanned)} rows were not planned, the first is {unplanned[0]}"
    # Another batch may have claimed a planned item before this one.
    without_row = [media_id for media_id in planned if media_id not in with_row]
    mapped = media_index.get_many(without_row)
    lost = [media_id for media_id in without_row if media_id not in mapped or is_of(mapped[media_id], plan.batch)]
    # The other erased rows stand for items that Transform has not claimed, or that an erasure has removed.
    if len(lost) > len(rows) - len(named):
        yield f"{len(lost)} of {len(planned)} planned items have no row, the first is {lost[0]}"
    valid = with_image(originals_of(rows), rows, media_index, bucket)
    for row in rows:
        if row["duplicate_of"] is not None and row["duplicate_of"] not in valid:
            yield f"{row['media_id']} is a duplicate of {row['duplicate_of']}, which does not have the image"
