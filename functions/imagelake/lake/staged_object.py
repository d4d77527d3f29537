"""Rows and images in one object, with the checksums that find any damage.

    header   what `_HEADER` says: the version of this format, the length of the rows, the length of the images, the
             SHA-256 of the rows
    rows     one row per line, as JSON. Its ``image`` is ``{"offset", "length", "sha256", "path"}`` or null, its
             ``tensor`` the same without the path. An offset counts from the first byte of the images
    images   images and tensors, one after the other

Each row names the SHA-256 of its image. So the SHA-256 of the rows stands for the whole object.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from typing import NamedTuple, TypedDict

from imagelake.lake.rows import Row, RowWithoutImage
from imagelake.run.errors import DamagedObjectError

_FORMAT = b"ILROWS01"
_HEADER = struct.Struct(">8sQQ32s")
HEADER_BYTES = _HEADER.size


class Slice(TypedDict):
    """A place in bytes, and the SHA-256 of these bytes; of a row that was read, it is a place in the whole object."""

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


class Header(NamedTuple):
    """The header of an object: the lengths of its two parts, and the SHA-256 of its rows."""

    rows_bytes: int
    images_bytes: int
    sha256: str

    @property
    def images_offset(self) -> int:
        """Offset of the first image in the object."""
        return HEADER_BYTES + self.rows_bytes


def pack(rows: Iterable[Row]) -> tuple[bytes, list[StagedRow], str]:
    """Return the object of some rows, the rows as they are in it, and their SHA-256."""
    images = bytearray()
    staged: list[StagedRow] = []
    for row in rows:
        image, tensor = row["image"], row["tensor"]
        image_slice: ImageSlice | None = None
        if image is not None:
            image_slice = {**_append(images, image["bytes"]), "path": image["path"]}
        staged.append({**row, "image": image_slice, "tensor": None if tensor is None else _append(images, tensor)})
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in staged)
    digest = hashlib.sha256(lines)
    header = _HEADER.pack(_FORMAT, len(lines), len(images), digest.digest())
    return b"".join((header, lines, images)), staged, digest.hexdigest()


def read_header(key: str, data: bytes) -> Header:
    """Read the header of the object at ``key``; ``data`` is its beginning."""
    if len(data) < HEADER_BYTES or not data.startswith(_FORMAT):
        raise DamagedObjectError(f"{key} does not begin with a header of staged rows")
    _, rows_bytes, images_bytes, sha256 = _HEADER.unpack_from(data)
    return Header(rows_bytes, images_bytes, sha256.hex())


def read_rows(key: str, header: Header, lines: bytes) -> list[StagedRow]:
    """Read the rows of the object at ``key`` from its second part."""
    if hashlib.sha256(lines).hexdigest() != header.sha256:
        raise DamagedObjectError(f"the rows in {key} do not match their checksum")
    rows: list[StagedRow] = [json.loads(line) for line in lines.splitlines()]
    for row in rows:
        for place in (row["image"], row["tensor"]):
            if place is not None:
                place["offset"] += header.images_offset
    return rows


def check_image(key: str, place: Slice, body: bytes) -> bytes:
    """Return the bytes of an image or a tensor if they are those that its row names."""
    if hashlib.sha256(body).hexdigest() != place["sha256"]:
        raise DamagedObjectError(
            f"the {place['length']} bytes at {place['offset']} in {key} do not match their checksum"
        )
    return body


def unpack(key: str, data: bytes) -> tuple[list[Row], str]:
    """Return the rows of a whole object with their images, and their SHA-256."""
    header = read_header(key, data)
    length = header.images_offset + header.images_bytes
    if len(data) != length:
        raise DamagedObjectError(f"{key} has {len(data)} bytes, not {length}")
    staged = read_rows(key, header, data[HEADER_BYTES : header.images_offset])
    return [_unpack_row(key, row, data) for row in staged], header.sha256


def _append(images: bytearray, body: bytes) -> Slice:
    place: Slice = {"offset": len(images), "length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    images += body
    return place


def _unpack_row(key: str, row: StagedRow, data: bytes) -> Row:
    image, tensor = row["image"], row["tensor"]
    return {
        **row,
        "image": None if image is None else {"bytes": _cut(key, image, data), "path": image["path"]},
        "tensor": None if tensor is None else _cut(key, tensor, data),
    }


def _cut(key: str, place: Slice, data: bytes) -> bytes:
    return check_image(key, place, data[place["offset"] : place["offset"] + place["length"]])
