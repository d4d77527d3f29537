"""The contestants of ``pixels.py``: each makes a JPEG whose longer side has 512 pixels from a file and a JPEG quality.

This module needs the packages of the environment that ``pixels.py`` creates.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import ModuleType
from unittest.mock import patch

import cv2
import numpy as np
import simplejpeg
from bench import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT / "functions"))

from imagelake.imaging import Options, png, process, resize, webp
from imagelake.imaging.decode import decode
from imagelake.imaging.encode import encode_jpeg
from imagelake.run.image_options import Preset

SIZE = 512
Encoder = Callable[[bytes, int], bytes]

cv2.setNumThreads(1)


def opencv(data: bytes, quality: int) -> bytes:
    """Do what img2dataset does: a full decode, resized with INTER_AREA."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    height, width = pixels.shape[:2]
    scale = SIZE / max(height, width)
    small = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    encoded: bytes = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return encoded


def pillow(data: bytes, quality: int) -> bytes:
    """Make a thumbnail as Pillow's documentation shows it."""
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((SIZE, SIZE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def imagelake(preset: Preset) -> Encoder:
    """Do everything that Imagelake does, with this preset."""
    return lambda data, quality: process(data, Options(image_size=SIZE, preset=preset, encode_quality=quality)).image


def imagelake_without_features(data: bytes, quality: int) -> bytes:
    """Do everything except the features."""
    return encode_jpeg(decode(data, Options(image_size=SIZE)).image, quality)


def imagelake_without(*libraries: tuple[ModuleType, str]) -> Encoder:
    """Do everything as if these were not installed: each is one of our modules and its name for a library."""

    def run(data: bytes, quality: int) -> bytes:
        with ExitStack() as patches:
            for library in libraries:
                patches.enter_context(patch.object(*library, None))
            return process(data, Options(image_size=SIZE, encode_quality=quality)).image

    return run


def floor(data: bytes, quality: int) -> bytes:
    """Do the least that any resize needs, without a resize.

    libjpeg-turbo decodes at a power of two, and encodes as many pixels as the result has.
    """
    height, width = simplejpeg.decode_jpeg_header(data)[:2]
    divisor = next(divisor for divisor in (8, 4, 2, 1) if max(height, width) >= SIZE * divisor)
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_width=-(-width // divisor), min_height=-(-height // divisor))
    scale = SIZE / max(height, width)
    part = np.ascontiguousarray(pixels[: round(height * scale), : round(width * scale)])
    encoded: bytes = simplejpeg.encode_jpeg(part, quality, "RGB", "420")
    return encoded


CONTESTANTS: dict[str, Encoder] = {
    "OpenCV, INTER_AREA": opencv,
    "Pillow, thumbnail": pillow,
    "Imagelake, balanced": imagelake("balanced"),
    "Imagelake, fast": imagelake("fast"),
    "Imagelake, quality": imagelake("quality"),
    "Imagelake, no features": imagelake_without_features,
    "Imagelake, Pillow's resize": imagelake_without((resize, "simd")),
    "Imagelake, Pillow's decoders": imagelake_without((png, "pyspng"), (webp, "_decode")),
    "floor": floor,
}
