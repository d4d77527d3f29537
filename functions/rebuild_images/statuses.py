"""The statuses of rows that were made again: owners, duplicates and near duplicates stay what they are if they can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log_cache import HashLogCache
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.run.models import Batch
from transform.duplicates import mark_duplicates
from transform.near_duplicates import is_comparable, mark_near_duplicates

Entry = Mapping[str, Any]
_HASHES = ("phash", "dhash", "view_hashes")
_DUPLICATE = ("duplicate_of", "duplicate_distance", "duplicate_kind")


class Statuses:
    """Decides for one file. ``old`` are the rows of the file, ``entries`` those of the media index, by media id."""

    def __init__(
        self,
        batch: Batch,
        old: Mapping[str, Any],
        entries: Mapping[str, Entry],
        media_index: MediaIndex,
        bucket: Bucket,
    ) -> None:
        self._batch = batch
        self._old = old
        self._entries = entries
        self._media_index = media_index
        self._bucket = bucket

    def kept(self, rows: Mapping[str, StagedRow]) -> set[str]:
        """Return the items that must keep their images, although they are rejected now: duplicates refer to them."""
        lost = [
            media_id
            for media_id, row in rows.items()
            if row["status"] == Status.REJECTED and Status.OK in (self._old[media_id]["status"], self._status(media_id))
        ]
        return {media_id for media_id in lost if self._media_index.duplicates_of(media_id)}

    def decide(self, rows: list[StagedRow], cache: HashLogCache) -> list[StagedRow]:
        """Return the rows with duplicates and near duplicates marked."""
        new = [row for row in rows if self.is_new(row)]
        marked = mark_duplicates(new, self._media_index, self._bucket)
        rows = _replace(rows, marked)
        compared = [row for row in rows if row["status"] == Status.OK and self._is_compared(row)]
        near = mark_near_duplicates(compared, self._batch, cache, self._media_index, self._bucket) if compared else []
        others = [self._as_it_was(row) for row in rows if row["status"] == Status.OK and not self._is_compared(row)]
        return _replace(rows, [*others, *near])

    def is_new(self, row: StagedRow) -> bool:
        """Tell if a row has an image that the row or the media index did not have."""
        media_id = row["media_id"]
        before = {self._old[media_id]["status"], self._status(media_id)}
        return row["status"] == Status.OK and before != {Status.OK}

    def _status(self, media_id: str) -> Any:
        # An erasure may have deleted the entry.
        return self._entries.get(media_id, self._old[media_id])["status"]

    def _is_compared(self, row: StagedRow) -> bool:
        """Tell if near duplicates are searched; an original in the hash log stays one, because others may name it."""
        old = self._old[row["media_id"]]
        if old["status"] != Status.OK or not is_comparable(old):
            return True
        return old["duplicate_of"] is not None and any(_plain(old[name]) != _plain(row[name]) for name in _HASHES)  # type: ignore[literal-required]

    def _as_it_was(self, row: StagedRow) -> StagedRow:
        old = self._old[row["media_id"]]
        return cast(StagedRow, row | {name: old[name] for name in _DUPLICATE})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _replace(rows: list[StagedRow], new: list[StagedRow]) -> list[StagedRow]:
    by_id = {row["media_id"]: row for row in new}
    return [by_id.get(row["media_id"], row) for row in rows]
