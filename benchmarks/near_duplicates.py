"""How often a changed picture is found again, and how often two pictures are wrongly taken for one.

    .venv/bin/python benchmarks/near_duplicates.py

The pictures are tiles of large photos that do not overlap, so that no two show the same thing. Tiles of one photo (sky,
leaves, wall) look alike, so their pairs are counted apart. Writes its tables into ``docs/near-duplicates.md``.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from itertools import product

import numpy as np
from bench import ROOT, machine, publish, table
from corpus import corpus
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

sys.path.insert(0, str(ROOT / "functions"))
from imaging import process
from transform.near_duplicates import DHASH_BITS, PHASH_BITS

ACROSS, DOWN = 6, 5
# Differing bits allowed of phash and of dhash; 64 is no limit.
THRESHOLDS = ((4, 64), (8, 64), (10, 64), (4, 8), (6, 10), (8, 12), (10, 14), (12, 16))
Pairs = NDArray[np.uint64]


def saved(image: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return buffer.getvalue()


def scaled(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without ``share`` of each side."""
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
    "grey": lambda image: saved(ImageOps.grayscale(image)),
    "brighter by 20 %": lambda image: saved(ImageEnhance.Brightness(image).enhance(1.2)),
    "blurred, radius 2": lambda image: saved(image.filter(ImageFilter.GaussianBlur(2))),
    "a line of text": lambda image: saved(with_text(image)),
    "a white box, 3 % of the area": lambda image: saved(with_box(image)),
    "cropped by 1 % a side": lambda image: saved(cropped(image, 0.01)),
    "cropped by 2 % a side": lambda image: saved(cropped(image, 0.02)),
    "cropped by 5 % a side": lambda image: saved(cropped(image, 0.05)),
    "mirrored": lambda image: saved(ImageOps.mirror(image)),
}


def hashes(data: bytes) -> tuple[int, int, bool]:
    made = process(data)
    return made.phash, made.dhash, made.is_low_information


def near(bits: tuple[NDArray[np.uint8], NDArray[np.uint8]], limits: tuple[int, int]) -> NDArray[np.bool_]:
    return (bits[0] <= limits[0]) & (bits[1] <= limits[1])


def main() -> None:
    found: list[tuple[int, int, bool]] = []
    photos: list[int] = []
    variants: dict[str, list[tuple[int, int, bool]]] = {kind: [] for kind in VARIANTS}
    for number, path in enumerate(corpus("12mp")):
        with Image.open(path) as photo:
            photo.load()
        wide, high = photo.width // ACROSS, photo.height // DOWN
        for x, y in product(range(ACROSS), range(DOWN)):
            tile = photo.crop((x * wide, y * high, (x + 1) * wide, (y + 1) * high))
            photos.append(number)
            found.append(hashes(saved(tile)))
            for kind, change in VARIANTS.items():
                variants[kind].append(hashes(change(tile)))

    flat = np.array([low for *_, low in found])
    originals = pairs(found)
    one, other = np.triu_indices(len(found), 1)
    bits = np.bitwise_count(originals[one] ^ originals[other])
    alike = np.array(photos)[one] == np.array(photos)[other]
    either_flat = flat[one] | flat[other]
    kinds = {
        "two photos": ~alike & ~either_flat,
        "one photo": alike & ~either_flat,
        "one of them flat": either_flat,
    }
    head = ["phash, dhash", *(f"{phash}, {dhash if dhash < 64 else 'any'}" for phash, dhash in THRESHOLDS)]
    wrong = []
    for name, chosen in kinds.items():
        counts = [int((near((bits[:, 0], bits[:, 1]), limits) & chosen).sum()) for limits in THRESHOLDS]
        total = int(chosen.sum())
        wrong.append([f"{name}, {total:,} pairs", *(f"{count / total * 1e6:,.0f} ({count})" for count in counts)])
    recall = []
    for kind, measured in variants.items():
        changed = np.bitwise_count(originals ^ pairs(measured))[~flat]
        shares = [near((changed[:, 0], changed[:, 1]), limits).mean() for limits in THRESHOLDS]
        recall.append([kind, *(f"{100 * share:.1f}" for share in shares)])
    publish(
        "near-duplicates",
        "\n\n".join(
            [
                machine("numpy", "Pillow"),
                f"{len(found)} tiles of {max(photos) + 1} photos, {int(flat.sum())} flat (`is_low_information`). "
                f"In use: phash {PHASH_BITS}, dhash {DHASH_BITS}.",
                "Found again, % of the tiles that are not flat:",
                table(head, recall),
                "Wrongly taken for one, per million pairs (and how many were):",
                table(head, wrong),
            ]
        ),
        ROOT / "docs" / "near-duplicates.md",
    )


def pairs(measured: list[tuple[int, int, bool]]) -> Pairs:
    return np.array([(phash, dhash) for phash, dhash, _ in measured], np.int64).view(np.uint64)


if __name__ == "__main__":
    main()
