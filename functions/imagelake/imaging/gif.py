"""Read the header of a GIF, cut the file after its first frame, and decode it on its canvas (GIF89a, 15 to 23)."""

from __future__ import annotations

import io
import re
import struct

from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from imagelake.imaging.header import Header, corrupt, truncated

_EXTENSION, _END = 0x21, 0x3B
_MARK = re.compile(rb"[!,;]")
# The extension that says which color is transparent. The others are comments, XMP and the number of repetitions.
_GRAPHIC_CONTROL = 0xF9
# A frame of 25 MB, the largest download, is 98,000 blocks of 255 bytes. In 22 MB there is room for 11 million blocks
# of one byte; with them, Pillow took 3.4 s and 1 GB.
_MAX_BLOCKS = 110_000


def read_header(data: bytes) -> Header:
    """Read the blocks up to the end of the first frame; drop all extensions that do not change how it looks."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _palette_bytes(flags)
    kept = [data[:position]]
    blocks = _MAX_BLOCKS
    while True:
        # Like decoders, we skip bytes that begin nothing.
        mark = _MARK.search(data, position)
        if not mark:
            raise truncated("the GIF ends before its first frame")
        start = mark.start()
        if data[start] != _EXTENSION:
            break
        position, blocks = _skip_blocks(data, start + 2, blocks - 1)
        if data[start + 1] == _GRAPHIC_CONTROL:
            kept.append(data[start:position])
    if data[start] == _END:
        raise corrupt("the GIF has no frame")
    left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", data, start + 1)
    end, _ = _skip_blocks(data, start + 11 + _palette_bytes(flags), blocks)
    # A frame may be larger than the canvas; decoders then enlarge the canvas.
    stripped = b"".join((*kept, data[start:end], b";"))
    return Header(max(width, left + frame_width), max(height, top + frame_height), stripped, pixel_bytes=16)


def decode(data: bytes) -> Image.Image | None:
    """Decode a stripped GIF whose frame does not cover the canvas; ``None`` means that Pillow decodes it right.

    Browsers show nothing outside of the frame, but Pillow puts the first color of the palette there.
    """
    image = GifImageFile(io.BytesIO(data))
    box = image.tile[0].extents if image.tile else None
    if box is None or box == (0, 0, *image.size) or "transparency" in image.info:
        return None
    image.load()
    mask = Image.new("L", image.size, 0)
    mask.paste(255, box)
    colors = image.convert("RGB")
    colors.putalpha(mask)
    return colors


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, position: int, blocks: int) -> tuple[int, int]:
    """Return the position after a chain of data blocks, each with its length before it, and how many more may follow.

    The last block of a chain is empty.
    """
    for used in range(1, blocks + 1):
        length = data[position]
        position += 1 + length
        if not length:
            return position, blocks - used
    raise corrupt(f"the GIF has more than {_MAX_BLOCKS} blocks")
