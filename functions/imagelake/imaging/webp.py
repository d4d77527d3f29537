"""Decode a still WebP without transparency by the plain decoder of the libwebp that Pillow brings.

Pillow has a use only for the decoder of animations, which keeps a canvas and copies it twice. The plain one is in the
same library, so the bytes are read by the same code and the pixels are the same, for less work.
"""

from __future__ import annotations

import ctypes
from typing import Any

from PIL import Image

_decode: Any = None
# What the extension module is linked with is found through it, whatever the name and place of the library.
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


def decode(data: bytes) -> Image.Image | None:
    """The picture in mode RGB, or ``None`` if Pillow has to do it.

    That is so of all but the simple lossy format (RFC 9649, 2.5), of a damaged picture, since the plain decoder does
    not say what is wrong, and where the library does not give its functions away.
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
