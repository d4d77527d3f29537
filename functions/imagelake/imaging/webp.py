"""Read the header of a WebP, and decode plain WebPs faster than Pillow does (RFC 9649)."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

from PIL import Image

from imagelake.imaging import vp8l
from imagelake.imaging.header import MAX_PARTS, Header, check_tail, corrupt, truncated

# Time for each pixel and for each byte of the image: in the simple lossy format, lossless, and lossy in the extended
# format, which Pillow decodes.
_LOSSY, _LOSSLESS, _EXTENDED = (10e-9, 50e-9), (22e-9, 20e-9), (22e-9, 50e-9)

_decode: Any = None
# Find libwebp through Pillow's extension module, which is linked with it; the library's file name varies by wheel.
try:
    from PIL import _webp

    _library = ctypes.CDLL(_webp.__file__)
    _decode, _free = _library.WebPDecodeRGBA, _library.WebPFree
except (ImportError, OSError, AttributeError):
    pass
else:
    _decode.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    _decode.restype = ctypes.c_void_p
    _free.argtypes = (ctypes.c_void_p,)
    _free.restype = None


def read_header(data: bytes) -> Header:
    """Read the chunks of the RIFF container (2.3 to 2.7); libwebp checks that the frames fit its canvas."""
    (size,) = struct.unpack_from("<I", data, 4)
    if size + 8 > len(data):
        raise truncated("the WebP is shorter than it says")
    width, height = _canvas_size(data[12:16], data, 20)
    is_lossless, coded_bytes = _check_first_frame(data[: size + 8], width, height)
    is_simple = data[12:16] == b"VP8 "
    per_pixel, per_byte = _LOSSLESS if is_lossless else _LOSSY if is_simple else _EXTENDED
    # A lossy image may go on behind its chunk.
    seconds = width * height * per_pixel + (len(data) if is_simple else coded_bytes) * per_byte
    if is_simple:
        return Header(width, height, data, seconds=seconds)
    return Header(width, height, data, pixel_bytes=19, file_bytes=2 * len(data), seconds=seconds)


def _check_first_frame(data: bytes, width: int, height: int) -> tuple[bool, int]:
    """Check the coded data of the first frame: its lossless streams, and that no zeros stand for lost data.

    Return if its pixels are lossless, and the number of its bytes.
    """
    position, transparency = 12, 0
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            return False, 0
        kind, size = struct.unpack_from("<4sI", data, position)
        start = position + 8
        if kind == b"VP8L":
            width, height = _canvas_size(kind, data, start)
            vp8l.check_blocks(data, start + 5, width, height)
        # Transparency that is not compressed may end in zeros.
        is_packed_alpha = kind == b"ALPH" and data[start] & 3 == 1
        if is_packed_alpha:
            vp8l.check_blocks(data, start + 1, width, height)
        if is_packed_alpha or kind in (b"VP8 ", b"VP8L"):
            check_tail(data[start : start + size], width * height)
        if kind in (b"VP8 ", b"VP8L"):
            return kind == b"VP8L", transparency + size
        if kind == b"ANMF":
            width = 1 + int.from_bytes(data[start + 6 : start + 9], "little")
            height = 1 + int.from_bytes(data[start + 9 : start + 12], "little")
            position = start + 16
        else:
            # A chunk of odd length has a byte after it.
            position = start + size + size % 2
            transparency += size if kind == b"ALPH" else 0
    if b"VP8L" in data[position:] or b"ALPH" in data[position:]:
        raise corrupt(f"the WebP has more than {MAX_PARTS} chunks in front of its image")
    return False, 0


def _canvas_size(kind: bytes, data: bytes, start: int) -> tuple[int, int]:
    """Read width and height from the first chunk: extended, lossless or lossy."""
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(data[start + 4 : start + 7], "little"),
            1 + int.from_bytes(data[start + 7 : start + 10], "little"),
        )
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, start + 1)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, start + 6)
        return width & 0x3FFF, height & 0x3FFF
    raise corrupt("the WebP does not begin with an image")


def decode(data: bytes) -> Image.Image | None:
    """Decode a WebP in the simple lossy format (2.5) to RGB; ``None`` means that Pillow has to decode it.

    Pillow uses only libwebp's decoder of animations, which keeps a canvas and copies it twice. The simple decoder in
    the same library gives the same pixels with less work; ``benchmarks/pixels.py`` times it as "Imagelake, Pillow's
    decoders" in the column "mixed". Pillow gets all other kinds of WebP, and every damaged file, because this decoder
    does not say what is wrong.
    """
    if _decode is None or data[12:16] != b"VP8 ":
        return None
    width, height = ctypes.c_int(), ctypes.c_int()
    pixels = _decode(data, len(data), ctypes.byref(width), ctypes.byref(height))
    if not pixels:
        return None
    try:
        size = width.value, height.value
        view = memoryview((ctypes.c_ubyte * (4 * size[0] * size[1])).from_address(pixels))
        return Image.frombytes("RGB", size, view, "raw", "RGBX")
    finally:
        _free(pixels)
