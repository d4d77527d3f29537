"""Erasing: tombstones in a dataset file and in everything that its batch still stores, and new originals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from erase_rows.batch_rows import BatchRows, RowChanges
from erase_rows.counted_objects import CountedObjects
from erase_rows.promotion import NO_ORIGINAL
from erase_rows.working_objects import WorkingObjects
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import tombstone
from imagelake.lake.suppression import SuppressionList
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import StorageUnavailableError
from parquet.replaced_rows import DatasetFile


def erase(
    changes: FileChanges, bucket: Bucket, objects: CountedObjects, media_index: MediaIndex, listed: SuppressionList
) -> None:
    """Erase the items of one file and of its batch.

    If this is killed, the next search finds the same work: open batches by their markers and duplicates by their
    entries, so these change last.
    """
    relink = {one: new for one, new in changes.relink.items() if new is None or not listed.has_media(new)}
    rows = BatchRows(changes.key, Erasing(changes.erase, relink, listed), bucket, objects)
    work = WorkingObjects(rows.batch_id, changes.erase, bucket, objects)
    work.remove_claims(media_index)
    rows.rewrite()
    work.rewrite(rows)
    work.remove_rebuilds()
    _relink_entries(relink, media_index, listed)
    if relink.keys() != changes.relink.keys():
        raise StorageUnavailableError(f"{changes.key}: a new original was erased meanwhile; start the erasure again")


class Erasing(RowChanges):
    """The erased items of one file, and the new originals of others."""

    def __init__(self, erased: Collection[str], relink: Mapping[str, str | None], listed: SuppressionList) -> None:
        super().__init__({*erased, *relink}, {*erased})
        self._relink = relink
        self._listed = listed

    def in_file(self, file: DatasetFile, rows: Mapping[int, dict[str, Any]]) -> Mapping[int, dict[str, Any]]:
        """Change rows of the file."""
        return {number: self._changed(row) for number, row in rows.items()}

    def in_staging(self, row: StagedRow) -> StagedRow:
        """Change a staged row."""
        return cast(StagedRow, self._changed(row))

    def _changed(self, row: Any) -> Any:
        if row["media_id"] in self.erased:
            return tombstone(row)
        former, original = row["duplicate_of"], self._relink[row["media_id"]]
        # Another erasure may have given it a later original.
        if former is None or not self._listed.has_media(former):
            return row
        if original is None:
            return {**row, **NO_ORIGINAL}
        return {**row, "duplicate_of": original}


def _relink_entries(relink: Mapping[str, str | None], media_index: MediaIndex, listed: SuppressionList) -> None:
    for media_id, entry in media_index.get_many(relink).items():
        former = entry.get("duplicate_of")
        if former is None or not listed.has_media(former):
            continue
        if relink[media_id] == media_id:
            # The promotion was killed after the item had become the owner.
            media_index.promote(media_id, former)
        else:
            media_index.relink(media_id, former, relink[media_id])
