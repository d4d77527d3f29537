"""AVIFs that are grids of tiles (ISO/IEC 23008-12, 6.6.2.3), whose sizes may contradict each other."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from PIL import Image

from tests.support.images import encoded
from tests.support.part_bombs import BRANDS, box, full_box


@dataclass(frozen=True)
class Tiles:
    """The side of the coded frames, and the sides that the container states for a tile, the image and the grid.

    ``headers`` says which tiles have the sequence header: ``first``, ``all``, or ``small``: all tiles but the first
    have one of 16x16 pixels behind their frame. Without ``own_sizes``, the tiles state no size.
    """

    frame: int = 64
    tile: int = 64
    image: int | None = None
    output: int | None = None
    headers: str = "first"
    own_sizes: bool = True


def units(side: int) -> tuple[bytes, bytes, bytes]:
    """The sequence header of a frame of one color, its other units, and the box of its configuration."""
    image = encoded(Image.new("RGB", (side, side), (10, 120, 30)), "AVIF", speed=10)
    data = image[image.index(b"mdat") + 4 :]
    start = image.index(b"av1C") - 4
    configuration = image[start : start + int.from_bytes(image[start : start + 4], "big")]
    # A temporal delimiter of two bytes comes first, then the sequence header with its length.
    first = 2 if data[0] >> 3 & 15 == 2 else 0
    end = first + 2 + data[first + 1]
    return data[first:end], data[end:], configuration


def avif_grid(side: int, tiles: Tiles) -> bytes:
    """A grid of ``side`` by ``side`` tiles, which share the bytes of one frame."""
    header, frame, configuration = units(tiles.frame)
    data = header + frame + units(16)[0]
    rest = {
        "first": (len(header), len(frame)),
        "all": (0, len(header + frame)),
        "small": (len(header), len(data) - len(header)),
    }[tiles.headers]
    count = side * side
    output = tiles.output or tiles.tile * side
    grid = struct.pack(">4BHH", 0, 0, side - 1, side - 1, output, output)
    places = [(len(data), len(grid)), (0, len(header + frame)), *[rest] * (count - 1)]
    data += grid
    infos = [full_box(b"infe", 2, struct.pack(">HH4sB", 1, 0, b"grid", 0))]
    infos += [full_box(b"infe", 2, struct.pack(">HH4sB", one + 2, 0, b"av01", 0)) for one in range(count)]
    extents = [full_box(b"ispe", 0, struct.pack(">II", one, one)) for one in (tiles.image or output, tiles.tile)]
    properties = box(b"ipco", *extents, configuration, full_box(b"pixi", 0, b"\3\x08\x08\x08"))
    own = b"\3\2\x83\4" if tiles.own_sizes else b"\2\x83\4"
    links = [b"\0\1\2\1\4", *(struct.pack(">H", one + 2) + own for one in range(count))]
    references = struct.pack(">HH", 1, count) + struct.pack(f">{count}H", *range(2, count + 2))

    def build(offset: int) -> bytes:
        locations = [
            struct.pack(">HHHII", number, 0, 1, offset + start, length)
            for number, (start, length) in enumerate(places, 1)
        ]
        meta = box(
            b"meta",
            bytes(4),
            full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, b"\0\1"),
            full_box(b"iloc", 0, b"\x44\0", struct.pack(">H", count + 1), *locations),
            full_box(b"iinf", 0, struct.pack(">H", count + 1), *infos),
            full_box(b"iref", 0, box(b"dimg", references)),
            box(b"iprp", properties, full_box(b"ipma", 0, struct.pack(">I", count + 1), *links)),
        )
        return BRANDS + meta + struct.pack(">I4s", 8 + len(data), b"mdat")

    return build(len(build(0))) + data
