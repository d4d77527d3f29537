"""Options of `process`, checked once when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

from imagelake.imaging.formats import FORMATS
from imagelake.run.image_options import DEFAULT_PRESET, Preset, ResizeMode, Tensor

# Above this number Pillow itself warns. Our limit must apply before that.
_PILLOW_MAX_PIXELS = 89_478_485


@dataclass(frozen=True)
class Options:
    """Options for checking, resizing and writing an image; names and modes are those of img2dataset where it has them.

    ``image_size``             the target size in pixels, 16 to 2048; ``resize_mode`` says of which side
    ``resize_mode``            ``keep_ratio_largest``: the longer side gets the size. ``keep_ratio``: the shorter side
                               gets it. ``center_crop``: the shorter side gets it, and the longer side is cut to the
                               same length around its middle. ``border``: like ``keep_ratio_largest``, centered on a
                               white square. ``no``: the size stays as it is
    ``resize_only_if_bigger``  do not enlarge an image whose side is smaller than the size
    ``min_image_size``         smallest accepted shorter side in pixels; the hashes need a grid of nine by eight
    ``max_image_area``         largest accepted number of pixels, as a filter of content
    ``max_aspect_ratio``       largest accepted ratio of the longer side to the shorter side
    ``preset``                 ``balanced``: decode a JPEG at the smallest 1/8, 1/4, 1/2 or 1/1 that is not below the
                               target size. ``quality``: at least twice the target size, which takes longer.
                               ``fast``: like ``balanced``, with a cheaper filter
    ``encode_quality``         quality of the JPEG, 1 to 95
    ``tensor``                 also return pixels as model input, see `imagelake.imaging.tensor`; ``None`` for none
    ``max_pixels``             safety limit for the pixels of the file's canvas and of the result; a result has at most
                               ``MAX_RESULT_PIXELS`` too. A larger file is refused from its header, before any pixel is
                               decoded
    ``formats``                names of the accepted formats, out of `FORMATS`

    Raises ``ValueError`` for a value out of range.
    """

    image_size: int = 512
    resize_mode: ResizeMode = "keep_ratio_largest"
    resize_only_if_bigger: bool = True
    min_image_size: int = 8
    max_image_area: float = math.inf
    max_aspect_ratio: float = 20.0
    preset: Preset = DEFAULT_PRESET
    encode_quality: int = 85
    tensor: Tensor | None = None
    max_pixels: int = 40_000_000
    formats: frozenset[str] = frozenset(FORMATS)

    def __post_init__(self) -> None:
        bounds = {
            "image_size": (16, 2048),
            "min_image_size": (1, math.inf),
            "max_image_area": (1, math.inf),
            "max_aspect_ratio": (1, math.inf),
            "encode_quality": (1, 95),
            "max_pixels": (1, _PILLOW_MAX_PIXELS),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not within {low} to {high}")
        choices = {"resize_mode": get_args(ResizeMode), "preset": get_args(Preset), "tensor": (None, *get_args(Tensor))}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not one of {allowed}")
        if not self.formats or not self.formats <= FORMATS.keys():
            raise ValueError(f"formats is {sorted(self.formats)}, not some of {sorted(FORMATS)}")
