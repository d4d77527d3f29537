"""Exact duplicates: items whose image has the same bytes as the image of another item, its *owner*.

Only an item that has its image in a row can own bytes. So a duplicate never refers to a row without an image.
"""

from __future__ import annotations

from collections.abc import Iterable

from imagelake.lake.media_index import CLAIMED, MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status


def mark_duplicates(rows: list[StagedRow], media_index: MediaIndex) -> list[StagedRow]:
    """Make the first item of each new image its owner; every other row with the image loses it and names the owner.

    Rows that are marked again get the same result.
    """
    candidates: dict[str, str] = {}
    for row in rows:
        if row["status"] == Status.OK and row["raw_sha256"] is not None:
            candidates.setdefault(row["raw_sha256"], row["media_id"])
    owners = media_index.own(candidates)
    valid = with_image(owners.values(), rows, media_index)
    lost = {sha256: owner for sha256, owner in owners.items() if owner not in valid}
    owners |= media_index.own({sha256: candidates[sha256] for sha256 in lost}, instead_of=lost)

    return [_mark(row, owners) for row in rows]


def with_image(media_ids: Iterable[str], rows: list[StagedRow], media_index: MediaIndex) -> set[str]:
    """Return those media items that have an image in a row, or will have one when their batch is closed.

    ``rows`` are those of the batch at work; the media index knows the others.
    """
    asked = set(media_ids)
    statuses: dict[str, str] = {row["media_id"]: row["status"] for row in rows}
    mapped = media_index.get_many(asked - statuses.keys())
    statuses |= {media_id: entry["status"] for media_id, entry in mapped.items()}
    return {media_id for media_id in asked if statuses.get(media_id) in (Status.OK, CLAIMED)}


def _mark(row: StagedRow, owners: dict[str, str]) -> StagedRow:
    owner = owners.get(row["raw_sha256"] or "")
    if row["status"] != Status.OK or owner == row["media_id"]:
        return row
    marked: StagedRow = {
        **row, "status": Status.DUPLICATE, "duplicate_of": owner, "duplicate_distance": 0,
        "width": None, "height": None, "image": None, "tensor": None,
    }  # fmt: skip
    return marked
