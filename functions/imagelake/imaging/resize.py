"""Plan a picture's new size and bring its pixels to it."""

from __future__ import annotations

import threading
from typing import Any, Literal, NamedTuple

from PIL import Image

from imagelake.imaging.options import Options, Preset

# Vector instructions take a seventh of Pillow's time, for results within two of 255 of Pillow's. Where there is no
# wheel, as for Linux on Arm, Pillow does the work.
try:
    import cykooz_resizer as simd
except ImportError:
    simd = None
_local = threading.local()

Box = tuple[float, float, float, float]
# Lanczos' filter with three lobes, or the cubic one of Catmull and Rom, which takes two thirds of its time.
Filter = Literal["lanczos3", "catmull_rom"]

_FILTERS = {"lanczos3": Image.Resampling.LANCZOS, "catmull_rom": Image.Resampling.BICUBIC}


class Plan(NamedTuple):
    """The size to give to the part in ``box`` (left, top, right, bottom) of a picture."""

    size: tuple[int, int]
    box: Box

    def shrinks_by(self, factor: float) -> bool:
        """Whether the part is at least ``factor`` times the size; the other side may be off by rounding."""
        left, top, right, bottom = self.box
        return max((right - left) / self.size[0], (bottom - top) / self.size[1]) >= factor


def plan(width: int, height: int, options: Options) -> Plan:
    """What ``options.resize_mode`` makes of a picture of this size; each side is at least 1."""
    side = options.image_size
    is_of_shorter = options.resize_mode in ("keep_ratio", "center_crop")
    measured = min(width, height) if is_of_shorter else max(width, height)
    if options.resize_mode == "no" or (options.resize_only_if_bigger and measured <= side):
        return Plan((width, height), (0, 0, width, height))
    if options.resize_mode == "center_crop":
        left, top = (width - measured) / 2, (height - measured) / 2
        return Plan((side, side), (left, top, left + measured, top + measured))
    scale = side / measured
    return Plan((max(1, round(width * scale)), max(1, round(height * scale))), (0, 0, width, height))


def draft_scale(planned: Plan, preset: Preset) -> int:
    """The divisor, of 8, 4, 2 and 1, that a JPEG can be decoded at for this plan.

    These are the scales at which an inverse DCT of fewer points does less work; libjpeg-turbo's other scales cost
    more than a full decode.
    """
    margin = 2 if preset == "quality" else 1
    return next(scale for scale in (8, 4, 2, 1) if scale == 1 or planned.shrinks_by(scale * margin))


def resize(image: Image.Image, size: tuple[int, int], box: Box, kernel: Filter = "lanczos3") -> Image.Image:
    """The part in ``box`` of a picture in mode L, RGB or CMYK, at ``size``."""
    if image.size == size and box == (0, 0, *size):
        return image
    if simd is None:
        return image.resize(size, _FILTERS[kernel], box=box)
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
    """This thread's own; it keeps the memory it works in."""
    if not hasattr(_local, "resizer"):
        _local.resizer = simd.Resizer()
    return _local.resizer


def bordered(image: Image.Image, side: int) -> Image.Image:
    """The picture in the middle of a white square of at least ``side`` pixels."""
    side = max(side, *image.size)
    page = Image.new("RGB", (side, side), "white")
    page.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return page
