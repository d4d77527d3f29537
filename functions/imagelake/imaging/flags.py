"""Flag pictures that are of little use to learn from, by the checks of CleanVision 0.3.6 and its default thresholds.

https://github.com/cleanlab/cleanvision. Where it looks at every pixel, this looks at a thumbnail of at most 64 pixels
a side, the size at which CleanVision itself tells blur.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_LEVELS = np.arange(256)
_SQUARES = _LEVELS**2
_WEIGHTS = np.array([241, 691, 68], np.int32)


@dataclass(frozen=True)
class Flags:
    """What may be wrong with a picture. Sides are the original's, all else is of the processed picture.

    The brightness of a pixel is the root of 0.241 R^2 + 0.691 G^2 + 0.068 B^2, 0 to 1.

    ``is_dark``              the brightest hundredth of the pixels begins below 0.32
    ``is_light``             the darkest twentieth of the pixels ends above 0.95
    ``is_blurry``            1 - exp(-d/100) is below 0.29, where d is the standard deviation of the picture's edges
                             (the kernel -1 -1 -1, -1 8 -1, -1 -1 -1 on luma, 0 to 255). Added is 1 - exp(-h/100),
                             if above 0.18, where h is the standard deviation of the counts in the luma histogram:
                             drawings on a plain ground have few edges and are not blurry
    ``is_low_information``   the Shannon entropy of the values of all channels together is below 3 bits
    ``is_odd_aspect_ratio``  the shorter side is less than 0.35 of the longer
    ``is_odd_size``          the root of the area is below 256 or above 4096 pixels. CleanVision compares with the
                             other pictures of a set, which one picture alone cannot; this is a factor of four around
                             the 1024 pixels that networks serve
    ``is_grayscale``         R, G and B are equal in every pixel of the sample that colour is told from
    """

    is_dark: bool
    is_light: bool
    is_blurry: bool
    is_low_information: bool
    is_odd_aspect_ratio: bool
    is_odd_size: bool
    is_grayscale: bool


def flags(
    thumbnail: Image.Image,
    planes: NDArray[np.uint8],
    luma: Image.Image,
    is_grayscale: bool,
    width: int,
    height: int,
) -> Flags:
    """The flags of a thumbnail, at most 64 pixels a side, of an original of ``width``, ``height``.

    It is given in RGB, as R, G and B (3, height, width), and in L.
    """
    darkest_twentieth, brightest_hundredth = _percentiles(planes, 5, 99)
    entropy = (luma if is_grayscale else thumbnail).entropy()
    return Flags(
        is_dark=brightest_hundredth < 0.32,
        is_light=darkest_twentieth > 0.95,
        is_blurry=_blur_score(luma) < 0.29,
        is_low_information=entropy < 3,
        is_odd_aspect_ratio=min(width, height) < 0.35 * max(width, height),
        is_odd_size=not 256 <= math.sqrt(width * height) <= 4096,
        is_grayscale=is_grayscale,
    )


def _percentiles(planes: NDArray[np.uint8], low: int, high: int) -> tuple[float, float]:
    """Two percentiles of brightness; squares in integers order the pixels as their roots would."""
    squares = _WEIGHTS @ planes.reshape(3, -1).astype(np.int32) ** 2
    places = [(len(squares) - 1) * percent // 100 for percent in (low, high)]
    below, above = np.partition(squares, places)[places].tolist()
    return math.sqrt(below / 1000) / 255, math.sqrt(above / 1000) / 255


def _blur_score(luma: Image.Image) -> float:
    counts = np.array(luma.histogram())
    _, edges = mean_and_variance(np.array(luma.filter(ImageFilter.FIND_EDGES).histogram()))
    mean = int(counts.sum()) / len(counts)
    plainness = 1 - math.exp(-math.sqrt(max(0.0, int(counts @ counts) / len(counts) - mean**2)) / 100)
    return 1 - math.exp(-math.sqrt(edges) / 100) + (plainness if plainness > 0.18 else 0)


def mean_and_variance(histogram: NDArray[np.int64]) -> tuple[float, float]:
    """Of values 0 to 255, from how often each occurs."""
    count = int(histogram.sum())
    mean = int(histogram @ _LEVELS) / count
    return mean, max(0.0, int(histogram @ _SQUARES) / count - mean**2)
