"""Measure a small RGB picture: its light, contrast, sharpness and colours, and its fingerprints.

Everything is the arithmetic of one pass: a histogram instead of a mean, a deviation and an entropy; sums of squares
in integers, which are exact and so the same on every machine; one thumbnail for everything coarse. Luma is that of
ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded to 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imaging.hashes import dhash, phash
from imaging.thumbhash import thumbhash

_LEVELS = np.arange(256)
# ThumbHash asks for at most this many pixels a side.
_THUMBNAIL = 100
_MAX_COLORS = 5
_MIN_SHARE = 0.01


@dataclass(frozen=True)
class Features:
    """What can be told of a picture's pixels.

    ``mean_rgb``         mean of R, G and B, each 0 to 255
    ``brightness``       mean luma, 0 (black) to 1 (white)
    ``contrast``         standard deviation of luma on the same scale, 0 (flat) to 0.5 (half black, half white); the
                         root mean square contrast of E. Peli, "Contrast in complex images", JOSA A 7(10), 1990
    ``sharpness``        variance of the Laplacian (0 1 0, 1 -4 1, 0 1 0) of luma 0 to 255, over all pixels that have
                         four neighbours; from 0, without unit. LAPV in S. Pertuz et al., "Analysis of focus measure
                         operators", Pattern Recognition 46(5), 2013
    ``entropy``          of the 256-bin histogram of luma, 0 to 8 bits; C. E. Shannon, "A Mathematical Theory of
                         Communication", 1948, section 6
    ``colorfulness``     M3 of D. Hasler and S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007,
                         2003: deviation of (R-G, (R+G)/2-B) plus 0.3 times the length of its mean; 0 for grey, above
                         100 for extremely colourful
    ``dominant_colors``  up to five as ``#rrggbb``, largest share first; see `dominant_colors`
    ``thumbhash``        see `imaging.thumbhash`
    ``phash``, ``dhash`` see `imaging.hashes`
    """

    mean_rgb: tuple[float, float, float]
    brightness: float
    contrast: float
    sharpness: float
    entropy: float
    colorfulness: float
    dominant_colors: tuple[str, ...]
    thumbhash: str
    phash: int
    dhash: int


def measure(image: Image.Image) -> Features:
    """The features of a picture in mode RGB of at most 2048 pixels a side."""
    luma = image.convert("L")
    histogram = np.array(luma.histogram())
    mean = float(histogram @ _LEVELS) / histogram.sum()
    variance = float(histogram @ _LEVELS**2) / histogram.sum() - mean**2
    mean_rgb, colorfulness = _colors(image)
    thumbnail = image.reduce(-(-max(image.size) // _THUMBNAIL))
    pixels = np.asarray(thumbnail)
    small_luma = thumbnail.convert("L")
    return Features(
        mean_rgb=mean_rgb,
        brightness=mean / 255,
        contrast=max(0.0, variance) ** 0.5 / 255,
        sharpness=_sharpness(np.asarray(luma)),
        entropy=_entropy(histogram),
        colorfulness=colorfulness,
        dominant_colors=dominant_colors(pixels),
        thumbhash=thumbhash(pixels),
        phash=phash(small_luma),
        dhash=dhash(small_luma),
    )


def dominant_colors(pixels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Up to five colours of an array (height, width, 3) as ``#rrggbb``, largest share first.

    Pixels are counted in 8x8x8 equal bins of RGB. The fullest bin takes in its 26 neighbours, then the fullest of the
    rest does, and so on; each colour is the mean of its pixels. Colours below one per cent are left out. The idea is
    that of M. J. Swain and D. H. Ballard, "Color Indexing", IJCV 7(1), 1991.
    """
    flat = pixels.reshape(-1, 3)
    # A margin of one bin on every side, so that the neighbours of each are a cube: ten bins a side, a decimal index.
    index = (flat >> 5) @ np.array([100, 10, 1]) + 111
    sums = np.stack(
        [np.bincount(index, minlength=1000), *(np.bincount(index, flat[:, c], minlength=1000) for c in range(3))]
    ).reshape(4, 10, 10, 10)
    found: list[tuple[float, str]] = []
    for _ in range(_MAX_COLORS):
        r, g, b = np.unravel_index(sums[0].argmax(), sums[0].shape)
        if not sums[0, r, g, b]:
            break
        cube = sums[:, r - 1 : r + 2, g - 1 : g + 2, b - 1 : b + 2]
        count, *total = cube.sum(axis=(1, 2, 3)).tolist()
        cube[:] = 0
        found.append((count, "#" + "".join(f"{round(channel / count):02x}" for channel in total)))
    # The sort is stable: of equal shares the one found first stays first.
    found.sort(key=lambda entry: -entry[0])
    return tuple(name for count, name in found if count >= _MIN_SHARE * len(flat))


def _entropy(histogram: NDArray[np.int64]) -> float:
    shares = histogram[histogram > 0] / histogram.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _sharpness(luma: NDArray[np.uint8]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    laplacian = np.add(luma[:-2, 1:-1], luma[2:, 1:-1], dtype=np.int16)
    laplacian += luma[1:-1, :-2]
    laplacian += luma[1:-1, 2:]
    laplacian -= np.multiply(luma[1:-1, 1:-1], 4, dtype=np.int16)
    return _mean_and_variance(laplacian)[1]


def _colors(image: Image.Image) -> tuple[tuple[float, float, float], float]:
    """Mean of R, G and B, and colourfulness."""
    red, green, blue = (_plane(image, band) for band in "RGB")
    red_green = np.subtract(red, green, dtype=np.int16)
    # Doubled, to stay an integer: R + G - 2B.
    yellow_blue = np.add(red, green, dtype=np.int16)
    yellow_blue -= np.multiply(blue, 2, dtype=np.int16)
    rg_mean, rg_variance = _mean_and_variance(red_green)
    yb_mean, yb_variance = _mean_and_variance(yellow_blue)
    deviation = (rg_variance + yb_variance / 4) ** 0.5
    distance = (rg_mean**2 + yb_mean**2 / 4) ** 0.5
    # R - G and R + G - 2B are known, so two of the three means follow from the third.
    blue_mean = float(blue.sum(dtype=np.uint64)) / blue.size
    red_and_green = yb_mean + 2 * blue_mean
    return ((red_and_green + rg_mean) / 2, (red_and_green - rg_mean) / 2, blue_mean), deviation + 0.3 * distance


def _plane(image: Image.Image, band: str) -> NDArray[np.uint8]:
    """One band as an array of its own: taking bands apart in Pillow is faster than arithmetic on every third byte."""
    return np.frombuffer(image.tobytes("raw", band), np.uint8).reshape(image.height, image.width)


def _mean_and_variance(values: NDArray[np.int16]) -> tuple[float, float]:
    """Of integers up to 1020; the sums down a column fit in 32 bits, which is twice as fast as 64."""
    wide = values.astype(np.int32)
    total = int(wide.sum(axis=0, dtype=np.int32).sum(dtype=np.int64))
    squares = int(np.einsum("ij,ij->j", wide, wide).sum(dtype=np.int64))
    mean = total / values.size
    return mean, max(0.0, (squares - total * total / values.size) / values.size)
