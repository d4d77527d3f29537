"""Measure a small RGB picture: its light, contrast, sharpness and colours, and its fingerprints.

Each is told from as few pixels as it takes: sharpness from all of them, light and colour from a sample of at most 128
by 128, everything coarse from a thumbnail of at most 64 by 64, into which a quarter of the pixels go. Sums are of
integers, which is exact and so the same on every machine. Luma is that of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B,
rounded to 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagelake.imaging.flags import Flags, flags, mean_and_variance
from imagelake.imaging.hashes import dhash, phash
from imagelake.imaging.thumbhash import thumbhash

_SAMPLE = 128
# Twice what the perceptual hash looks at, and what CleanVision tells blur from.
_THUMBNAIL = 64
_MAX_COLORS = 5
_MIN_SHARE = 0.01


@dataclass(frozen=True)
class Features(Flags):
    """What can be told of a picture's pixels, and its `Flags`.

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
    ``thumbhash``        see `imagelake.imaging.thumbhash`
    ``phash``, ``dhash`` see `imagelake.imaging.hashes`
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


def measure(image: Image.Image, original_size: tuple[int, int]) -> Features:
    """The features of a picture in mode RGB, and the flags it earns with the size of its original."""
    luma = image.convert("L")
    half = _nth(image, 2)
    sample = _nth(half, -(-max(half.size) // _SAMPLE))
    histogram = np.array(sample.convert("L").histogram())
    mean, variance = mean_and_variance(histogram)
    mean_rgb, colorfulness = _colors(planes(sample))
    thumbnail = half.reduce(-(-max(half.size) // _THUMBNAIL))
    small_planes, small_luma = planes(thumbnail), thumbnail.convert("L")
    return Features(
        mean_rgb=mean_rgb,
        brightness=mean / 255,
        contrast=variance**0.5 / 255,
        sharpness=_sharpness(np.asarray(luma)),
        entropy=_entropy(histogram),
        colorfulness=colorfulness,
        dominant_colors=dominant_colors(small_planes),
        thumbhash=thumbhash(small_planes),
        phash=phash(small_luma),
        dhash=dhash(small_luma),
        **vars(flags(thumbnail, small_planes, small_luma, colorfulness == 0, *original_size)),
    )


def _nth(image: Image.Image, step: int) -> Image.Image:
    """One pixel of every square of ``step`` by ``step``."""
    return image.resize((-(-image.width // step), -(-image.height // step)), Image.Resampling.NEAREST)


def planes(image: Image.Image) -> NDArray[np.uint8]:
    """R, G and B of a picture in mode RGB: an array (3, height, width)."""
    data = b"".join(image.tobytes("raw", channel) for channel in "RGB")
    return np.frombuffer(data, np.uint8).reshape(3, image.height, image.width)


def dominant_colors(channels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Up to five colours of `planes` as ``#rrggbb``, largest share first.

    Pixels are counted in 8x8x8 equal bins of RGB. The fullest bin takes in its 26 neighbours, then the fullest of the
    rest does, and so on; each colour is the mean of its pixels. Colours below one per cent are left out. The idea is
    that of M. J. Swain and D. H. Ballard, "Color Indexing", IJCV 7(1), 1991.
    """
    channels = channels.reshape(3, -1)
    red, green, blue = channels >> 5
    # A margin of one bin on every side, so that the neighbours of each are a cube: ten bins a side, a decimal index.
    index = (red * np.uint16(100) + green * np.uint16(10) + blue + np.uint16(111)).astype(np.intp)
    sums = np.stack([np.bincount(index, minlength=1000), *(np.bincount(index, channel, 1000) for channel in channels)])
    bins, found = sums.reshape(4, 10, 10, 10), list[tuple[float, str]]()
    for _ in range(_MAX_COLORS):
        fullest = int(sums[0].argmax())
        if not sums[0, fullest]:
            break
        r, g, b = fullest // 100, fullest // 10 % 10, fullest % 10
        cube = bins[:, r - 1 : r + 2, g - 1 : g + 2, b - 1 : b + 2]
        count, *total = cube.sum(axis=(1, 2, 3)).tolist()
        cube[...] = 0
        found.append((count, "#" + "".join(f"{round(channel / count):02x}" for channel in total)))
    # The sort is stable: of equal shares the one found first stays first.
    found.sort(key=lambda entry: -entry[0])
    return tuple(name for count, name in found if count >= _MIN_SHARE * len(index))


def _entropy(histogram: NDArray[np.int64]) -> float:
    shares = histogram[histogram > 0] / histogram.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _sharpness(luma: NDArray[np.uint8]) -> float:
    if min(luma.shape) < 3:
        return 0.0
    height, width = luma.shape
    # In one row of all rows, which is twice as fast as row by row; what wraps around the edges is cut off again.
    row = luma.ravel().astype(np.int16)
    laplacian = row[: -2 * width] + row[2 * width :]
    laplacian += row[width - 1 : -width - 1]
    laplacian += row[width + 1 : row.size - width + 1]
    laplacian -= row[width:-width] << 2
    return _moments(laplacian.reshape(height - 2, width)[:, 1:-1])[1]


def _colors(channels: NDArray[np.uint8]) -> tuple[tuple[float, float, float], float]:
    """Mean of R, G and B, and colourfulness."""
    red, green, blue = channels.astype(np.int16)
    rg_mean, rg_variance = _moments(red - green)
    # Doubled, to stay an integer: R + G - 2B.
    yb_mean, yb_variance = _moments(red + green - (blue << 1))
    deviation = (rg_variance + yb_variance / 4) ** 0.5
    distance = (rg_mean**2 + yb_mean**2 / 4) ** 0.5
    # R - G and R + G - 2B are known, so two of the three means follow from the third.
    blue_mean = float(blue.sum(dtype=np.int64)) / blue.size
    red_and_green = yb_mean + 2 * blue_mean
    return ((red_and_green + rg_mean) / 2, (red_and_green - rg_mean) / 2, blue_mean), deviation + 0.3 * distance


def _moments(values: NDArray[np.int16]) -> tuple[float, float]:
    """Of integers up to 1020; the sums along 2048 of them fit in 32 bits, which is twice as fast as 64."""
    total = squares = 0
    for top in range(0, len(values), 2048):
        wide = values[top : top + 2048].astype(np.int32)
        total += int(wide.sum(axis=0, dtype=np.int32).sum(dtype=np.int64))
        squares += int(np.einsum("ij,ij->j", wide, wide).sum(dtype=np.int64))
    mean = total / values.size
    return mean, max(0.0, (squares - total * total / values.size) / values.size)
