"""Flag images that are of little use for training, with the checks of CleanVision 0.3.6 and its default thresholds.

https://github.com/cleanlab/cleanvision. CleanVision looks at every pixel. Here, a thumbnail of at most 64 pixels per
side is enough; CleanVision itself detects blur at that size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

_LEVELS = np.arange(256)
_SQUARES = _LEVELS**2
# Weights of R, G and B in the square of brightness, in thousandths.
_WEIGHTS = np.array([241, 691, 68], np.int32)


@dataclass(frozen=True)
class Flags:
    """Possible problems of an image. Sides are those of the original; all else is about the processed image.

    The brightness of a pixel is the root of 0.241 R^2 + 0.691 G^2 + 0.068 B^2, from 0 to 1.

    ``is_dark``              the 99th percentile of brightness is below 0.32
    ``is_light``             the 5th percentile of brightness is above 0.95
    ``is_blurry``            1 - exp(-d/100) is below 0.29, where d is the standard deviation of the image's edges (the
                             kernel -1 -1 -1, -1 8 -1, -1 -1 -1 on luma, 0 to 255). If 1 - exp(-h/100) is above 0.18,
                             it is added, where h is the standard deviation of the counts in the luma histogram:
                             drawings on a plain background have few edges and are not blurry
    ``is_low_information``   the Shannon entropy of the values of all channels together is below 3 bits
    ``is_odd_aspect_ratio``  the shorter side is less than 0.35 of the longer side
    ``is_odd_size``          the root of the area is below 256 or above 4096 pixels, a factor of four around the 1024
                             pixels that networks serve. CleanVision compares with the other images of a data set,
                             which is not possible for one image alone
    ``is_grayscale``         R, G and B are equal in every pixel of the sample that color is measured from
    """

    is_dark: bool
    is_light: bool
    is_blurry: bool
    is_low_information: bool
    is_odd_aspect_ratio: bool
    is_odd_size: bool
    is_grayscale: bool


def find_flags(
    thumbnail: Image.Image,
    channels: NDArray[np.uint8],
    luma: Image.Image,
    is_grayscale: bool,
    original_size: tuple[int, int],
) -> Flags:
    """Find the flags of an image from its thumbnail of at most 64 pixels per side.

    The thumbnail comes in three forms: in mode RGB, as an array of R, G and B (3, height, width), and in mode L.
    """
    width, height = original_size
    fifth_percentile, ninety_ninth_percentile = _brightness_percentiles(channels, 5, 99)
    entropy = (luma if is_grayscale else thumbnail).entropy()
    return Flags(
        is_dark=ninety_ninth_percentile < 0.32,
        is_light=fifth_percentile > 0.95,
        is_blurry=_blur_score(luma) < 0.29,
        is_low_information=entropy < 3,
        is_odd_aspect_ratio=min(width, height) < 0.35 * max(width, height),
        is_odd_size=not 256 <= math.sqrt(width * height) <= 4096,
        is_grayscale=is_grayscale,
    )


def _brightness_percentiles(channels: NDArray[np.uint8], low: int, high: int) -> tuple[float, float]:
    """Compute two percentiles of brightness.

    Integer squares of brightness sort the pixels as their roots would. So only two roots are taken, and no full sort is
    needed: ``partition`` puts these two values where a sort would put them. ``benchmarks/pixels.py`` times all flags
    and features.
    """
    squares = _WEIGHTS @ channels.reshape(3, -1).astype(np.int32) ** 2
    positions = [(len(squares) - 1) * percent // 100 for percent in (low, high)]
    low_square, high_square = np.partition(squares, positions)[positions].tolist()
    return math.sqrt(low_square / 1000) / 255, math.sqrt(high_square / 1000) / 255


def _blur_score(luma: Image.Image) -> float:
    counts = np.array(luma.histogram())
    _, edge_variance = histogram_moments(np.array(luma.filter(ImageFilter.FIND_EDGES).histogram()))
    mean_count = int(counts.sum()) / len(counts)
    count_variance = max(0.0, int(counts @ counts) / len(counts) - mean_count**2)
    plainness = 1 - math.exp(-math.sqrt(count_variance) / 100)
    return 1 - math.exp(-math.sqrt(edge_variance) / 100) + (plainness if plainness > 0.18 else 0)


def histogram_moments(histogram: NDArray[np.int64]) -> tuple[float, float]:
    """Compute mean and variance of values 0 to 255 from their histogram."""
    count = int(histogram.sum())
    mean = int(histogram @ _LEVELS) / count
    return mean, max(0.0, int(histogram @ _SQUARES) / count - mean**2)
