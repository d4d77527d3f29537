"""Compute the new size of an image, and resize its pixels."""

from __future__ import annotations

import threading
from typing import Any, Literal, NamedTuple

from PIL import Image

from imagelake.imaging.options import Options
from imagelake.run.image_options import Preset

# Vector instructions resize in a seventh of Pillow's time; results differ by at most 2 of 255. Pillow resizes on
# machines without a wheel, such as Linux on Arm. ``benchmarks/pixels.py`` times it as "Imagelake, Pillow's resize".
try:
    import cykooz_resizer as simd
except ImportError:
    simd = None
_local = threading.local()

# Left, top, right and bottom edge in pixels.
Box = tuple[float, float, float, float]
# Lanczos' filter with three lobes, or the cubic filter of Catmull and Rom, which takes two thirds of the time.
Filter = Literal["lanczos3", "catmull_rom"]

_PILLOW_FILTERS = {"lanczos3": Image.Resampling.LANCZOS, "catmull_rom": Image.Resampling.BICUBIC}


class ResizeGeometry(NamedTuple):
    """The part of an image to keep, and the size that this part gets."""

    size: tuple[int, int]
    box: Box

    def shrinks_by(self, factor: float) -> bool:
        """Tell if one side of the box is at least ``factor`` times its new size (the other may be off by rounding)."""
        left, top, right, bottom = self.box
        return max((right - left) / self.size[0], (bottom - top) / self.size[1]) >= factor


def compute_geometry(width: int, height: int, options: Options) -> ResizeGeometry:
    """Apply ``options.resize_mode`` to an image of this size; each side of the result is at least 1."""
    target = options.image_size
    uses_shorter_side = options.resize_mode in ("keep_ratio", "center_crop")
    side = min(width, height) if uses_shorter_side else max(width, height)
    if options.resize_mode == "no" or (options.resize_only_if_bigger and side <= target):
        return ResizeGeometry((width, height), (0, 0, width, height))
    if options.resize_mode == "center_crop":
        left, top = (width - side) / 2, (height - side) / 2
        return ResizeGeometry((target, target), (left, top, left + side, top + side))
    scale = target / side
    return ResizeGeometry((max(1, round(width * scale)), max(1, round(height * scale))), (0, 0, width, height))


def choose_draft_divisor(geometry: ResizeGeometry, preset: Preset) -> int:
    """Choose the divisor, 8, 4, 2 or 1, of the size at which a JPEG is decoded.

    At these scales the decoder computes an inverse DCT of fewer points. All other scales of libjpeg-turbo cost more
    than a full decode.
    """
    margin = 2 if preset == "quality" else 1
    return next(divisor for divisor in (8, 4, 2, 1) if divisor == 1 or geometry.shrinks_by(divisor * margin))


def resize(image: Image.Image, size: tuple[int, int], box: Box, kernel: Filter = "lanczos3") -> Image.Image:
    """Resize the part in ``box`` of an image in mode L, RGB or CMYK."""
    if image.size == size and box == (0, 0, *size):
        return image
    if simd is None:
        return image.resize(size, _PILLOW_FILTERS[kernel], box=box)
    left, top, right, bottom = box
    result = Image.new(image.mode, size, None)
    _resizer().resize_pil(
        image,
        result,
        simd.ResizeOptions(
            simd.ResizeAlg.convolution(simd.FilterType[kernel]),
            crop_box=simd.CropBox(left, top, right - left, bottom - top),
        ),
    )
    return result


def _resizer() -> Any:
    """Return this thread's resizer, which keeps its working memory from image to image."""
    if not hasattr(_local, "resizer"):
        _local.resizer = simd.Resizer()
    return _local.resizer


def add_border(image: Image.Image, side: int) -> Image.Image:
    """Center an image on a white square of at least ``side`` pixels."""
    side = max(side, *image.size)
    background = Image.new("RGB", (side, side), "white")
    background.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return background
