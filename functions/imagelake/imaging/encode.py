"""Write pixels as a JPEG that holds nothing except the image."""

from __future__ import annotations

import io

from PIL import Image


def encode_jpeg(image: Image.Image, quality: int) -> bytes:
    """Encode an RGB image as a baseline JPEG: chroma at half size, no EXIF, XMP, IPTC, comment, profile or thumbnail.

    Every reader takes pixels without a profile as sRGB.
    """
    buffer = io.BytesIO()
    # Pillow copies the comment of the original file unless it gets another comment.
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", comment=b"")
    return buffer.getvalue()
