"""Measure how often a changed image is found again, and how often two different images are taken for near duplicates.

    .venv/bin/python benchmarks/near_duplicates.py

The images are tiles of large photos. Tiles do not overlap, so no two of them show the same thing. Tiles of one photo
(sky, leaves, wall) look alike, so their pairs are counted separately. Tables go into ``docs/near-duplicates.md``.
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
# How many bits of phash and of dhash may differ; 64 means no limit.
THRESHOLDS = ((4, 8), (6, 10), (8, 12), (8, 64), (10, 14), (12, 16), (16, 20), (20, 24))
HEAD = ["phash, dhash", *(f"{phash}, {dhash if dhash < 64 else 'any'}" for phash, dhash in THRESHOLDS)]


def saved(image: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Cut ``share`` off each side."""
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
    """Values of one image that decide if it is a near duplicate, and the number of its photo."""

    phash: int
    dhash: int
    contrast: float
    is_low_information: bool
    photo: int


class Measurements(NamedTuple):
    """The originals, and each kind of variant in the same order."""

    originals: list[Measured]
    variants: dict[str, list[Measured]]


def measure_all(images: Iterable[tuple[int, Image.Image]]) -> Measurements:
    measurements = Measurements([], {kind: [] for kind in VARIANTS})
    for photo, image in images:
        measurements.originals.append(measure(saved(image), photo))
        for kind, change in VARIANTS.items():
            measurements.variants[kind].append(measure(change(image), photo))
    return measurements


def measure(data: bytes, photo: int) -> Measured:
    result = process(data)
    return Measured(result.phash, result.dhash, result.contrast, result.is_low_information, photo)


def tiles() -> Iterator[tuple[int, Image.Image]]:
    for number, path in enumerate(corpus("12mp")):
        with Image.open(path) as photo:
            photo.load()
        wide, high = photo.width // ACROSS, photo.height // DOWN
        for x, y in product(range(ACROSS), range(DOWN)):
            yield number, photo.crop((x * wide, y * high, (x + 1) * wide, (y + 1) * high))


def whole_photos() -> Iterator[tuple[int, Image.Image]]:
    for number, path in enumerate(sorted((ROOT / "samples" / "photos").iterdir())):
        with Image.open(path) as photo:
            yield number, photo.convert("RGB")


def recall(measurements: Measurements) -> str:
    """Tabulate for each change the share of comparable images that are found again."""
    comparable = are_comparable(measurements.originals)
    originals = hash_pairs(measurements.originals)
    rows = []
    for kind, changed in measurements.variants.items():
        bits = np.bitwise_count(originals ^ hash_pairs(changed))[comparable]
        rows.append([kind, *(f"{100 * are_near(bits, limits).mean():.1f}" for limits in THRESHOLDS)])
    return table(HEAD, rows)


def precision(measurements: Measurements) -> str:
    """Tabulate how many of a million pairs of different images are taken for near duplicates."""
    comparable = are_comparable(measurements.originals)
    photo = np.array([image.photo for image in measurements.originals])
    originals = hash_pairs(measurements.originals)
    first, second = np.triu_indices(len(originals), 1)
    bits = np.bitwise_count(originals[first] ^ originals[second])
    both, same_photo = comparable[first] & comparable[second], photo[first] == photo[second]
    groups = {"two photos": both & ~same_photo, "one photo": both & same_photo, "one or both flat": ~both}
    rows = []
    for name, group in groups.items():
        counts = [int(are_near(bits[group], limits).sum()) for limits in THRESHOLDS]
        total = int(group.sum())
        rows.append([f"{name}, {total:,} pairs", *(f"{count / total * 1e6:,.0f} ({count})" for count in counts)])
    return table(HEAD, rows)


def are_near(bits: NDArray[np.uint8], limits: tuple[int, int]) -> NDArray[np.bool_]:
    return (bits[:, 0] <= limits[0]) & (bits[:, 1] <= limits[1])


def are_comparable(images: list[Measured]) -> NDArray[np.bool_]:
    return np.array([is_comparable(image._asdict()) for image in images])


def hash_pairs(images: list[Measured]) -> NDArray[np.uint64]:
    return np.array([(image.phash, image.dhash) for image in images], np.int64).view(np.uint64)


def main() -> None:
    photos, parts = measure_all(whole_photos()), measure_all(tiles())
    flat = len(parts.originals) - int(are_comparable(parts.originals).sum())
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
