"""The work of Rebuild Images on one file: rows from raw images, their statuses, the media index, and the staging.

It needs no claims, because every item has its row, and no network. Whatever is stored before the file is written has
the same place and value when it is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.lake.staging import Staging
from imagelake.run.errors import BatchDeadlineError, DamagedObjectError, FileChangedError, ObjectMissingError
from imagelake.run.models import Batch
from imagelake.run.rebuild_models import RebuildPlan, RebuiltCounts
from rebuild_images.images import RawImages
from rebuild_images.mapping import check_owners, map_changes
from rebuild_images.settings import RebuildImagesSettings
from rebuild_images.statuses import Statuses
from transform.attempts import Attempts
from transform.near_duplicates import hash_log_cache
from transform.results import made_with


def rebuild_batch(
    batch: Batch, config: RebuildImagesSettings, bucket: Bucket, seconds_left: Callable[[], float]
) -> RebuiltCounts:
    """Stage the new rows of a file and return what became of the planned ones; a file that is staged stays so.

    If the time is too short, raises ``BatchDeadlineError``. If a worker died on the file, each image is decoded in a
    process of its own.
    """
    staging = Staging(bucket, batch)
    key = object_keys.rebuild_counts(batch.rebuilt_by, batch.batch_id)
    # The counts come first, so they are those of the staged rows.
    if staging.counts() is not None:
        return _read_counts(bucket, key)
    plan = _read_plan(batch, bucket)
    raw = RawImages(bucket, plan)
    with Attempts(bucket, batch) as attempt:
        made = raw.make_rows(attempt, seconds_left)
        done = len(made) + len(raw.unreadable)
        if done < len(plan.rows):
            raise BatchDeadlineError(f"batch {batch.batch_id}: out of time after {done} of {len(plan.rows)} images")
        rows, kept, changed = _decide(plan, made, config, bucket)
        statuses = [row["status"] for row in rows]
        counts = RebuiltCounts(
            **{status.value: statuses.count(status) for status in (Status.OK, Status.DUPLICATE, Status.REJECTED)},
            unreadable=len(raw.unreadable),
            kept=len(kept),
            changed=changed,
        )
        bucket.put_json(key, counts.model_dump())
        staging.write(rows, made_with=made_with())
        return counts


def _decide(
    plan: RebuildPlan, made: dict[str, StagedRow], config: RebuildImagesSettings, bucket: Bucket
) -> tuple[list[StagedRow], set[str], int]:
    """Decide the statuses of new rows and map them; return the rows, what is kept, and the number of changes."""
    media_index = MediaIndex(config.image_keys_table)
    old: dict[str, Any] = {row["media_id"]: row for row in plan.rows}
    # Half the price of a consistent read; entries that differ from their rows are read again.
    entries = media_index.get_many(made, consistent=False)
    statuses = Statuses(plan.batch, old, entries, media_index, bucket)
    kept = statuses.kept(made)
    in_order = [made[media_id] for media_id in old if media_id in made and media_id not in kept]
    cache = hash_log_cache(config.image_hashes_table, config.bucket_name)
    rows = statuses.decide(in_order, cache)
    map_changes(plan.batch, rows, entries, media_index, bucket)
    check_owners([row for row in rows if statuses.is_new(row)], media_index)
    return rows, kept, sum(row["status"] != old[row["media_id"]]["status"] for row in rows)


def _read_plan(batch: Batch, bucket: Bucket) -> RebuildPlan:
    """Read the plan of a file; an erasure can have deleted it after it had changed the file."""
    try:
        return bucket.get_model(object_keys.planned_batch(batch), RebuildPlan)
    except ObjectMissingError as error:
        raise FileChangedError(f"the rows of batch {batch.batch_id} have to be planned again: {error}") from error


def _read_counts(bucket: Bucket, key: str) -> RebuiltCounts:
    try:
        return bucket.get_model(key, RebuiltCounts)
    except (ObjectMissingError, DamagedObjectError):
        return RebuiltCounts()
