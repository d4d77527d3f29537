"""What a caller may ask of `process`, checked once when it is made."""

from __future__ import annotations

from dataclasses import dataclass

# An MPO file is a JPEG with further JPEGs behind it and is read as one, so it needs no name of its own.
FORMATS = frozenset({"JPEG", "PNG", "WEBP", "GIF", "AVIF"})

# Pillow warns above this number on its own; our budget has to be the one that speaks first.
_PILLOW_MAX_PIXELS = 89_478_485
# Features add up squares per column in 32-bit integers, which are exact up to this many rows.
_MAX_SIDE = 2048


@dataclass(frozen=True)
class Options:
    """How a picture is checked and written.

    ``longest_side``      of the processed picture in pixels, 16 to 2048; a smaller picture is never enlarged
    ``quality``           of the JPEG written, 1 to 95
    ``max_pixels``        of the file's canvas; more is refused from the header, before any pixel is decoded
    ``min_side``          of the original in pixels; the hashes look at a grid of nine by eight
    ``max_aspect_ratio``  of the original, longer side to shorter
    ``formats``           that are decoded, out of `FORMATS`

    Raises ``ValueError`` for a value out of range.
    """

    longest_side: int = 512
    quality: int = 85
    max_pixels: int = 40_000_000
    min_side: int = 8
    max_aspect_ratio: float = 20.0
    formats: frozenset[str] = FORMATS

    def __post_init__(self) -> None:
        bounds = {
            "longest_side": (16, _MAX_SIDE),
            "quality": (1, 95),
            "max_pixels": (1, _PILLOW_MAX_PIXELS),
            "min_side": (1, _MAX_SIDE),
            "max_aspect_ratio": (1, float("inf")),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not within {low} to {high}")
        object.__setattr__(self, "formats", frozenset(self.formats))
        if not self.formats or not self.formats <= FORMATS:
            raise ValueError(f"formats is {sorted(self.formats)}, not some of {sorted(FORMATS)}")
