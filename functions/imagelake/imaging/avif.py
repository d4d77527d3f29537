"""Read the header of an AVIF (ISO/IEC 14496-12), and the frame sizes in its AV1 stream.

Both sizes count, because they may differ: libavif allocates the frame of the stream and scales it to the size in the
container. So a file that announces 64x64 pixels may hold a frame of 16384x16384. libavif has a limit for this, but
Pillow does not let us set it.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from imagelake.imaging.av1 import FRAME_UNITS, SEQUENCE_HEADER, sequence_pixels, units
from imagelake.imaging.header import Header, check_tail, corrupt, truncated
from imagelake.run.errors import ImageRejectedError

# An entry of the list of items, for an item of type Exif (8.11.6.2). MIAF tells readers to ignore its orientation.
_EXIF_ITEM = re.compile(rb"(infe(?:\x02.{7}|\x03.{9}))Exif", re.DOTALL)
# Units of all frames of a file. A still frame has about ten; with units of two bytes, 24 MB took more than 5 s.
_MAX_UNITS = 10_000
# Boxes in one box, and entries of the list of locations. libheif accepts 1,000 items (max_items in security_limits.cc).
_MAX_BOXES = 1_000
# Pieces of all items. Encoders write one for each item, or one for each layer of a progressive image.
_MAX_PIECES = 1_000
# Lists with one entry or more for each item. libavif compares each new item with all before it, so its time grows with
# the square of the bytes. 1,000 items have about 32 KB of names, 16 KB of locations and 13 KB of properties.
_TABLES = frozenset({b"iinf", b"iloc", b"iref", b"grpl", b"ipma"})
_MAX_TABLE_BYTES = 64 << 10
# All frames of a file together may have this many times the largest number of pixels: the image, its transparency, and
# another one such as a gain map. Otherwise a grid of 1,000 tiles, or 1,000 frames in one item, are all decoded.
_FULL_FRAMES = 3
# Version, flags, rows, columns, and a width and height of up to 32 bits.
_GRID_BYTES = 12
# Time for each pixel of all frames, and for each byte.
_SECONDS_PER_PIXEL, _SECONDS_PER_BYTE = 26e-9, 60e-9

_Size = tuple[int, int]


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


class _Frames(NamedTuple):
    """The start and end of each piece of an item, and its pixels according to the container."""

    pieces: tuple[tuple[int, int], ...]
    stated_pixels: int


def read_header(data: bytes) -> Header:
    """Read the boxes of the container and the sequence headers of its frames."""
    top = {box.kind: box for box in _top_boxes(data)}
    meta, brands = top.get(b"meta"), top.get(b"ftyp")
    if meta is None or brands is None:
        raise corrupt("the AVIF has no still image")
    inner = {box.kind: box for box in _boxes(data, meta.start + 4, meta.end)}
    _check_tables(data, meta.start + 4, meta.end)
    if not inner.keys() >= {b"iprp", b"iloc", b"iinf"}:
        raise corrupt("the still image of the AVIF is not described")
    all_sizes, sizes = _read_sizes(data, inner[b"iprp"])
    largest = max(all_sizes, key=_area)
    primary = inner.get(b"pitm")
    image = int.from_bytes(data[primary.start + 4 : primary.end], "big") if primary else 0
    width, height = sizes.get(image, [largest])[0]
    kinds = _item_kinds(data, inner[b"iinf"])
    places = list(_item_pieces(data, inner[b"iloc"], inner.get(b"idat")))
    frames = Counter(
        _Frames(
            tuple((start, min(end, len(data))) for start, end in pieces),
            max(map(_area, sizes.get(item, [largest]))),
        )
        for item, pieces in places
        if kinds.get(item) == b"av01"
    )
    # Without this, thousands of items that share the same bytes would be scanned one by one.
    if sum(end - start for item in frames for start, end in item.pieces if start < end) > 2 * len(data):
        raise corrupt("the items of the AVIF overlap")
    pixels, seconds = _count_pixels(data, frames)
    grids = [_grid_pixels(data, pieces) for item, pieces in places if kinds.get(item) == b"grid"]
    return Header(
        width,
        height,
        _strip(data, brands, top.get(b"moov")),
        coded_pixels=max(_area(largest), pixels, *grids),
        pixel_bytes=20,
        seconds=seconds,
    )


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


def _top_boxes(data: bytes) -> Iterator[_Box]:
    """Yield the boxes of the file; data after the image are ignored, as in other formats."""
    kinds: set[bytes] = set()
    try:
        for box in _boxes(data, 0, len(data)):
            kinds.add(box.kind)
            yield box
    except (struct.error, ImageRejectedError):
        if not kinds >= {b"meta", b"mdat"}:
            raise


def _check_tables(data: bytes, start: int, end: int) -> None:
    """Refuse lists of items that are far too long."""
    boxes = list(_boxes(data, start, end))
    inner = [inner for box in boxes if box.kind == b"iprp" for inner in _boxes(data, box.start, box.end)]
    if sum(box.end - box.start for box in boxes + inner if box.kind in _TABLES) > _MAX_TABLE_BYTES:
        raise corrupt(f"the lists of items of the AVIF have more than {_MAX_TABLE_BYTES} bytes")


def _read_sizes(data: bytes, container: _Box) -> tuple[list[_Size], dict[int, list[_Size]]]:
    """Read all sizes of items, and those of each item (8.11.14).

    Other items may be larger than the image, such as a gain map.
    """
    boxes = list(_boxes(data, container.start, container.end))
    properties = [prop for box in boxes if box.kind == b"ipco" for prop in _boxes(data, box.start, box.end)]
    sizes: dict[int, _Size] = {
        number: struct.unpack_from(">II", data, prop.start + 4)
        for number, prop in enumerate(properties, 1)
        if prop.kind == b"ispe"
    }
    if not sizes:
        raise corrupt("the AVIF states no size")
    by_item: dict[int, list[_Size]] = {}
    for box in boxes:
        for item, number in _links(data, box) if box.kind == b"ipma" else ():
            if number in sizes:
                by_item.setdefault(item, []).append(sizes[number])
    return list(sizes.values()), by_item


def _links(data: bytes, box: _Box) -> Iterator[tuple[int, int]]:
    """Yield each item, and the number of each of its properties."""
    id_size = 4 if data[box.start] else 2
    number_size = 2 if data[box.start + 3] & 1 else 1
    # The highest bit says that the property is essential.
    mask = (1 << (8 * number_size - 1)) - 1
    position = box.start + 8
    while position < box.end:
        item = int.from_bytes(data[position : position + id_size], "big")
        start = position + id_size + 1
        position = start + number_size * data[start - 1]
        for at in range(start, position, number_size):
            yield item, int.from_bytes(data[at : at + number_size], "big") & mask


def _area(size: _Size) -> int:
    return size[0] * size[1]


def _item_kinds(data: bytes, information: _Box) -> dict[int, bytes]:
    """Read the type of each item (8.11.6)."""
    count_size = 4 if data[information.start] else 2
    kinds = {}
    for entry in _boxes(data, information.start + 4 + count_size, information.end):
        id_size = 4 if data[entry.start] > 2 else 2
        position = entry.start + 4
        item = int.from_bytes(data[position : position + id_size], "big")
        kinds[item] = data[position + id_size + 2 : position + id_size + 6]
    return kinds


def _item_pieces(data: bytes, location: _Box, item_data: _Box | None) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield each item's number, and the start and end of each piece of its bytes (8.11.3)."""
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
    remaining_pieces = _MAX_PIECES
    for _ in range(count):
        item = take(4 if version == 2 else 2)
        is_in_item_data = version and take(2) & 15 == 1
        take(2)
        base = take(base_size) + (item_data.start if is_in_item_data and item_data else 0)
        count_of_pieces = take(2)
        remaining_pieces -= count_of_pieces
        if remaining_pieces < 0:
            raise corrupt(f"the items of the AVIF have more than {_MAX_PIECES} pieces")
        pieces = []
        for _ in range(count_of_pieces):
            take(index_size)
            start, length = base + take(offset_size), take(length_size)
            pieces.append((start, start + length if length else len(data)))
        yield item, pieces


def _grid_pixels(data: bytes, pieces: list[tuple[int, int]]) -> int:
    """Read the size of the image that a grid of tiles makes (ISO/IEC 23008-12, 6.6.2.3.2)."""
    # Many items may have all bytes of the file.
    item = _join(data, ((start, min(end, start + _GRID_BYTES)) for start, end in pieces))
    width, height = struct.unpack_from(">II" if item[1] & 1 else ">HH", item, 4)
    return int(width * height)


def _join(data: bytes, pieces: Iterable[tuple[int, int]]) -> bytes:
    return b"".join(data[start:end] for start, end in pieces)


def _count_pixels(data: bytes, items: Counter[_Frames]) -> tuple[int, float]:
    """Count the pixels of the largest frame, or of an average one if there are more than `_FULL_FRAMES`.

    Also estimate the decoder's time. ``items`` has each item with the number of items that share its bytes. A decoder
    keeps the last sequence header, also from one tile of a grid to the next. So a frame in front of the first one of
    its item may have the largest size in the file.
    """
    largest = total = total_bytes = 0
    unknown_frames = 0
    remaining_units = _MAX_UNITS
    for frames, count in items.items():
        pixels = number = 0
        item = _join(data, frames.pieces)
        for kind, payload in units(item, remaining_units):
            remaining_units -= 1
            if kind == SEQUENCE_HEADER:
                pixels = max(pixels, sequence_pixels(payload), frames.stated_pixels)
                largest = max(largest, pixels)
            elif kind in FRAME_UNITS:
                number += 1
                total += pixels * count
                unknown_frames += count if not pixels else 0
        if number:
            check_tail(item, pixels)
        largest = max(largest, frames.stated_pixels)
        total_bytes += len(item) * count
    total += unknown_frames * largest
    return max(largest, total // _FULL_FRAMES), total * _SECONDS_PER_PIXEL + total_bytes * _SECONDS_PER_BYTE


def _strip(data: bytes, brands: _Box, movie: _Box | None) -> bytes:
    """Rename the EXIF item and the animation to types that readers skip."""
    stripped = _EXIF_ITEM.sub(rb"\1skip", data)
    if movie is None:
        return stripped
    start = stripped.rindex(b"moov", 0, movie.start)
    stripped = stripped[:start] + b"free" + stripped[start + 4 :]
    # libavif refuses a file that calls itself an image sequence (avis) and has no animation.
    return stripped[: brands.end].replace(b"avis", b"avif") + stripped[brands.end :]
