"""Convert pixels of any mode to 8-bit sRGB: 16 bits, palettes, transparency, CMYK and color profiles."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageChops, ImageCms

from imagelake.imaging.header import MAX_PROFILE_BYTES

# The color space of a profile, and the one mode that it can be applied to.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
# Most images of a feed have one of a few small profiles. A large one, for CMYK, takes too much memory to be kept.
_MAX_CACHED_BYTES = 64 << 10
# Colors and grays that show if a profile is that of sRGB.
_GRID = np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3)
_COLORS = Image.merge("RGB", [Image.fromarray(channel.reshape(18, -1)) for channel in _GRID])
_GRAYS = Image.frombytes("L", (256, 1), bytes(range(256)))
# The numbers in a profile are rounded, so one for sRGB may change a value by this.
_ROUNDING = 1

_Conversion = Callable[[Image.Image], Image.Image]


def flatten(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, bytes | None]:
    """Convert an image to mode RGB, L or CMYK; return it with the profile that it still has.

    Transparent parts get a white background. That mixes colors, so they have to be those of sRGB before.
    """
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), profile
    if image.mode in ("RGB", "L", "CMYK") and "transparency" not in image.info:
        return image, profile
    if image.has_transparency_data:
        layer = image if image.mode in ("LA", "RGBA") else image.convert("RGBA")
        alpha = layer.getchannel("A")
        colors = image.convert("L") if image.mode in ("1", "L", "LA") else layer.convert("RGB")
        del layer
        colors = to_srgb(colors, profile)
        colors.paste("white", mask=ImageChops.invert(alpha))
        return colors, None
    return image.convert("L" if image.mode == "1" else "RGB"), profile


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a flattened image to sRGB by its ICC profile, with perceptual rendering intent.

    A profile that is broken or is for another mode is ignored, as browsers do; then the mode alone decides.
    """
    convert = _find_conversion(image.mode, profile)
    if convert:
        return convert(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _find_conversion(mode: str, profile: bytes | None) -> _Conversion | None:
    """Find the conversion of pixels of this mode to sRGB; ``None`` if they stay as they are."""
    if not profile or len(profile) > MAX_PROFILE_BYTES:
        return None
    make = _make_conversion if len(profile) <= _MAX_CACHED_BYTES else _make_conversion.__wrapped__
    try:
        return make(mode, profile)
    # LittleCMS reads bytes of strangers, and Pillow turns its errors into several kinds of exception.
    except Exception:
        return None


@functools.lru_cache(maxsize=32)
def _make_conversion(mode: str, profile: bytes) -> _Conversion | None:
    source = ImageCms.ImageCmsProfile(io.BytesIO(_without_elements(profile)))
    if _MODES.get(source.profile.xcolor_space.strip()) != mode:
        return None
    # When LittleCMS optimizes a gray curve, dark values are wrong by up to 7.
    flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB", flags=flags)
    convert = functools.partial(_apply, transform)
    if mode == "L":
        tables = [channel.tobytes() for channel in convert(_GRAYS).split()]
        convert = functools.partial(_look_up, tables)
    return None if _changes_nothing(convert, mode) else convert


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only an in-place conversion returns nothing
    return converted


def _look_up(tables: list[bytes], image: Image.Image) -> Image.Image:
    return Image.merge("RGB", [image.point(table) for table in tables])


def _changes_nothing(convert: _Conversion, mode: str) -> bool:
    """Tell if a profile has the tone curve and the primaries of sRGB, whatever its description says."""
    if mode == "CMYK":
        return False
    colors = _COLORS if mode == "RGB" else _GRAYS
    difference = np.asarray(convert(colors), np.int16) - np.asarray(colors.convert("RGB"), np.int16)
    return bool(np.abs(difference).max() <= _ROUNDING)


def _without_elements(profile: bytes) -> bytes:
    """Hide the optional tags that are chains of processing elements (ICC.1:2022, 9.2.27 to 9.2.30) from LittleCMS.

    The chain of a profile of 4 MB can have 500,000 elements, and for only 10,000 LittleCMS took 24 s.
    """
    table_end = 132 + 12 * int.from_bytes(profile[128:132], "big")
    return profile[:table_end].replace(b"D2B", b"d2b") + profile[table_end:]
