"""Read the size of an AVIF picture, as its container says and as its AV1 stream says.

The two may differ: libavif allocates what the stream asks for and scales that to the container's size, so a file that
announces 64x64 pixels may hold a frame of 16384x16384. Both are read before the decoder sees the file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from imagelake.run.errors import ErrorCode, ImageRejectedError

# An item entry of type Exif (ISO/IEC 14496-12, 8.11.6.2). MIAF has readers ignore its orientation.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
_SEQUENCE_HEADER = 1
# A still frame is some ten units.
_MAX_UNITS = 10_000


class Size(NamedTuple):
    """Size of the picture, pixels of the largest coded frame, and the file without EXIF and without animation."""

    width: int
    height: int
    coded_pixels: int
    bare: bytes


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def read(data: bytes) -> Size:
    """The size in ``data``; raises ``ImageRejectedError``, or ``struct.error`` or ``IndexError`` if it ends early."""
    top = {box.kind: box for box in _boxes(data, 0, len(data))}
    meta, brands = top.get(b"meta"), top.get(b"ftyp")
    if meta is None or brands is None:
        raise _corrupt("it has no still picture")
    inner = {box.kind: box for box in _boxes(data, meta.start + 4, meta.end)}
    if not inner.keys() >= {b"iprp", b"iloc", b"iinf"}:
        raise _corrupt("its still picture is not described")
    width, height = _largest_extent(data, inner[b"iprp"])
    frames = set(_frame_items(data, inner[b"iinf"]))
    extents = {
        (start, min(end, len(data)))
        for item, start, end in _extents(data, inner[b"iloc"], inner.get(b"idat"))
        if item in frames
    }
    if sum(end - start for start, end in extents if start < end) > 2 * len(data):
        raise _corrupt("its items overlap")
    coded_pixels = max((_coded_pixels(data[start:end]) for start, end in extents), default=0)
    return Size(width, height, coded_pixels, _bare(data, brands, top.get(b"moov")))


def _boxes(data: bytes, position: int, end: int) -> Iterator[_Box]:
    """The boxes between two offsets (ISO/IEC 14496-12, 4.2)."""
    while position < end:
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        elif size == 0:
            size = end - position
        if position + size > end:
            raise ImageRejectedError(ErrorCode.TRUNCATED, "The file is cut off: an AVIF box ends early.")
        if position + size < start:
            raise _corrupt("a box is smaller than its own header")
        yield _Box(kind, start, position + size)
        position += size


def _largest_extent(data: bytes, properties: _Box) -> tuple[int, int]:
    """The largest size any item states; that is the picture's, as thumbnails, tiles and masks are not larger."""
    sizes = [
        struct.unpack_from(">II", data, prop.start + 4)
        for container in _boxes(data, properties.start, properties.end)
        if container.kind == b"ipco"
        for prop in _boxes(data, container.start, container.end)
        if prop.kind == b"ispe"
    ]
    if not sizes:
        raise _corrupt("it states no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height


def _frame_items(data: bytes, information: _Box) -> Iterator[int]:
    """The items that are AV1 frames (ISO/IEC 14496-12, 8.11.6)."""
    count_size = 4 if data[information.start] else 2
    for entry in _boxes(data, information.start + 4 + count_size, information.end):
        id_size = 4 if data[entry.start] > 2 else 2
        position = entry.start + 4
        if data[position + id_size + 2 : position + id_size + 6] == b"av01":
            yield int.from_bytes(data[position : position + id_size], "big")


def _extents(data: bytes, location: _Box, item_data: _Box | None) -> Iterator[tuple[int, int, int]]:
    """Each item's number and where its bytes begin and end (ISO/IEC 14496-12, 8.11.3)."""
    version = data[location.start]
    sizes, more = data[location.start + 4], data[location.start + 5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more >> 4
    index_size = more & 15 if version else 0
    position = location.start + 6

    def take(size: int) -> int:
        nonlocal position
        if position + size > location.end:
            raise _corrupt("its item locations end early")
        position += size
        return int.from_bytes(data[position - size : position], "big")

    for _ in range(take(4 if version == 2 else 2)):
        item = take(4 if version == 2 else 2)
        in_item_data = version and take(2) & 15 == 1
        take(2)
        start = take(base_size) + (item_data.start if in_item_data and item_data else 0)
        # Encoders write one piece; in several, a sequence header could be hidden across the seam.
        pieces = take(2)
        if pieces > 1:
            raise _corrupt("an item is in several pieces")
        if pieces:
            take(index_size)
            offset, length = take(offset_size), take(length_size)
            yield item, start + offset, (start + offset + length if length else len(data))


def _coded_pixels(item: bytes) -> int:
    """The largest frame an AV1 item's sequence headers allow (AV1 specification, 5.3 and 5.5); 0 if it has none."""
    largest = position = 0
    for _ in range(_MAX_UNITS):
        if position >= len(item):
            return largest
        header = item[position]
        position += 2 if header & 4 else 1
        length, shift = 0, 0
        if header & 2:
            while position < len(item) and shift < 56:
                length |= (item[position] & 0x7F) << shift
                shift += 7
                position += 1
                if not item[position - 1] & 0x80:
                    break
        else:
            length = len(item) - position
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            largest = max(largest, _sequence_pixels(item[position : position + length]))
        position += length
    raise _corrupt(f"a frame has more than {_MAX_UNITS} units")


def _sequence_pixels(payload: bytes) -> int:
    # Everything up to the frame size fits in the first 64 bytes unless there are many operating points.
    bits = "".join(f"{byte:08b}" for byte in payload[:256])
    position = 0

    def take(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position] or "0", 2)

    take(4)  # profile, still picture
    if take(1):  # the reduced header of a still picture
        take(5)
    else:
        if take(1):
            raise _corrupt("its stream has video timing")
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delays and take(1):
                take(4)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    return (take(width_bits) + 1) * (take(height_bits) + 1)


def _bare(data: bytes, brands: _Box, movie: _Box | None) -> bytes:
    """The file with its EXIF item and its animation renamed to types that readers skip."""
    bare = _EXIF_ITEM.sub(rb"\1skip", data)
    if movie is None:
        return bare
    at = bare.rindex(b"moov", 0, movie.start)
    bare = bare[:at] + b"free" + bare[at + 4 :]
    # A file that calls itself a sequence would be refused without one.
    return bare[: brands.end].replace(b"avis", b"avif") + bare[brands.end :]


def _corrupt(what: str) -> ImageRejectedError:
    return ImageRejectedError(ErrorCode.CORRUPT, f"The AVIF is damaged: {what}.")
