"""Write pixels as a JPEG with nothing in it but the picture."""

from __future__ import annotations

import io

from PIL import Image


def encode(image: Image.Image, quality: int) -> bytes:
    """A baseline JPEG of an RGB picture: chroma at half size, no EXIF, XMP, IPTC, comment, profile or thumbnail.

    Pixels without a profile are read as sRGB everywhere.
    """
    buffer = io.BytesIO()
    # Of what a picture carries along, Pillow writes the comment unless it is given another one.
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", comment=b"")
    return buffer.getvalue()
