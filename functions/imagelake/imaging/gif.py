"""Read the header of a GIF, and cut the file after its first frame (GIF89a, 15 to 23)."""

from __future__ import annotations

import struct

from imagelake.imaging.header import Header, corrupt

_EXTENSION, _FRAME, _END = 0x21, 0x2C, 0x3B


def read_header(data: bytes) -> Header:
    """Read the blocks up to the end of the first frame."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _palette_bytes(flags)
    while (block := data[position]) != _FRAME:
        if block == _EXTENSION:
            position = _skip_blocks(data, position + 2)
        elif block == _END:
            raise corrupt("the GIF has no frame")
        else:
            position += 1
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, position + 1)
    end = _skip_blocks(data, position + 11 + _palette_bytes(flags))
    # A frame may be larger than the canvas; decoders then enlarge the canvas.
    return Header(max(width, left + frame_width), max(height, top + frame_height), data[:end] + b";")


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, position: int) -> int:
    """Return the position after a chain of data blocks, each with its length before it; the last is empty."""
    while length := data[position]:
        position += 1 + length
    return position + 1
