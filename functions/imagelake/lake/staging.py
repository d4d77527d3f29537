"""Staging: the rows and images of a batch, stored by Transform for the next steps.

Rows and images are two objects, because Map Keys, Reconcile and Report need the rows and not the megabytes.

    rows.jsonl   one row per line, as JSON. Its ``image`` is ``{"offset", "length", "path"}`` and its ``tensor`` is
                 ``{"offset", "length"}``; both are places in images.bin, or null
    images.bin   images and tensors, one after the other

A part is the work of a try that ran out of time. It is one object, so it is never half written: the rows as one line of
JSON, then the images.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TypedDict

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Row, RowWithoutImage, Status
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Batch

_BINARY = "application/octet-stream"


class Slice(TypedDict):
    """A place in images.bin, in bytes."""

    offset: int
    length: int


class ImageSlice(Slice):
    """Place and file name of an image."""

    path: str


class StagedRow(RowWithoutImage):
    """A row that says where its image is."""

    image: ImageSlice | None
    tensor: Slice | None


class Staging:
    """The staged rows and images of one batch."""

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._batch = batch

    def write(self, rows: Iterable[Row]) -> dict[str, int]:
        """Store the rows of a batch, and count them by status."""
        staged, images = _pack(rows)
        self._bucket.put(object_keys.images(self._batch), images, _BINARY)
        # The rows come last: if they are there, the batch is staged.
        self._bucket.put_lines(object_keys.rows(self._batch), staged)
        return _count(staged)

    def counts(self) -> dict[str, int] | None:
        """Count the rows by status; return ``None`` if the batch is not staged."""
        try:
            return _count(self.rows())
        except ObjectMissingError:
            return None

    def rows(self) -> list[StagedRow]:
        """Read the rows alone."""
        return self._bucket.get_lines(object_keys.rows(self._batch))

    def rows_with_images(self) -> list[Row]:
        """Read the rows and all images."""
        staged = self.rows()
        images = self._bucket.get(object_keys.images(self._batch))
        return [_unpack(row, images) for row in staged]

    def read_image(self, row: StagedRow) -> bytes:
        """Read the one image of a row that has one."""
        image = row["image"]
        assert image is not None
        return self._bucket.get_range(object_keys.images(self._batch), image["offset"], image["length"])

    def save_part(self, rows: Iterable[Row], before: int) -> None:
        """Store the rows of an unfinished try; ``before`` is the number of rows in earlier parts."""
        staged, images = _pack(rows)
        self._bucket.put(object_keys.part(self._batch, before), json.dumps(staged).encode() + b"\n" + images, _BINARY)

    def load_parts(self) -> list[Row]:
        """Read the rows of all parts."""
        rows: list[Row] = []
        for key in self._part_keys():
            line, _, images = self._bucket.get(key).partition(b"\n")
            rows += [_unpack(row, images) for row in json.loads(line)]
        return rows

    def drop_parts(self) -> None:
        """Delete the parts of a batch that is staged; parts that are left over expire like all objects in ``work/``."""
        for key in self._part_keys():
            self._bucket.delete(key)

    def _part_keys(self) -> list[str]:
        return self._bucket.list(object_keys.parts_prefix(self._batch))


def _count(rows: list[StagedRow]) -> dict[str, int]:
    counts = Counter(row["status"] for row in rows)
    return {status.value: counts[status] for status in Status}


def _pack(rows: Iterable[Row]) -> tuple[list[StagedRow], bytes]:
    images = bytearray()
    staged: list[StagedRow] = []
    for row in rows:
        image, tensor = row["image"], row["tensor"]
        image_slice: ImageSlice | None = None
        tensor_slice: Slice | None = None
        if image is not None:
            image_slice = {"offset": len(images), "length": len(image["bytes"]), "path": image["path"]}
            images += image["bytes"]
        if tensor is not None:
            tensor_slice = {"offset": len(images), "length": len(tensor)}
            images += tensor
        staged.append({**row, "image": image_slice, "tensor": tensor_slice})
    return staged, bytes(images)


def _unpack(row: StagedRow, images: bytes) -> Row:
    image, tensor = row["image"], row["tensor"]
    return {
        **row,
        "image": None if image is None else {"bytes": _cut(images, image), "path": image["path"]},
        "tensor": None if tensor is None else _cut(images, tensor),
    }


def _cut(images: bytes, position: Slice) -> bytes:
    return images[position["offset"] : position["offset"] + position["length"]]
