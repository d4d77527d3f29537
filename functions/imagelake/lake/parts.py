"""The parts of a batch: rows that are decided, with their images.

An item that is downloaded twice can give two different images. So its row is decided once: of several workers, the
first one to write a part wins, and the others take its rows. A part can grow, but what is in it keeps its place.

    images   images and tensors, one after the other
    rows     one row per line, as JSON. Its ``image`` is ``{"part", "offset", "length", "sha256", "path"}`` or null,
             its ``tensor`` the same without the path
    footer   what ``_FOOTER`` says: the length of the images, the SHA-256 of the rows, the version of this format
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from types import MappingProxyType
from typing import NamedTuple, TypedDict

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.rows import Row, RowWithoutImage
from imagelake.run.aws import THREADS
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from imagelake.run.models import Batch
from imagelake.run.observability import logger

_FORMAT = b"ILPART01"
_FOOTER = struct.Struct(">Q32s8s")
# The number of a part, and the offset and the length of a place in it.
_PlaceId = tuple[int, int, int]


class Slice(TypedDict):
    """A place in a part, and the SHA-256 of the bytes there."""

    part: int
    offset: int
    length: int
    sha256: str


class ImageSlice(Slice):
    """Place, checksum and file name of an image."""

    path: str


class StagedRow(RowWithoutImage):
    """A row that says where its image is."""

    image: ImageSlice | None
    tensor: Slice | None


class Part(NamedTuple):
    """A part as it was read: its rows by media id, its images, and its version, which is ``None`` if it is missing.

    ``damaged`` are rows whose images are not as they were written, so that they have to be made again.
    """

    rows: Mapping[str, StagedRow] = MappingProxyType({})
    images: bytes = b""
    version: Version | None = None
    damaged: Sequence[StagedRow] = ()


class Parts:
    """The parts of one batch, by number."""

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._batch = batch

    def numbers(self) -> list[int]:
        """List the parts that exist."""
        keys = self._bucket.list(object_keys.parts_prefix(self._batch))
        return [int(key.rpartition("/")[2]) for key in keys]

    def read(self, number: int) -> Part:
        """Read a part; one that is missing has no rows, and neither has one whose rows are damaged."""
        key = object_keys.part(self._batch, number)
        try:
            body, version = self._bucket.get_with_version(key)
        except ObjectMissingError:
            return Part()
        try:
            rows, images = _unpack(key, body)
        except DamagedObjectError as error:
            logger.warning("part is made again", extra={"batch": self._batch.model_dump(), "error": str(error)})
            return Part(version=version)
        damaged = [row for row in rows if not _is_intact(row, images)]
        intact = {row["media_id"]: row for row in rows if row not in damaged}
        return Part(intact, images, version, damaged)

    def write(self, number: int, part: Part, new_rows: Iterable[Row]) -> Mapping[str, StagedRow] | None:
        """Add rows to a part, in place of rows of the same items; return all its rows by media id.

        Returns ``None`` if another worker has written the part since it was read.
        """
        images = bytearray(part.images)
        rows = {**part.rows, **{row["media_id"]: _stage(row, number, images) for row in new_rows}}
        is_written = self._bucket.put_if_unchanged(
            object_keys.part(self._batch, number),
            _pack(rows.values(), images),
            "application/octet-stream",
            part.version,
        )
        return rows if is_written else None

    def attach_images(self, rows: Iterable[StagedRow]) -> list[Row]:
        """Return rows with their images and tensors; raises ``DamagedObjectError`` if one is not as it was written."""
        rows = list(rows)
        places: dict[int, list[Slice]] = {}
        for place in (place for row in rows for place in _places(row)):
            places.setdefault(place["part"], []).append(place)
        with ThreadPoolExecutor(THREADS) as pool:
            images = dict(chain.from_iterable(pool.map(self._read_all, places.values())))

        return [
            {
                **row,
                "image": None
                if row["image"] is None
                else {"bytes": images[_id(row["image"])], "path": row["image"]["path"]},
                "tensor": None if row["tensor"] is None else images[_id(row["tensor"])],
            }
            for row in rows
        ]

    def _read_all(self, places: Sequence[Slice]) -> list[tuple[_PlaceId, bytes]]:
        """Read the images at these places of one part; the part itself does not stay in memory."""
        key = object_keys.part(self._batch, places[0]["part"])
        body = self._bucket.get(key)
        return [(_id(place), _check(place, key, _cut(place, body))) for place in places]

    def read_image(self, image: ImageSlice) -> bytes:
        """Read one image."""
        key = object_keys.part(self._batch, image["part"])
        return _check(image, key, self._bucket.get_range(key, image["offset"], image["length"]))


def changed_part(
    key: str, body: bytes, erased: Container[str], change: Callable[[StagedRow], StagedRow], staged: Iterable[StagedRow]
) -> bytes | None:
    """Make a part without the rows of erased items, and change its other rows; return ``None`` if it stays the same.

    Zeros take the place of all bytes that no other row needs, so the others keep their places. ``staged`` are rows of
    the batch that may need bytes of this part too.
    """
    rows, images = _unpack(key, body)
    kept = [row for row in rows if row["media_id"] not in erased]
    changed = [change(row) for row in kept]
    if changed == rows:
        return None
    if len(kept) == len(rows):
        return _pack(changed, bytearray(images))
    number = int(key.rpartition("/")[2])
    remaining = bytearray(len(images))
    for place in (place for row in (*kept, *staged) for place in _places(row) if place["part"] == number):
        end = place["offset"] + place["length"]
        remaining[place["offset"] : end] = _cut(place, images)
    return _pack(changed, remaining)


def _places(row: StagedRow) -> list[Slice]:
    return [place for place in (row["image"], row["tensor"]) if place is not None]


def _id(place: Slice) -> _PlaceId:
    return place["part"], place["offset"], place["length"]


def _pack(rows: Iterable[StagedRow], images: bytearray) -> bytes:
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return b"".join((images, lines, _FOOTER.pack(len(images), hashlib.sha256(lines).digest(), _FORMAT)))


def _stage(row: Row, number: int, images: bytearray) -> StagedRow:
    image, tensor = row["image"], row["tensor"]
    image_slice: ImageSlice | None = None
    if image is not None:
        image_slice = {**_append(images, number, image["bytes"]), "path": image["path"]}
    return {**row, "image": image_slice, "tensor": None if tensor is None else _append(images, number, tensor)}


def _append(images: bytearray, number: int, body: bytes) -> Slice:
    place: Slice = {
        "part": number,
        "offset": len(images),
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    images += body
    return place


def _unpack(key: str, body: bytes) -> tuple[list[StagedRow], bytes]:
    """Return the rows and the images of the part at ``key``."""
    if len(body) < _FOOTER.size or not body.endswith(_FORMAT):
        raise DamagedObjectError(f"{key} does not end as a part does")
    images_bytes, sha256, _ = _FOOTER.unpack_from(body, len(body) - _FOOTER.size)
    lines = body[images_bytes : -_FOOTER.size]
    if hashlib.sha256(lines).digest() != sha256:
        raise DamagedObjectError(f"the rows in {key} do not match their checksum")
    return [json.loads(line) for line in lines.splitlines()], body[:images_bytes]


def _is_intact(row: StagedRow, images: bytes) -> bool:
    return all(_matches(place, _cut(place, images)) for place in _places(row))


def _cut(place: Slice, images: bytes) -> bytes:
    return images[place["offset"] : place["offset"] + place["length"]]


def _matches(place: Slice, body: bytes) -> bool:
    return hashlib.sha256(body).hexdigest() == place["sha256"]


def _check(place: Slice, key: str, body: bytes) -> bytes:
    """Return the bytes of an image or a tensor if they are those that its row names."""
    if not _matches(place, body):
        raise DamagedObjectError(
            f"the {place['length']} bytes at {place['offset']} in {key} do not match their checksum"
        )
    return body
