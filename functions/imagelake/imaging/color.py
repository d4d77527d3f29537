"""Convert pixels of any mode to 8-bit sRGB: 16 bits, palettes, transparency, CMYK and color profiles."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from imagelake.imaging.header import MAX_PROFILE_BYTES

# The color space of a profile, and the one mode that it can be applied to.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def flatten(image: Image.Image) -> Image.Image:
    """Convert an image to mode RGB, L or CMYK; transparent parts get a white background."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGB", "L", "CMYK") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        background = Image.new("RGB", image.size, "white")
        background.paste(layer, mask=layer)
        return background
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a flattened image to sRGB by its ICC profile, with perceptual rendering intent.

    A profile that is broken or is for another mode is ignored, as browsers do; then the mode alone decides.
    """
    if profile and len(profile) <= MAX_PROFILE_BYTES:
        try:
            return _apply_profile(image, profile)
        # LittleCMS reads bytes of strangers, and Pillow turns its errors into several kinds of exception.
        except Exception:
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(_without_elements(profile)))
    details = source.profile
    is_srgb = "srgb" in (details.profile_description or "").lower()
    if is_srgb or _MODES.get(details.xcolor_space.strip()) != image.mode:
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # only an in-place conversion returns nothing
    return converted


def _without_elements(profile: bytes) -> bytes:
    """Hide the optional tags that are chains of processing elements (ICC.1:2022, 9.2.27 to 9.2.30) from LittleCMS.

    The chain of a profile of 4 MB can have 500,000 elements, and for only 10,000 LittleCMS took 24 s.
    """
    table_end = 132 + 12 * int.from_bytes(profile[128:132], "big")
    return profile[:table_end].replace(b"D2B", b"d2b") + profile[table_end:]
