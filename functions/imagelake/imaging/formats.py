"""The accepted file formats, each with its content type, its header and its decoders."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from imagelake.imaging import avif, gif, jpeg, png, webp
from imagelake.imaging.header import Header, corrupt, truncated


class Format(NamedTuple):
    """One file format.

    ``pillow_decoder`` is named here because ``Image.open`` would try every format that the process has registered, and
    would apply its global pixel limit. ``fast_decode`` decodes the plain files of the format and returns ``None`` for
    all others.
    """

    content_type: str
    read_header: Callable[[bytes], Header]
    pillow_decoder: Callable[[io.BytesIO], ImageFile]
    fast_decode: Callable[[bytes], Image.Image | None] | None = None


# An MPO file is a JPEG with more JPEGs after it. It is read as a JPEG.
FORMATS = {
    "JPEG": Format("image/jpeg", jpeg.read_header, JpegImageFile),
    "PNG": Format("image/png", png.read_header, png.open_with_pillow, png.decode),
    "WEBP": Format("image/webp", webp.read_header, WebPImageFile, webp.decode),
    "GIF": Format("image/gif", gif.read_header, GifImageFile, gif.decode),
    "AVIF": Format("image/avif", avif.read_header, AvifImageFile),
}


def read_header(format_name: str, data: bytes) -> Header:
    """Read the header of a file of this format, a key of `FORMATS`; raise only ``ImageRejectedError``."""
    try:
        header = FORMATS[format_name].read_header(data)
    except (struct.error, IndexError) as error:
        raise truncated(f"the {format_name} header ends early") from error
    if not (header.width and header.height):
        raise corrupt(f"the {format_name} header says {header.width}x{header.height} pixels")
    return header
