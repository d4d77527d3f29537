"""Read the header of an AVIF (ISO/IEC 14496-12), and the frame sizes in its AV1 stream.

Both sizes count, because they may differ: libavif allocates the frame of the stream and scales it to the size in the
container. So a file that announces 64x64 pixels may hold a frame of 16384x16384. libavif has a limit for this, but
Pillow does not let us set it.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from imagelake.imaging.header import Header, corrupt, truncated

# An entry of the list of items, for an item of type Exif (8.11.6.2). MIAF tells readers to ignore its orientation.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
_SEQUENCE_HEADER = 1
# Units of all frames of a file. A still frame has about ten; with units of two bytes, 24 MB took more than 5 s.
_MAX_UNITS = 10_000
# Frame headers, and frames with their header.
_FRAME_UNITS = (3, 6)
# Boxes in one box, and entries of the list of locations. libheif accepts 1,000 items (max_items in security_limits.cc).
_MAX_BOXES = 1_000
# Lists with one entry or more for each item. libavif compares each new item with all before it, so its time grows with
# the square of the bytes. 1,000 items have about 32 KB of names, 16 KB of locations and 13 KB of properties.
_TABLES = frozenset({b"iinf", b"iloc", b"iref", b"grpl", b"ipma"})
_MAX_TABLE_BYTES = 64 << 10
# All frames of a file together may have this many times the largest number of pixels: the image, its transparency, and
# another one such as a gain map. Otherwise a grid of 1,000 tiles, or 1,000 frames in one item, are all decoded.
_FULL_FRAMES = 3
# The frame size is within the first 64 bytes of a sequence header, unless it has many operating points.
_SEQUENCE_HEADER_BYTES = 256


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def read_header(data: bytes) -> Header:
    """Read the boxes of the container and the sequence headers of its frames."""
    top = {box.kind: box for box in _boxes(data, 0, len(data))}
    meta, brands = top.get(b"meta"), top.get(b"ftyp")
    if meta is None or brands is None:
        raise corrupt("the AVIF has no still image")
    inner = {box.kind: box for box in _boxes(data, meta.start + 4, meta.end)}
    _check_tables(data, meta.start + 4, meta.end)
    if not inner.keys() >= {b"iprp", b"iloc", b"iinf"}:
        raise corrupt("the still image of the AVIF is not described")
    width, height = _largest_extent(data, inner[b"iprp"])
    frames = set(_frame_items(data, inner[b"iinf"]))
    extents = Counter(
        (start, min(end, len(data)))
        for item, start, end in _extents(data, inner[b"iloc"], inner.get(b"idat"))
        if item in frames
    )
    # Without this, thousands of items that share the same bytes would be scanned one by one.
    if sum(end - start for start, end in extents if start < end) > 2 * len(data):
        raise corrupt("the items of the AVIF overlap")
    stripped = _strip(data, brands, top.get(b"moov"))
    return Header(width, height, stripped, coded_pixels=_count_pixels(data, extents), pixel_bytes=20)


def _boxes(data: bytes, position: int, end: int) -> Iterator[_Box]:
    """Yield the boxes between two offsets (4.2)."""
    for _ in range(_MAX_BOXES):
        if position >= end:
            return
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        elif size == 0:
            size = end - position
        if position + size > end:
            raise truncated("an AVIF box ends early")
        if position + size < start:
            raise corrupt("an AVIF box is smaller than its own header")
        yield _Box(kind, start, position + size)
        position += size
    raise corrupt(f"a box of the AVIF has more than {_MAX_BOXES} boxes")


def _check_tables(data: bytes, start: int, end: int) -> None:
    """Refuse lists of items that are far too long."""
    boxes = list(_boxes(data, start, end))
    inner = [inner for box in boxes if box.kind == b"iprp" for inner in _boxes(data, box.start, box.end)]
    if sum(box.end - box.start for box in boxes + inner if box.kind in _TABLES) > _MAX_TABLE_BYTES:
        raise corrupt(f"the lists of items of the AVIF have more than {_MAX_TABLE_BYTES} bytes")


def _largest_extent(data: bytes, properties: _Box) -> tuple[int, int]:
    """Find the largest size of any item. It is the size of the image: thumbnails, tiles and masks are not larger."""
    sizes = [
        struct.unpack_from(">II", data, prop.start + 4)
        for container in _boxes(data, properties.start, properties.end)
        if container.kind == b"ipco"
        for prop in _boxes(data, container.start, container.end)
        if prop.kind == b"ispe"
    ]
    if not sizes:
        raise corrupt("the AVIF states no size")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return width, height


def _frame_items(data: bytes, information: _Box) -> Iterator[int]:
    """Yield the numbers of the items that are AV1 frames (8.11.6)."""
    count_size = 4 if data[information.start] else 2
    for entry in _boxes(data, information.start + 4 + count_size, information.end):
        id_size = 4 if data[entry.start] > 2 else 2
        position = entry.start + 4
        if data[position + id_size + 2 : position + id_size + 6] == b"av01":
            yield int.from_bytes(data[position : position + id_size], "big")


def _extents(data: bytes, location: _Box, item_data: _Box | None) -> Iterator[tuple[int, int, int]]:
    """Yield each item's number, and the start and end of its bytes (8.11.3)."""
    version = data[location.start]
    sizes, more_sizes = data[location.start + 4], data[location.start + 5]
    offset_size, length_size, base_size = sizes >> 4, sizes & 15, more_sizes >> 4
    index_size = more_sizes & 15 if version else 0
    position = location.start + 6

    def take(size: int) -> int:
        nonlocal position
        if position + size > location.end:
            raise corrupt("the item locations of the AVIF end early")
        position += size
        return int.from_bytes(data[position - size : position], "big")

    count = take(4 if version == 2 else 2)
    if count > _MAX_BOXES:
        raise corrupt(f"the AVIF has more than {_MAX_BOXES} items")
    for _ in range(count):
        item = take(4 if version == 2 else 2)
        is_in_item_data = version and take(2) & 15 == 1
        take(2)
        start = take(base_size) + (item_data.start if is_in_item_data and item_data else 0)
        # Encoders write one piece. Several pieces could hide a sequence header across their border.
        pieces = take(2)
        if pieces > 1:
            raise corrupt("an item of the AVIF is in several pieces")
        if pieces:
            take(index_size)
            offset, length = take(offset_size), take(length_size)
            yield item, start + offset, (start + offset + length if length else len(data))


def _count_pixels(data: bytes, extents: Counter[tuple[int, int]]) -> int:
    """Count the pixels of the largest frame, or of an average one if there are more than `_FULL_FRAMES`.

    ``extents`` are the starts and ends of items, each with the number of items that share it.
    """
    largest = total = 0
    remaining_units = _MAX_UNITS
    for (start, end), items in extents.items():
        pixels = frames = 0
        for kind, payload in _units(data[start:end], remaining_units):
            remaining_units -= 1
            if kind == _SEQUENCE_HEADER:
                pixels = max(pixels, _sequence_pixels(payload))
            frames += kind in _FRAME_UNITS
        largest = max(largest, pixels)
        total += pixels * frames * items
    return max(largest, total // _FULL_FRAMES)


def _units(item: bytes, limit: int) -> Iterator[tuple[int, bytes]]:
    """Yield the type of each unit of an item, and the first bytes of its payload (AV1 specification, 5.3)."""
    position = 0
    for _ in range(limit):
        if position >= len(item):
            return
        header = item[position]
        position += 2 if header & 4 else 1
        length, shift = 0, 0
        if header & 2:
            # A number in LEB128: seven bits per byte, the lowest first; the eighth bit says that more follow.
            while position < len(item) and shift < 56:
                length |= (item[position] & 0x7F) << shift
                shift += 7
                position += 1
                if not item[position - 1] & 0x80:
                    break
        else:
            length = len(item) - position
        yield header >> 3 & 15, item[position : position + min(length, _SEQUENCE_HEADER_BYTES)]
        position += length
    if position < len(item):
        raise corrupt(f"the frames of the AVIF have more than {_MAX_UNITS} units")


def _sequence_pixels(payload: bytes) -> int:
    """Read the largest frame size from a sequence header (AV1 specification, 5.5.1)."""
    bits = f"{int.from_bytes(payload, 'big'):0{8 * len(payload)}b}"
    position = 0

    def take(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position] or "0", 2)

    take(4)  # profile, still image
    if take(1):  # the reduced header of a still image
        take(5)
    else:
        if take(1):
            raise corrupt("the stream of the AVIF has video timing")
        delays = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delays and take(1):
                take(4)
    width_bits, height_bits = take(4) + 1, take(4) + 1
    return (take(width_bits) + 1) * (take(height_bits) + 1)


def _strip(data: bytes, brands: _Box, movie: _Box | None) -> bytes:
    """Rename the EXIF item and the animation to types that readers skip."""
    stripped = _EXIF_ITEM.sub(rb"\1skip", data)
    if movie is None:
        return stripped
    start = stripped.rindex(b"moov", 0, movie.start)
    stripped = stripped[:start] + b"free" + stripped[start + 4 :]
    # libavif refuses a file that calls itself an image sequence (avis) and has no animation.
    return stripped[: brands.end].replace(b"avis", b"avif") + stripped[brands.end :]
