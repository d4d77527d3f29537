"""The media index after a rebuild: only the entries of rows with another status, error or original change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import is_read_version, read_version
from imagelake.lake.index_entries import outcome_of
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.run.errors import FileChangedError, StorageUnavailableError
from imagelake.run.models import Batch


def map_changes(
    batch: Batch,
    rows: list[StagedRow],
    entries: Mapping[str, Mapping[str, Any]],
    media_index: MediaIndex,
    bucket: Bucket,
) -> int:
    """Change the entries that differ from their rows; return their number.

    An erasure that gives a duplicate its image changes the file first and its entry later. So if the file is still
    the one that was read, and the entry is still what it was before that, no erasure is undone. Nor is a row staged
    that names an erased item.
    """
    differing = [row for row in rows if _differs(row, entries.get(row["media_id"]))]
    before = media_index.get_many(row["media_id"] for row in differing)
    changes = [
        (entry, row) for row in differing if (entry := before.get(row["media_id"])) is not None and _differs(row, entry)
    ]
    rejected = {row["raw_sha256"] or "": row["media_id"] for row in rows if row["status"] == Status.REJECTED}
    if not is_read_version(read_version(bucket, batch), batch):
        raise FileChangedError(f"the file of batch {batch.batch_id} has changed since the rebuild has read it")
    # Of all of them, because a rebuild that did not end may have made them owners.
    media_index.disown(rejected)
    for entry, row in changes:
        if not media_index.replace(entry, dict(entry) | outcome_of(row)):
            raise FileChangedError(
                f"an entry of batch {batch.batch_id} has changed since the rebuild has read the file"
            )
    return len(changes)


def check_owners(rows: list[StagedRow], media_index: MediaIndex) -> None:
    """Raise an error if a new owner has lost its image to another item, before its entry had the image."""
    expected = {row["raw_sha256"]: row["media_id"] for row in rows if row["raw_sha256"] is not None}
    if expected and media_index.own(expected) != expected:
        raise StorageUnavailableError(
            "another item became the owner of the same bytes, so this has to be decided again"
        )


def _differs(row: StagedRow, entry: Mapping[str, Any] | None) -> bool:
    # An erasure has deleted an entry that is missing.
    return entry is not None and any(value != entry.get(name) for name, value in outcome_of(row).items())
