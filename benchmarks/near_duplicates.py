"""Measure near duplicates: how often a changed image is found, how often different images are confused, and the time.

    .venv/bin/python benchmarks/near_duplicates.py

The images are whole photos, tiles of large photos, and drawn images. Tiles do not overlap, so no two of them show the
same thing. Tiles of one photo (sky, leaves, wall) look alike, so their pairs are counted separately. Tables go into
``docs/near-duplicates.md``.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from statistics import median
from typing import NamedTuple

# As in Transform; NumPy reads it when it is imported.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from bench import ROOT, machine, publish, table
from corpus import corpus
from drawn import drawn
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

sys.path.insert(0, str(ROOT / "functions"))
from imagelake.imaging import process
from imagelake.imaging.hashes import fingerprints
from imagelake.imaging.views import view_hashes
from imagelake.lake.hash_log import HASHES, Hashes
from imagelake.lake.rows import DuplicateKind
from transform.comparisons import compare, hashes_of
from transform.near_duplicates import find, is_comparable

ACROSS, DOWN = 6, 5
KINDS = [kind for kind in DuplicateKind if kind is not DuplicateKind.BYTES]


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


def cropped_on(side: int, share: float) -> Callable[[Image.Image], bytes]:
    """Cut ``share`` off the left, the top, the right or the bottom."""

    def crop(image: Image.Image) -> bytes:
        x, y = round(image.width * share), round(image.height * share)
        full, cut = (0, 0, image.width, image.height), (x, y, image.width - x, image.height - y)
        left, top, right, bottom = (cut[n] if n == side else full[n] for n in range(4))
        return saved(image.crop((left, top, right, bottom)))

    return crop


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
    "cropped by 10 % a side": lambda image: saved(cropped(image, 0.1)),
    "cropped by 10 % on the left": cropped_on(0, 0.1),
    "cropped by 10 % on the top": cropped_on(1, 0.1),
    "cropped by 10 % on the right": cropped_on(2, 0.1),
    "cropped by 10 % on the bottom": cropped_on(3, 0.1),
    "cropped to a square": lambda image: saved(ImageOps.fit(image, (min(image.size),) * 2)),
    "a white frame, 3 % a side": lambda image: saved(ImageOps.expand(image, round(0.03 * min(image.size)), "white")),
    "mirrored": lambda image: saved(ImageOps.mirror(image)),
    "turned by 90 degrees": lambda image: saved(image.transpose(Image.Transpose.ROTATE_90)),
}


class Measured(NamedTuple):
    """Hashes of images, one row for each, and whether they are compared at all."""

    hashes: Hashes
    comparable: NDArray[np.bool_]


def measure(files: Iterable[bytes]) -> Measured:
    results = [vars(process(data)) for data in files]
    return Measured(hashes_of(results), np.array([is_comparable(result) for result in results]))


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


def recall(images: list[Image.Image]) -> str:
    """Tabulate for each change the share of comparable images that are found again, by any comparison and by each."""
    originals = measure(map(saved, images))
    rows = []
    for name, change in VARIANTS.items():
        changed = measure(map(change, images)).hashes
        found: dict[DuplicateKind, set[int]] = {kind: set() for kind in KINDS}
        for image, match in compare(changed, originals.hashes[:, :HASHES]):
            if image == match.original and originals.comparable[image]:
                found[match.kind].add(image)
        counts = [len(set().union(*found.values())), *map(len, found.values())]
        rows.append([name, *(f"{100 * count / originals.comparable.sum():.1f}" for count in counts)])
    return table(["change", "any", *KINDS], rows)


def mistakes(groups: dict[str, tuple[Measured, NDArray[np.intp]]]) -> str:
    """Tabulate how many pairs of different images are taken for near duplicates, by any comparison and by each.

    The images of a group have numbers. Pairs with one number and pairs with two are counted separately, if both exist.
    """
    rows: list[list[str]] = []
    for name, (images, numbers) in groups.items():
        hashes, numbers = images.hashes[images.comparable], numbers[images.comparable]
        same = numbers[:, None] == numbers
        wrong: dict[DuplicateKind, set[tuple[int, int]]] = {kind: set() for kind in KINDS}
        for image, match in compare(hashes, hashes[:, :HASHES]):
            if image != match.original:
                wrong[match.kind].add((min(image, match.original), max(image, match.original)))
        for title, value in ((f"{name}, two photos", False), (f"{name}, one photo", True)):
            total = int(np.triu(same == value, 1).sum())
            if total:
                pairs = [{pair for pair in found if same[pair] == value} for found in wrong.values()]
                counts = [len(set().union(*pairs)), *map(len, pairs)]
                rows.append([f"{title}, {total:,} pairs", *map(str, counts)])
    return table(["different images", "any", *KINDS], rows)


def times(photo: Image.Image) -> str:
    """Tabulate the time per image: to compute all hashes, and to compare a batch of 500 with so many originals."""
    luma = photo.convert("L")
    luma.thumbnail((512, 512))
    small = luma.reduce(8)
    rows = [
        ["phash and dhash, also of the mirror image", milliseconds(lambda: fingerprints(small), 200)],
        ["hashes of the 26 views", milliseconds(lambda: view_hashes(luma), 200)],
    ]
    random = np.random.default_rng(1)
    batch = random.integers(0, 1 << 64, (500, HASHES + 16), np.uint64)
    for count in (10_000, 100_000, 1_000_000):
        originals = random.integers(0, 1 << 64, (count, HASHES), np.uint64)
        taken = milliseconds(partial(find, batch, originals), 3, 500)
        rows.append([f"comparison with {count:,} originals", taken])
    return table(["step", "ms per image"], rows)


def milliseconds(call: Callable[[], object], rounds: int, images: int = 1) -> str:
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return f"{1000 * median(taken) / images:.2f}"


def main() -> None:
    photos = [photo for _, photo in whole_photos()]
    numbers, parts = zip(*tiles(), strict=True)
    measured_parts = measure(map(saved, parts))
    flat = len(parts) - int(measured_parts.comparable.sum())
    drawings = measure(saved(image) for _, image in drawn(list(parts)))
    groups = {
        "tiles": (measured_parts, np.array(numbers)),
        "screenshots, charts and memes": (drawings, np.arange(len(drawings.comparable))),
    }
    publish(
        "near-duplicates",
        "\n\n".join(
            [
                machine("numpy", "Pillow"),
                f"Found again, % of the {len(photos)} photos of the sample feeds:",
                recall(photos),
                f"Found again, % of {len(parts) - flat} tiles that are not flat; {flat} more are:",
                recall(list(parts)),
                "Pairs of different images that were taken for near duplicates:",
                mistakes(groups),
                "Time:",
                times(photos[3]),
            ]
        ),
        ROOT / "docs" / "near-duplicates.md",
    )


if __name__ == "__main__":
    main()
