"""Time the way from a file's bytes to a small JPEG: Imagelake's imaging, OpenCV as img2dataset uses it, and Pillow.

    .venv/bin/python benchmarks/pixels.py [rounds]

The contestants take turns, image by image, on one core; a round is a whole set of images. Two tables are written into
``docs/benchmarks.md``: milliseconds per image, and how close the result is to a full decode resized by Lanczos.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median

import numpy as np
from bench import TRANSFORM_ENVIRONMENT, environment, machine, pin, publish, ratios, spread, table
from corpus import SETS, corpus
from PIL import Image

PACKAGES = ("numpy", "Pillow", "cykooz.resizer", "deflate", "pyspng", "opencv-python-headless", "simplejpeg")
OPENCV, OURS, OURS_WITHOUT_FEATURES, FLOOR = (
    "OpenCV, INTER_AREA", "Imagelake, balanced", "Imagelake, no features", "floor"
)  # fmt: skip
Encoder = Callable[[bytes, int], bytes]
# Milliseconds per image, the mean of each round, by contestant.
Times = dict[str, list[float]]


def time_all(files: list[bytes], contestants: dict[str, Encoder], rounds: int) -> Times:
    times: Times = defaultdict(list)
    for number in range(rounds + 1):
        spent = dict.fromkeys(contestants, 0.0)
        for data in files:
            for name, run in contestants.items():
                start = time.perf_counter()
                run(data, 85)
                spent[name] += time.perf_counter() - start
        # The first round only fills caches.
        if number:
            for name, seconds in spent.items():
                times[name].append(1000 * seconds / len(files))
    return times


def time_features_alone(files: list[bytes], rounds: int) -> list[float]:
    """Measure the features and flags of one image after the other; milliseconds per image, the mean of each round."""
    from imagelake.imaging import Options
    from imagelake.imaging.decode import decode
    from imagelake.imaging.features import measure

    images = [decode(data, Options(image_size=512)) for data in files]
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        for image in images:
            measure(image.image, (image.original_width, image.original_height))
        times.append(1000 * (time.perf_counter() - start) / len(images))
    return times[1:]


def measure_fidelity(files: list[bytes], contestants: dict[str, Encoder]) -> dict[str, float]:
    """Compute the mean PSNR in dB of JPEGs with quality 95 against a full decode resized by Lanczos."""
    decibels: dict[str, list[float]] = defaultdict(list)
    for data in files:
        for name, run in contestants.items():
            with Image.open(io.BytesIO(run(data, 95))) as image:
                result = np.asarray(image.convert("RGB")).astype(float)
            with Image.open(io.BytesIO(data)) as image:
                size = result.shape[1], result.shape[0]
                reference = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS)).astype(float)
            decibels[name].append(10 * np.log10(255**2 / np.mean((result - reference) ** 2)))
    return {name: mean(values) for name, values in decibels.items()}


def speed_table(times: dict[str, Times], names: list[str]) -> str:
    social = times["social"]
    return table(
        ["ms per image, median of rounds", *SETS, "OpenCV's time / its time, social"],
        [
            [
                name,
                *(f"{median(times[images][name]):.1f}" if name in times[images] else "" for images in SETS),
                spread(ratios(social[OPENCV], social[name])),
            ]
            for name in names
        ],
    )


def main(rounds: int) -> None:
    from contestants import CONTESTANTS

    pin(max(0, (os.cpu_count() or 1) - 1))
    without_floor = {name: run for name, run in CONTESTANTS.items() if name != FLOOR}
    files = {images: [path.read_bytes() for path in corpus(images)] for images in SETS}
    times = {
        # The floor decodes JPEGs only.
        images: time_all(
            files[images],
            without_floor if images == "mixed" else CONTESTANTS,
            max(3, rounds // 4) if images == "12mp" else rounds,
        )
        for images in SETS
    }
    fidelity = {
        images: measure_fidelity(files[images][:20], without_floor) for images in ("social", "12mp", "progressive")
    }
    social = times["social"]
    alone = time_features_alone(files["social"], 3 * rounds)
    among_others = [full - without for full, without in zip(social[OURS], social[OURS_WITHOUT_FEATURES], strict=True)]
    publish(
        "pixels",
        "\n\n".join(
            [
                machine(*PACKAGES),
                speed_table(times, list(CONTESTANTS)),
                table(
                    ["dB to a full decode by Lanczos", *fidelity],
                    [[name, *(f"{fidelity[images][name]:.1f}" for images in fidelity)] for name in without_floor],
                ),
                f"Without features, {spread(ratios(social[OURS_WITHOUT_FEATURES], social[FLOOR]))} times the floor. "
                f"All features and flags of a social image: {spread(alone)} ms alone, {spread(among_others)} ms among "
                "the other work, where caches are cold.",
            ]
        ),
    )


if __name__ == "__main__":
    if "--inside" in sys.argv:
        main(int(sys.argv[-1]))
    else:
        python = environment("pixels", *PACKAGES)
        # A new process, because the C library reads these variables only at its start.
        os.execve(
            python,
            [str(python), str(Path(__file__).resolve()), "--inside", *(sys.argv[1:] or ["8"])],
            os.environ | TRANSFORM_ENVIRONMENT,
        )
