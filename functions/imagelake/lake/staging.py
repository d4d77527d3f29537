"""A batch's rows between the steps: ``rows.jsonl`` without pictures, and the pictures end to end in ``images.bin``.

Apart, because Map Keys and Reconcile need the rows and not the megabytes. A row's ``image`` is
``{"offset", "length", "path"}`` into the pictures, or null; so is its ``tensor``, which lies behind the picture.

A try that runs out of time leaves what it has made as a part: one object, a line of JSON with the rows and then the
pictures, so that there is no half of it. The next try goes on from all parts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Status
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Batch


class Result(NamedTuple):
    """A row without its picture; the picture's JPEG bytes, and its tensor if one is asked for, if the row is ``ok``."""

    row: dict[str, Any]
    picture: bytes | None
    tensor: bytes | None = None


def stage(results: Iterable[Result], batch: Batch, bucket: Bucket) -> dict[str, int]:
    """Write both objects; return the number of rows of every status."""
    rows, pictures = _packed(results)
    bucket.put(object_keys.images(batch), pictures, "application/octet-stream")
    bucket.put_lines(object_keys.rows(batch), rows)
    return _counts(rows)


def keep_part(results: Iterable[Result], before: int, batch: Batch, bucket: Bucket) -> None:
    """Write what a try has made after the ``before`` rows of earlier parts."""
    rows, pictures = _packed(results)
    bucket.put(
        object_keys.part(batch, before), json.dumps(rows).encode() + b"\n" + pictures, "application/octet-stream"
    )


def kept_parts(batch: Batch, bucket: Bucket) -> list[Result]:
    """The results of all parts, each as it was made."""
    results: list[Result] = []
    for key in bucket.list(object_keys.parts_prefix(batch)):
        head, _, pictures = bucket.get(key).partition(b"\n")
        for row in json.loads(head):
            picture, tensor = (_cut(row[name], pictures) for name in ("image", "tensor"))
            results.append(Result(row | {"image": None, "tensor": None}, picture, tensor))
    return results


def drop_parts(batch: Batch, bucket: Bucket) -> None:
    """Take the parts away once the whole is staged; what a kill leaves of them expires with ``work/``."""
    for key in bucket.list(object_keys.parts_prefix(batch)):
        bucket.delete(key)


def staged(batch: Batch, bucket: Bucket) -> dict[str, int] | None:
    """The counts of a batch that an earlier try or run has staged, ``None`` if none has.

    Such a batch is not done again: addresses lapse, and what was a picture would become a failure.
    """
    try:
        return _counts(bucket.get_lines(object_keys.rows(batch)))
    except ObjectMissingError:
        return None


def _counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    found = Counter(row["status"] for row in rows)
    return {status.value: found[status] for status in Status}


def _cut(place: dict[str, Any] | None, pictures: bytes) -> bytes | None:
    return None if place is None else pictures[place["offset"] : place["offset"] + place["length"]]


def _packed(results: Iterable[Result]) -> tuple[list[dict[str, Any]], bytes]:
    """Rows that say where their pictures are, and the pictures end to end."""
    pictures = bytearray()
    rows: list[dict[str, Any]] = []
    for row, picture, tensor in results:
        if picture is not None:
            row["image"] = {"offset": len(pictures), "length": len(picture), "path": f"{row['media_id']}.jpg"}
            pictures += picture
        if tensor is not None:
            row["tensor"] = {"offset": len(pictures), "length": len(tensor)}
            pictures += tensor
        rows.append(row)
    return rows, bytes(pictures)
