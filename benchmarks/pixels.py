"""Bytes to pixels and back: Imagelake's imaging against OpenCV as img2dataset uses it, Pillow, and the floor.

    .venv/bin/python benchmarks/pixels.py [rounds]

Each picture goes through every contestant in turn, on one core; a round is the whole set. Writes two tables into
``docs/benchmarks.md``: milliseconds a picture, and how close the result is to a full decode resized by Lanczos.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from types import ModuleType
from unittest.mock import patch

from bench import ROOT, TRANSFORM_ENVIRONMENT, environment, machine, pin, publish, ratios, spread, table
from corpus import SETS, corpus

PACKAGES = ("numpy", "Pillow", "cykooz.resizer", "deflate", "pyspng", "opencv-python-headless", "simplejpeg")
SIZE = 512
Encoder = Callable[[bytes, int], bytes]


def contestants() -> dict[str, Encoder]:
    """Each takes a file and a quality, and gives a JPEG whose longer side is 512 pixels."""
    import cv2
    import numpy as np
    import simplejpeg
    from PIL import Image

    sys.path.insert(0, str(ROOT / "functions"))
    from imagelake.imaging import Options, decode, encode, png, process, resize, webp
    from imagelake.imaging.options import Preset

    cv2.setNumThreads(1)

    def everything(preset: Preset) -> Encoder:
        return lambda data, quality: (
            process(data, Options(image_size=SIZE, preset=preset, encode_quality=quality)).image
        )

    def without_features(data: bytes, quality: int) -> bytes:
        return encode.encode(decode.decode(data, Options(image_size=SIZE)).image, quality)

    def without(*libraries: tuple[ModuleType, str]) -> Encoder:
        """As where these, each a module of ours and its name for a library, are not installed."""

        def run(data: bytes, quality: int) -> bytes:
            with ExitStack() as gone:
                for library in libraries:
                    gone.enter_context(patch.object(*library, None))
                return process(data, Options(image_size=SIZE, encode_quality=quality)).image

        return run

    def opencv(data: bytes, quality: int) -> bytes:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        height, width = pixels.shape[:2]
        scale = SIZE / max(height, width)
        small = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        encoded: bytes = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        return encoded

    def pillow(data: bytes, quality: int) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            image.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "JPEG", quality=quality)
        return buffer.getvalue()

    def floor(data: bytes, quality: int) -> bytes:
        """No resize: the decode at a power of two and the encode of as many pixels as asked, by libjpeg-turbo."""
        height, width = simplejpeg.decode_jpeg_header(data)[:2]
        scale = next(scale for scale in (8, 4, 2, 1) if max(height, width) >= SIZE * scale)
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_width=-(-width // scale), min_height=-(-height // scale))
        small = SIZE / max(height, width)
        kept = np.ascontiguousarray(pixels[: round(height * small), : round(width * small)])
        encoded: bytes = simplejpeg.encode_jpeg(kept, quality, "RGB", "420")
        return encoded

    return {
        "OpenCV, INTER_AREA": opencv,
        "Pillow, thumbnail": pillow,
        "Imagelake, balanced": everything("balanced"),
        "Imagelake, fast": everything("fast"),
        "Imagelake, quality": everything("quality"),
        "Imagelake, no features": without_features,
        "Imagelake, Pillow's resize": without((resize, "simd")),
        "Imagelake, Pillow's decoders": without((png, "pyspng"), (webp, "_decode")),
        "floor": floor,
    }


def times(files: list[bytes], runners: dict[str, Encoder], rounds: int) -> dict[str, list[float]]:
    """Milliseconds a picture, the mean of each round."""
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        spent = dict.fromkeys(runners, 0.0)
        for data in files:
            for name, run in runners.items():
                begun = time.perf_counter()
                run(data, 85)
                spent[name] += time.perf_counter() - begun
        # The first round fills caches.
        if number:
            for name, seconds in spent.items():
                found[name].append(1000 * seconds / len(files))
    return found


def features_alone(files: list[bytes], rounds: int) -> list[float]:
    """Milliseconds a picture for all features and flags, one picture after the other; the mean of each round."""
    from imagelake.imaging import Options
    from imagelake.imaging.decode import decode
    from imagelake.imaging.features import measure

    decoded = [decode(data, Options(image_size=SIZE)) for data in files]
    found = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        for picture in decoded:
            measure(picture.image, (picture.original_width, picture.original_height))
        found.append(1000 * (time.perf_counter() - begun) / len(decoded))
    return found[1:]


def fidelity(files: list[bytes], runners: dict[str, Encoder]) -> dict[str, float]:
    """Mean PSNR in dB of the JPEG written at quality 95 against a full decode resized by Lanczos."""
    import numpy as np
    from PIL import Image

    found: dict[str, list[float]] = defaultdict(list)
    for data in files:
        for name, run in runners.items():
            with Image.open(io.BytesIO(run(data, 95))) as image:
                result = np.asarray(image.convert("RGB")).astype(float)
            with Image.open(io.BytesIO(data)) as image:
                size = result.shape[1], result.shape[0]
                wanted = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS)).astype(float)
            found[name].append(10 * np.log10(255**2 / np.mean((result - wanted) ** 2)))
    return {name: mean(values) for name, values in found.items()}


def main(rounds: int) -> None:
    pin(max(0, (os.cpu_count() or 1) - 1))
    every = contestants()
    pictures = {name: [path.read_bytes() for path in corpus(name)] for name in SETS}
    measured = {}
    for name, files in pictures.items():
        runners = {label: run for label, run in every.items() if label != "floor" or name != "mixed"}
        measured[name] = times(files, runners, max(3, rounds // 4) if name == "12mp" else rounds)
    opencv, ours = "OpenCV, INTER_AREA", "Imagelake, balanced"
    speed = [
        [
            label,
            *(f"{median(measured[name][label]):.1f}" if label in measured[name] else "" for name in SETS),
            spread(ratios(measured["social"][opencv], measured["social"][label])),
        ]
        for label in every
    ]
    close = {
        name: fidelity(pictures[name][:20], {label: run for label, run in every.items() if label != "floor"})
        for name in ("social", "12mp", "progressive")
    }
    likeness = [[label, *(f"{close[name][label]:.1f}" for name in close)] for label in close["social"]]
    floor = ratios(measured["social"]["Imagelake, no features"], measured["social"]["floor"])
    alone = features_alone(pictures["social"], 3 * rounds)
    amid = [
        one - other
        for one, other in zip(measured["social"][ours], measured["social"]["Imagelake, no features"], strict=True)
    ]
    publish(
        "pixels",
        "\n\n".join(
            [
                machine(*PACKAGES),
                table(["ms per image, median of rounds", *SETS, "OpenCV's time / its time, social"], speed),
                table(["dB to a full decode by Lanczos", *close], likeness),
                f"Without features, {spread(floor)} times the floor. All features and flags of a social "
                f"image: {spread(alone)} ms alone, {spread(amid)} ms among the other work, where caches are cold.",
            ]
        ),
    )


if __name__ == "__main__":
    if "--inside" in sys.argv:
        main(int(sys.argv[-1]))
    else:
        python = environment("pixels", *PACKAGES)
        # The environment has to be there when the process starts: the C library reads it first.
        os.execve(
            python,
            [str(python), str(Path(__file__).resolve()), "--inside", *(sys.argv[1:] or ["8"])],
            os.environ | TRANSFORM_ENVIRONMENT,
        )
