"""Exact duplicates: items whose image has the same bytes as the image of another item, its *owner*.

Only an item that has its image in a row can own bytes. So a duplicate never refers to a row without an image.
"""

from __future__ import annotations

from collections.abc import Mapping

from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.originals import with_image
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import DuplicateKind, Status


def mark_duplicates(rows: list[StagedRow], media_index: MediaIndex, bucket: Bucket) -> list[StagedRow]:
    """Make the first item of each new image its owner; every other row with the image loses it and names the owner.

    Rows that are marked again get the same result.
    """
    candidates: dict[str, str] = {}
    for row in rows:
        if row["status"] == Status.OK and row["raw_sha256"] is not None:
            candidates.setdefault(row["raw_sha256"], row["media_id"])
    owners = media_index.own(candidates)
    valid = with_image(_images(owners), rows, media_index, bucket)
    lost = {sha256: owner for sha256, owner in owners.items() if owner not in valid}
    owners |= _take_over(lost, candidates, rows, media_index, bucket)

    return [_mark(row, owners) for row in rows]


def _take_over(
    lost: Mapping[str, str],
    candidates: Mapping[str, str],
    rows: list[StagedRow],
    media_index: MediaIndex,
    bucket: Bucket,
) -> dict[str, str]:
    """Give the images of owners that have none to candidates, by SHA-256; return the owners after that.

    A rebuild can give a rejected owner its image meanwhile: it maps the owner, and then checks that it still is the
    owner. So after this, either it sees the new owner, or the image of the former one is seen here and returned to it.
    """
    if not lost:
        return {}
    owners = media_index.own({sha256: candidates[sha256] for sha256 in lost}, instead_of=lost)
    taken = {sha256: lost[sha256] for sha256, owner in owners.items() if owner == candidates[sha256]}
    valid = with_image(_images(taken), rows, media_index, bucket)
    returned = {sha256: former for sha256, former in taken.items() if former in valid}
    return owners | media_index.own(returned, instead_of={sha256: candidates[sha256] for sha256 in returned})


def _images(owners: Mapping[str, str]) -> dict[str, str | None]:
    return {owner: sha256 for sha256, owner in owners.items()}


def _mark(row: StagedRow, owners: dict[str, str]) -> StagedRow:
    owner = owners.get(row["raw_sha256"] or "")
    if row["status"] != Status.OK or owner == row["media_id"]:
        return row
    marked: StagedRow = {
        **row, "status": Status.DUPLICATE, "duplicate_of": owner, "duplicate_distance": 0,
        "duplicate_kind": DuplicateKind.BYTES,
        "width": None, "height": None, "image": None, "tensor": None,
    }  # fmt: skip
    return marked
