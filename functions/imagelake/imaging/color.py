"""Turn pixels of any mode into eight-bit sRGB: sixteen bits, palettes, transparency, CMYK and colour profiles."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from imagelake.imaging.header import MAX_PROFILE

# The colour space of a profile and the one mode it can be applied to.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def flatten(image: Image.Image) -> Image.Image:
    """The picture in mode RGB, L or CMYK, with what was transparent on white."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGB", "L", "CMYK") and "transparency" not in image.info:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        page = Image.new("RGB", image.size, "white")
        page.paste(layer, mask=layer)
        return page
    return image.convert("L" if image.mode == "1" else "RGB")


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture of `flatten` in sRGB, by its ICC profile if that is of use, else by its mode alone.

    A profile that is broken or meant for another mode is ignored, as browsers do. The rendering intent is perceptual.
    """
    if profile and len(profile) <= MAX_PROFILE:
        try:
            return _by_profile(image, profile)
        # LittleCMS reads what a stranger wrote, and Pillow turns its complaints into several kinds of exception.
        except Exception:
            pass
    return image if image.mode == "RGB" else image.convert("RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    described = source.profile
    is_srgb = "srgb" in (described.profile_description or "").lower()
    if is_srgb or _MODES.get(described.xcolor_space.strip()) != image.mode:
        return image.convert("RGB")
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # only an in-place conversion returns nothing
    return converted
