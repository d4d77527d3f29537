"""The items of open batches: the media index has no complete entries of them yet, so plans and rows are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from typing import NamedTuple

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.staging import Staging
from imagelake.run.aws import THREADS
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from imagelake.run.models import Batch, PlannedBatch
from imagelake.run.posts import Item


class OpenItem(NamedTuple):
    """A planned item, its batch, and columns of its row if it has one."""

    item: Item
    batch: Batch
    status: str | None
    raw_sha256: str | None
    duplicate_of: str | None

    @property
    def key(self) -> str:
        """The key of the dataset file that the item will be in."""
        return object_keys.parquet(self.batch)


def open_items(bucket: Bucket) -> list[OpenItem]:
    """Read the items of all open batches; one can be in several, until one of them claims it."""
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda key: list(_items(bucket, key)), bucket.list(object_keys.OPEN))
        return [item for items in found for item in items]


def planned_items(bucket: Bucket) -> list[OpenItem]:
    """Read the items in all versions of plans and open markers.

    A run that planned an item before it was suppressed may have closed its batch since then, without an entry for it:
    another batch had claimed the item, or the item was suppressed. The marker of a closed batch is an older version.
    """
    versions = (bucket.all_versions_under(prefix) for prefix in (object_keys.PLANS, object_keys.OPEN))
    # Marker and plan of a batch are mostly the same, so each body is read once.
    bodies = {
        etag: (key, version_id)
        for key, found in chain.from_iterable(one.items() for one in versions)
        for version_id, etag in found.items()
        if etag is not None
    }
    with ThreadPoolExecutor(THREADS) as pool:
        plans = pool.map(lambda place: _plan(bucket, *place), bodies.values())
        return [
            OpenItem(item, plan.batch, None, None, None) for plan in plans if plan is not None for item in plan.items
        ]


def stored_images(bucket: Bucket, items: Iterable[OpenItem]) -> dict[str, str]:
    """Return the SHA-256 of the raw image that a run has stored for an item, by media id, from the parts of its batch.

    If the item was suppressed before the batch was staged, nothing else has the SHA-256.
    """
    media_ids = {one.item.media_id: one.batch for one in items}
    decided = {batch.work_id: _decided(Parts(bucket, batch)) for batch in media_ids.values()}
    rows = {one: decided[batch.work_id].get(one) for one, batch in media_ids.items()}
    return {one: row["raw_sha256"] for one, row in rows.items() if row is not None and row["raw_sha256"] is not None}


def _plan(bucket: Bucket, key: str, version_id: str) -> PlannedBatch | None:
    with suppress(ObjectMissingError, ValueError):
        return PlannedBatch.model_validate_json(bucket.get_old(key, version_id))
    return None


def _items(bucket: Bucket, key: str) -> Iterator[OpenItem]:
    try:
        planned = bucket.get_model(key, PlannedBatch)
    except ObjectMissingError:
        return  # A run has closed the batch after it was listed.
    rows = _rows(bucket, planned.batch)
    for item in planned.items:
        row = rows.get(item.media_id)
        values = (row["status"], row["raw_sha256"], row["duplicate_of"]) if row else (None, None, None)
        yield OpenItem(item, planned.batch, *values)


def _rows(bucket: Bucket, batch: Batch) -> dict[str | None, StagedRow]:
    """Read the rows of a batch: those that are decided, and over them those that are staged."""
    rows = _decided(Parts(bucket, batch))
    with suppress(ObjectMissingError, DamagedObjectError):  # Transform stages them again.
        rows |= {row["media_id"]: row for row in Staging(bucket, batch).rows()}
    return rows


def _decided(parts: Parts) -> dict[str | None, StagedRow]:
    rows: dict[str | None, StagedRow] = {}
    for number in parts.numbers():
        part = parts.read(number)
        rows |= {row["media_id"]: row for row in [*part.damaged, *part.rows.values()]}
    return rows
