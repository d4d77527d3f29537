"""Promotion: a duplicate gets the image of an owner that is to be erased. It has the same bytes, so nothing is decoded.

The duplicate keeps the columns of its own post. It does not take over that the owner is a near duplicate of something,
because that may be erased at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

from erase_rows.batch_rows import BatchRows, RowChanges
from erase_rows.counted_objects import CountedObjects
from erase_rows.working_objects import WorkingObjects
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status, image_file
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import ObjectMissingError, ReconciliationError, StorageUnavailableError
from imagelake.run.posts import Item
from parquet.replaced_rows import DatasetFile

Values = dict[str, Any]
# The columns of a row that do not come from its image.
_OWN = {*Item.model_fields, "run_id", "dt"}
NO_ORIGINAL = {"duplicate_of": None, "duplicate_distance": None, "duplicate_kind": None}


def promote(changes: FileChanges, bucket: Bucket, objects: CountedObjects, media_index: MediaIndex) -> None:
    """Give the duplicates in a file the images of their owners, then make them the owners."""
    promotion = Promotion(changes, bucket)
    rows = BatchRows(changes.key, promotion, bucket, objects)
    rows.rewrite()
    if not promotion.rows:
        raise ObjectMissingError(f"{changes.key} does not exist")
    work = WorkingObjects(rows.batch_id, (), bucket, objects)
    work.rewrite(rows)
    # What a rebuild has made of the duplicate names the owner.
    work.remove_rebuilds()
    former = {promotion.rows[one]["raw_sha256"]: owner for one, (owner, _) in changes.promote.items()}
    media_index.own({row["raw_sha256"]: one for one, row in promotion.rows.items()}, instead_of=former)
    # The entries come last, because the search for duplicates finds them by these.
    for media_id, (owner, _) in changes.promote.items():
        media_index.promote(media_id, owner)


class Promotion(RowChanges):
    """The promotions in one file; ``rows`` are the promoted rows by media id."""

    def __init__(self, changes: FileChanges, bucket: Bucket) -> None:
        super().__init__(changes.promote)
        self._key = changes.key
        self._promote = changes.promote
        self._bucket = bucket
        self.rows: dict[str, Values] = {}

    def in_file(self, file: DatasetFile, rows: Mapping[int, Values]) -> Mapping[int, Values]:
        """Promote rows, except those that were promoted before: their owners may be erased already."""
        waiting = {number: row for number, row in rows.items() if row["status"] == Status.DUPLICATE}
        donors = self._donors(file, [row["media_id"] for row in waiting.values()])
        promoted = {number: self._promoted(number, row, donors) for number, row in waiting.items()}
        self.rows = {row["media_id"]: row for row in {**rows, **promoted}.values() if row["status"] == Status.OK}
        if len(self.rows) < len(self._promote):
            raise StorageUnavailableError(
                f"{self._key}: {len(self._promote) - len(self.rows)} duplicates are gone; start the erasure again"
            )
        return promoted

    def in_staging(self, row: StagedRow) -> StagedRow:
        """Note that the row has an image now; the image itself is only in the file."""
        if row["status"] != Status.DUPLICATE or row["media_id"] not in self.rows:
            return row
        promoted = self.rows[row["media_id"]]
        taken = {name: value for name, value in promoted.items() if name in row and name not in _OWN}
        return cast(StagedRow, {**row, **taken, "image": None, "tensor": None})

    def _donors(self, file: DatasetFile, media_ids: list[str]) -> dict[str, Values]:
        """Read the rows of the owners of these items, by the owners' media ids."""
        owners: defaultdict[str, list[str]] = defaultdict(list)
        for owner, key in (self._promote[media_id] for media_id in media_ids):
            owners[key].append(owner)
        files = ((key, file if key == self._key else DatasetFile(key, self._bucket.get(key))) for key in owners)
        return {row["media_id"]: row for key, one in files for row in one.rows_of(owners[key]).values()}

    def _promoted(self, number: int, row: Values, donors: Mapping[str, Values]) -> Values:
        owner, key = self._promote[row["media_id"]]
        donor = donors.get(owner)
        if donor is None or donor["image"] is None or donor["raw_sha256"] != row["raw_sha256"]:
            raise ReconciliationError(f"row {number} of {self._key} is a duplicate, but {key} does not have its image")
        taken = {name: donor.get(name) for name in row if name not in _OWN}
        return {**row, **taken, **NO_ORIGINAL, "image": image_file(row["media_id"], donor["image"]["bytes"])}
