"""Decode the most common PNGs, eight bits of RGB or RGBA, by libdeflate and libspng.

Pillow undoes the filters of the rows (PNG third edition, 9) byte by byte. libspng does it by vector instructions, and
is given nothing else to do: libdeflate inflates, into exactly as many bytes as the header promises, and what libspng
reads is a PNG written here around them. Of a stranger's file it sees the size, the filters' numbers and the pixels.
"""

from __future__ import annotations

import struct
import zlib

from PIL import Image

from imagelake.imaging.header import png_chunks

# Where there is no wheel, as for macOS on Intel, Pillow does the work.
try:
    import deflate
    import pyspng
except ImportError:
    pyspng = None

# Bits of a sample, colour type, compression, filter and interlace method (PNG third edition, 11.2.1).
_MODES = {b"\x08\x02\0\0\0": "RGB", b"\x08\x06\0\0\0": "RGBA"}


def decode(data: bytes) -> Image.Image | None:
    """The picture, or ``None`` if Pillow has to do it.

    That is so of every other kind of PNG, of one with a transparent colour, of one that the libraries find damaged,
    since Pillow says what is wrong, and where they are not installed.
    """
    header = data[:33]
    mode = _MODES.get(header[24:29])
    # libspng is told by pyspng to ignore checksums.
    if pyspng is None or mode is None or zlib.crc32(header[12:29]).to_bytes(4, "big") != header[29:]:
        return None
    _, *chunks, _ = png_chunks(data)
    if any(kind != b"IDAT" for kind, _, _ in chunks):
        return None
    width, height = struct.unpack_from(">II", header, 16)
    view, size = memoryview(data), (1 + len(mode) * width) * height
    try:
        # No name for what is only on the way: it is let go as soon as the next is made.
        pixels = pyspng.load(
            _stored(header, _inflated(b"".join(view[start:end] for _, start, end in chunks), size)), mode
        )
    except (deflate.DeflateError, ValueError, RuntimeError):
        return None
    return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)


def _inflated(packed: bytes, size: int) -> bytearray:
    rows = deflate.zlib_decompress(packed, size)
    if len(rows) != size:
        raise ValueError(f"{len(rows)} bytes of rows where {size} are due")
    return rows


def _stored(header: bytes, rows: bytearray) -> bytes:
    """A PNG of these rows, uncompressed."""
    body = zlib.compress(rows, 0)
    return b"".join([header, struct.pack(">I4s", len(body), b"IDAT"), body, bytes(8), b"IEND", bytes(4)])
