"""Measure how often a changed image is found again, and how often two different images are matched by mistake.

    .venv/bin/python benchmarks/near_duplicates.py

The images are parts of large photos that do not overlap, so no two show the same thing. Parts of one photo (sky,
leaves, wall) look alike, so their pairs are counted separately. The tables go into ``docs/near-duplicates.md``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from bench import ROOT, machine, publish, table
from corpus import corpus
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

sys.path.insert(0, str(ROOT / "functions"))
from imagelake.imaging import process
from transform.near_duplicates import is_comparable

ACROSS, DOWN = 6, 5
# Differing bits allowed of phash and of dhash; 64 is no limit.
THRESHOLDS = ((4, 8), (6, 10), (8, 12), (8, 64), (10, 14), (12, 16), (16, 20), (20, 24))
HEAD = ["phash, dhash", *(f"{phash}, {dhash if dhash < 64 else 'any'}" for phash, dhash in THRESHOLDS)]


def saved(image: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Cut ``share`` of the size off each side."""
    x, y = round(image.width * share), round(image.height * share)
    return image.crop((x, y, image.width - x, image.height - y))


def with_text(image: Image.Image) -> Image.Image:
    marked = image.copy()
    ImageDraw.Draw(marked).text(
        (image.width * 0.55, image.height * 0.9), "@somebody.example", "white", font_size=image.height // 18
    )
    return marked


def with_box(image: Image.Image) -> Image.Image:
    marked = image.copy()
    corner = (image.width * 0.75, image.height * 0.85)
    ImageDraw.Draw(marked).rectangle((*corner, image.width * 0.98, image.height * 0.97), "white")
    return marked


VARIANTS: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG, quality 60": lambda image: saved(image, quality=60),
    "JPEG, quality 30": lambda image: saved(image, quality=30),
    "half the size": lambda image: saved(scaled(image, 0.5)),
    "a quarter of the size": lambda image: saved(scaled(image, 0.25)),
    "WebP, quality 75": lambda image: saved(image, "WEBP", 75),
    "gray": lambda image: saved(ImageOps.grayscale(image)),
    "brighter by 20 %": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.2)),
    "blurred, radius 2": lambda image: saved(image.filter(ImageFilter.GaussianBlur(2))),
    "a line of text": lambda image: saved(with_text(image)),
    "a white box, 3 % of the area": lambda image: saved(with_box(image)),
    "cropped by 1 % a side": lambda image: saved(cropped(image, 0.01)),
    "cropped by 2 % a side": lambda image: saved(cropped(image, 0.02)),
    "cropped by 5 % a side": lambda image: saved(cropped(image, 0.05)),
    "mirrored": lambda image: saved(ImageOps.mirror(image)),
}


class Measured(NamedTuple):
    """The measures of one image that a comparison needs."""

    phash: int
    dhash: int
    contrast: float
    is_low_information: bool
    photo: int


class Found(NamedTuple):
    """Measures of originals, and of their variants in the same order."""

    originals: list[Measured]
    variants: dict[str, list[Measured]]


def measure(pictures: Iterable[tuple[int, Image.Image]]) -> Found:
    found = Found([], {kind: [] for kind in VARIANTS})
    for photo, picture in pictures:
        found.originals.append(measured(saved(picture), photo))
        for kind, change in VARIANTS.items():
            found.variants[kind].append(measured(change(picture), photo))
    return found


def measured(data: bytes, photo: int) -> Measured:
    made = process(data)
    return Measured(made.phash, made.dhash, made.contrast, made.is_low_information, photo)


def tiles() -> Iterator[tuple[int, Image.Image]]:
    for number, path in enumerate(corpus("12mp")):
        with Image.open(path) as photo:
            photo.load()
        wide, high = photo.width // ACROSS, photo.height // DOWN
        for x, y in product(range(ACROSS), range(DOWN)):
            yield number, photo.crop((x * wide, y * high, (x + 1) * wide, (y + 1) * high))


def whole() -> Iterator[tuple[int, Image.Image]]:
    for number, path in enumerate(sorted((ROOT / "samples" / "photos").iterdir())):
        with Image.open(path) as photo:
            yield number, photo.convert("RGB")


def recall(found: Found) -> str:
    """Count for each change the share of images that are still near their original; flat images are left out."""
    kept = compared(found.originals)
    originals = pairs(found.originals)
    rows = []
    for kind, changed in found.variants.items():
        bits = np.bitwise_count(originals ^ pairs(changed))[kept]
        rows.append([kind, *(f"{100 * near(bits, limits).mean():.1f}" for limits in THRESHOLDS)])
    return table(HEAD, rows)


def precision(found: Found) -> str:
    """Count near pairs among a million pairs of images that show different things."""
    kept, photo = compared(found.originals), np.array([picture.photo for picture in found.originals])
    originals = pairs(found.originals)
    one, other = np.triu_indices(len(originals), 1)
    bits = np.bitwise_count(originals[one] ^ originals[other])
    both, alike = kept[one] & kept[other], photo[one] == photo[other]
    rows = []
    for name, chosen in {"two photos": both & ~alike, "one photo": both & alike, "one or both flat": ~both}.items():
        counts = [int(near(bits[chosen], limits).sum()) for limits in THRESHOLDS]
        total = int(chosen.sum())
        rows.append([f"{name}, {total:,} pairs", *(f"{count / total * 1e6:,.0f} ({count})" for count in counts)])
    return table(HEAD, rows)


def near(bits: NDArray[np.uint8], limits: tuple[int, int]) -> NDArray[np.bool_]:
    return (bits[:, 0] <= limits[0]) & (bits[:, 1] <= limits[1])


def compared(pictures: list[Measured]) -> NDArray[np.bool_]:
    return np.array([is_comparable(picture._asdict()) for picture in pictures])


def pairs(pictures: list[Measured]) -> NDArray[np.uint64]:
    return np.array([picture[:2] for picture in pictures], np.int64).view(np.uint64)


def main() -> None:
    photos, parts = measure(whole()), measure(tiles())
    flat = len(parts.originals) - int(compared(parts.originals).sum())
    publish(
        "near-duplicates",
        "\n\n".join(
            [
                machine("numpy", "Pillow"),
                f"Found again, % of the {len(photos.originals)} photos of the sample feed:",
                recall(photos),
                f"Found again, % of {len(parts.originals) - flat} tiles that are not flat; {flat} more are:",
                recall(parts),
                "Tiles wrongly taken for one another, per million pairs (and how many were):",
                precision(parts),
            ]
        ),
        ROOT / "docs" / "near-duplicates.md",
    )


if __name__ == "__main__":
    main()
