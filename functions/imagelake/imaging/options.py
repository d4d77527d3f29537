"""What a caller may ask of `process`, checked once when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

# An MPO file is a JPEG with further JPEGs behind it and is read as one, so it needs no name of its own.
FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF", "AVIF"})

Preset = Literal["fast", "balanced", "quality"]
ResizeMode = Literal["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
Tensor = Literal["uint8", "float32"]

# Pillow warns above this number on its own; our budget has to be the one that speaks first.
_PILLOW_MAX_PIXELS = 89_478_485


@dataclass(frozen=True)
class Options:
    """How a picture is checked, resized and written; names and modes are those of img2dataset where it has them.

    ``image_size``             in pixels, 16 to 2048; what it is the size of is up to the mode
    ``resize_mode``            ``keep_ratio_largest``: the longer side gets the size. ``keep_ratio``: the shorter side
                               does. ``center_crop``: the same, and of the longer side the middle is kept.
                               ``border``: as ``keep_ratio_largest``, centred on a white square. ``no``: as it is
    ``resize_only_if_bigger``  leave a picture alone whose side in question is not above the size; else enlarge it
    ``min_image_size``         of the original's shorter side in pixels; the hashes look at a grid of nine by eight
    ``max_image_area``         of the original in pixels: a filter for what is wanted
    ``max_aspect_ratio``       of the original, longer side to shorter
    ``preset``                 ``balanced``: a JPEG is decoded at the smallest power of two that is not below the
                               size. ``quality``: that is at least twice the size, for more time.
                               ``fast``: as balanced, by a cheaper filter and without a progressive JPEG's refinements
    ``encode_quality``         of the JPEG written, 1 to 95
    ``tensor``                 also give the pixels a model takes, see `ProcessedImage`; ``None`` for none
    ``max_pixels``             of the file's canvas and of the result: the limit of what is safe. More is refused from
                               the header, before any pixel is decoded
    ``formats``                that are decoded, out of `FORMATS`

    Raises ``ValueError`` for a value out of range.
    """

    image_size: int = 512
    resize_mode: ResizeMode = "keep_ratio_largest"
    resize_only_if_bigger: bool = True
    min_image_size: int = 8
    max_image_area: float = math.inf
    max_aspect_ratio: float = 20.0
    preset: Preset = "balanced"
    encode_quality: int = 85
    tensor: Tensor | None = None
    max_pixels: int = 40_000_000
    formats: frozenset[str] = FORMATS

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
        object.__setattr__(self, "formats", frozenset(self.formats))
        if not self.formats or not self.formats <= FORMATS:
            raise ValueError(f"formats is {sorted(self.formats)}, not some of {sorted(FORMATS)}")
