"""The rows of one batch: those in its dataset file, and the staged ones from which they were made.

The file's metadata names its staged rows by their SHA-256. So the file changes first, and names the staged rows as they
will be. A worker of the pipeline in between finds the former ones, and they are named too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from erase_rows.counted_objects import CountedObjects
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.dataset_file import is_made_from, metadata_after
from imagelake.lake.erased_objects import Change, Place
from imagelake.lake.parts import StagedRow
from imagelake.lake.staging import Staged, pack, unpack
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageUnavailableError
from imagelake.run.retries import attempts
from parquet.replaced_rows import DatasetFile

_TRIES = 5
_PARQUET, _LINES = "application/vnd.apache.parquet", "application/x-ndjson"


class RowChanges(ABC):
    """Changes of the rows of some items; ``erased`` are the items whose rows become tombstones."""

    def __init__(self, media_ids: Collection[str], erased: Collection[str] = ()) -> None:
        self.media_ids = media_ids
        self.erased = erased

    @abstractmethod
    def in_file(self, file: DatasetFile, rows: Mapping[int, dict[str, Any]]) -> Mapping[int, dict[str, Any]]:
        """Change rows of the file, by their numbers."""

    @abstractmethod
    def in_staging(self, row: StagedRow) -> StagedRow:
        """Change a staged row of one of the items."""


class BatchRows:
    """The dataset file at ``key``, which may be missing, and all staged rows of its batch."""

    def __init__(self, key: str, changes: RowChanges, bucket: Bucket, objects: CountedObjects) -> None:
        self._key = key
        self._changes = changes
        self._bucket = bucket
        self._objects = objects
        self._replaced: dict[str, str] = {}
        # The staged rows after the changes, by the keys of their objects.
        self.staged: dict[str, list[StagedRow]] = {}

    @property
    def batch_id(self) -> str:
        """The id of the batch, which is the name of the file."""
        return self._key.rpartition("/")[2].removesuffix(".parquet")

    def rewrite(self) -> None:
        """Change file and staged rows; start over if a worker replaces the staged rows meanwhile."""
        for _ in attempts(_TRIES):
            prefix = object_keys.batch_prefixes(self.batch_id)["staged"]
            staged = self._bucket.list(prefix)
            former = [one for key in staged if (one := self._read_staged(key)) is not None]
            self._objects.rewrite(Place.DATASET_FILES, self._key, _PARQUET, partial(self._change_file, former))
            # The file may be missing; then nothing has been noted so far.
            self._note_replaced(former)
            self._objects.rewrite_all(Place.STAGED_BATCHES, staged, _LINES, self._stage)
            if self._is_done():
                return
        raise StorageUnavailableError(f"{self._key}: {_TRIES} times the staged rows changed meanwhile")

    def _change_file(self, former: list[Staged], body: bytes, version: Version) -> Change | None:
        file = DatasetFile(self._key, body)
        rows = file.rows_of(self._changes.media_ids)
        changed = {number: row for number, row in self._changes.in_file(file, rows).items() if row != rows[number]}
        self._note_replaced(former)
        metadata = metadata_after(version, self._replaced)
        if not changed and metadata == version.metadata:
            return None
        items = [row["media_id"] for number, row in rows.items() if number in changed]
        return Change(
            file.replaced(changed) if changed else body, [one for one in items if one in self._changes.erased], metadata
        )

    def _note_replaced(self, former: list[Staged]) -> None:
        """Note the SHA-256 of the staged rows as they will be."""
        for staged in former:
            before, after = (_sha256(rows, staged) for rows in (staged.rows, self._changed(staged.rows)))
            if before != after:
                self._replaced[before] = after

    def _stage(self, key: str, body: bytes, version: Version) -> Change | None:
        """Change the staged rows in an object, unless they are others than those that the file knows."""
        try:
            staged = unpack(key, body)
        except DamagedObjectError:
            # Nobody can say of whom they are. Transform stages them again if the batch is open.
            return Change(None, self._changes.erased) if self._changes.erased else None
        changed = self._changed(staged.rows)
        if staged.sha256 not in self._replaced:
            self.staged[key] = staged.rows
            return None
        self.staged[key] = changed
        items = {row["media_id"] for row in staged.rows} & {*self._changes.erased}
        return Change(pack(changed, staged.made_with), items)

    def _is_done(self) -> bool:
        """Tell if all staged rows are changed, and if the file, which a worker may have written, names them."""
        if any(self._changed(rows) != rows for rows in self.staged.values()):
            return False
        version = self._bucket.version(self._key) if self._replaced else None
        return version is None or all(
            is_made_from(version, after) for before, after in self._replaced.items() if is_made_from(version, before)
        )

    def _changed(self, rows: list[StagedRow]) -> list[StagedRow]:
        media_ids = self._changes.media_ids
        return [self._changes.in_staging(row) if row["media_id"] in media_ids else row for row in rows]

    def changed_in_part(self, row: StagedRow) -> StagedRow:
        """Change a row of a part."""
        return self._changed([row])[0]

    def _read_staged(self, key: str) -> Staged | None:
        try:
            return unpack(key, self._bucket.get(key))
        except (ObjectMissingError, DamagedObjectError):
            return None


def _sha256(rows: list[StagedRow], staged: Staged) -> str:
    return pack(rows, staged.made_with).partition(b"\n")[0].decode()
