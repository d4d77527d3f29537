"""Originals: the media items that duplicates refer to. Each must have an image in its row, now or soon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import CLAIMED, MediaIndex
from imagelake.lake.open_batches import open_batches
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status


def originals_of(rows: Iterable[StagedRow]) -> dict[str, str | None]:
    """Return the originals that rows name, each with its raw image's SHA-256, or ``None`` for a near duplicate."""
    return {
        row["duplicate_of"]: row["raw_sha256"] if row["status"] == Status.DUPLICATE else None
        for row in rows
        if row["duplicate_of"] is not None
    }


def has_lost_original(row: StagedRow) -> bool:
    """Tell if the original of a duplicate was erased while its batch was open; then Transform gives it the image."""
    return row["status"] == Status.DUPLICATE and row["duplicate_of"] is None


def with_image(
    originals: Mapping[str, str | None], rows: Iterable[StagedRow], media_index: MediaIndex, bucket: Bucket
) -> set[str]:
    """Return those originals that have an image in a row, or will have one when their batch is closed.

    ``originals`` are by media id, with the SHA-256 that the raw image must have, if any. ``rows`` are those of the
    batch at work; the media index knows the others.
    """
    own = {row["media_id"]: row for row in rows}
    entries = media_index.get_many(originals.keys() - own.keys())
    claimed = [media_id for media_id, entry in entries.items() if entry["status"] == CLAIMED]
    # The list comes before the second read: a batch in between finishes its items before it is closed.
    working = open_batches(bucket) if claimed else {}
    entries |= media_index.get_many(claimed)

    def has_image(media_id: str, sha256: str | None) -> bool:
        entry: Mapping[str, object] = own.get(media_id) or entries.get(media_id) or {}
        if entry.get("status") == CLAIMED:
            return entry["batch_id"] in working
        return entry.get("status") == Status.OK and sha256 in (None, entry.get("raw_sha256"))

    return {media_id for media_id, sha256 in originals.items() if has_image(media_id, sha256)}
