"""The items of a batch in the media index: each maps a raw image to its row in the dataset."""

from __future__ import annotations

from contextlib import suppress

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, named_if_damaged
from imagelake.lake.index_entries import outcome_of
from imagelake.lake.index_keys import author_key, post_key
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import Status, planned_rows, select
from imagelake.lake.staging import Staging
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Batch, PlannedBatch
from map_keys.check import check_batch

# Columns of a row that its item in the media index also has, beside its outcome.
_COLUMNS = ("media_id", "source", "feed", "raw_key", "raw_sha256", "run_id", "dt")


def close(batch: Batch, bucket: Bucket) -> None:
    """Delete the open marker of a batch, but not that of a retry which has opened the batch again since."""
    key = object_keys.open_batch(batch)
    with suppress(ObjectMissingError):
        body, version = bucket.get_with_version(key)
        with named_if_damaged(key):
            marker = PlannedBatch.model_validate_json(body)
        if marker.batch.retried_by == batch.retried_by:
            bucket.delete(key, version)


def map_rows(batch: Batch, bucket: Bucket, media_index: MediaIndex) -> int:
    """Check a batch, then complete the items of all its rows; return the number of rows."""
    rows, staged_sha256 = Staging(bucket, batch).read_rows()
    plan = bucket.get_model(object_keys.planned_batch(batch), PlannedBatch)
    check_batch(plan, rows, staged_sha256, bucket, media_index)
    named = planned_rows(rows, {item.media_id for item in plan.items})
    media_ids = [row["media_id"] for row in named]
    row_numbers = {row["media_id"]: number for number, row in enumerate(rows)}
    if batch.retried_by:
        # A retry replaces rows in place, so their row numbers stay.
        row_numbers = {media_id: item["row"] for media_id, item in media_index.get_many(media_ids).items()}
    location = {"batch_id": batch.batch_id, "processed_key": object_keys.parquet(batch)}
    if batch.retried_by:
        location["retried_by"] = batch.retried_by
    # Of several rows with the same bytes, the first one counts.
    rejected = [row for row in reversed(rows) if row["status"] == Status.REJECTED and row["raw_sha256"]]
    media_index.note_rejected({str(row["raw_sha256"]): row["media_id"] for row in rejected})
    media_index.complete(
        [
            select(row, _COLUMNS)
            | outcome_of(row)
            | location
            | {
                "row": row_numbers[row["media_id"]],
                "author": author_key(row["source"], row["author_id"]),
                "post_id": post_key(row["post_id"]),
            }
            for row in named
        ]
    )
    return len(rows)
