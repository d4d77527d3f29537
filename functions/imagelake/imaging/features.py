"""Measure a small RGB image: its light, contrast, sharpness and colors, and its fingerprints.

Each feature uses as few pixels as it needs: sharpness uses all of them, light and color a sample of at most 128x128,
and the rest a thumbnail of at most 64x64, made from a quarter of the pixels. Sums are sums of integers: they are exact,
and so the same on every machine. Luma is that of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, rounded to 0 to 255.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagelake.imaging.flags import Flags, find_flags, histogram_moments
from imagelake.imaging.hashes import fingerprints
from imagelake.imaging.thumbhash import thumbhash
from imagelake.imaging.views import view_hashes

_SAMPLE_SIDE = 128
# Twice the side that the perceptual hash needs, and the size at which CleanVision detects blur.
_THUMBNAIL_SIDE = 64
_MAX_COLORS = 5
_MIN_COLOR_SHARE = 0.01
# The squares of 2048 numbers up to 1020 add up to less than 2**31.
_MAX_ROWS_PER_SUM = 2048


@dataclass(frozen=True)
class Features(Flags):
    """Measurements of an image's pixels, and its `Flags`.

    ``mean_rgb``         mean of R, G and B, each 0 to 255
    ``brightness``       mean luma, 0 (black) to 1 (white)
    ``contrast``         standard deviation of luma on the same scale, 0 (flat) to 0.5 (half black, half white); the
                         root mean square contrast of E. Peli, "Contrast in complex images", JOSA A 7(10), 1990
    ``sharpness``        variance of the Laplacian (0 1 0, 1 -4 1, 0 1 0) of luma 0 to 255, over all pixels that have
                         four neighbors; from 0, without unit. LAPV in S. Pertuz et al., "Analysis of focus measure
                         operators", Pattern Recognition 46(5), 2013
    ``entropy``          of the 256-bin histogram of luma, 0 to 8 bits; C. E. Shannon, "A Mathematical Theory of
                         Communication", 1948, section 6
    ``colorfulness``     M3 of D. Hasler and S. Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007,
                         2003: deviation of (R-G, (R+G)/2-B) plus 0.3 times the length of its mean; 0 for gray, above
                         100 for extremely colorful
    ``dominant_colors``  up to five as ``#rrggbb``, largest share first; see `find_dominant_colors`
    ``thumbhash``        see `imagelake.imaging.thumbhash`
    ``phash``, ``dhash`` see `imagelake.imaging.hashes`
    ``view_hashes``      one for each of `imagelake.imaging.views.VIEWS`, then phash and dhash of the mirror image
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
    view_hashes: tuple[int, ...]


def measure(image: Image.Image, original_size: tuple[int, int]) -> Features:
    """Measure an RGB image; two of its flags depend on the size of its original."""
    luma = image.convert("L")
    half = _take_every(2, image)
    sample = _take_every(_step_to_fit(half, _SAMPLE_SIDE), half)
    histogram = np.array(sample.convert("L").histogram())
    mean, variance = histogram_moments(histogram)
    mean_rgb, colorfulness = _measure_colors(split_channels(sample))
    thumbnail = half.reduce(_step_to_fit(half, _THUMBNAIL_SIDE))
    small_channels, small_luma = split_channels(thumbnail), thumbnail.convert("L")
    whole = fingerprints(small_luma)
    return Features(
        mean_rgb=mean_rgb,
        brightness=mean / 255,
        contrast=variance**0.5 / 255,
        sharpness=_measure_sharpness(np.asarray(luma)),
        entropy=_measure_entropy(histogram),
        colorfulness=colorfulness,
        dominant_colors=find_dominant_colors(small_channels),
        thumbhash=thumbhash(small_channels),
        phash=whole.phash,
        dhash=whole.dhash,
        view_hashes=(*view_hashes(luma), whole.mirrored_phash, whole.mirrored_dhash),
        **vars(find_flags(thumbnail, small_channels, small_luma, colorfulness == 0, original_size)),
    )


def _step_to_fit(image: Image.Image, side: int) -> int:
    """Compute the smallest whole factor that brings the longer side to at most ``side``."""
    return -(-max(image.size) // side)


def _take_every(step: int, image: Image.Image) -> Image.Image:
    """Take one pixel of every square of ``step`` by ``step``."""
    return image.resize((-(-image.width // step), -(-image.height // step)), Image.Resampling.NEAREST)


def split_channels(image: Image.Image) -> NDArray[np.uint8]:
    """Split an RGB image into R, G and B: an array (3, height, width)."""
    data = b"".join(image.tobytes("raw", channel) for channel in "RGB")
    return np.frombuffer(data, np.uint8).reshape(3, image.height, image.width)


def find_dominant_colors(channels: NDArray[np.uint8]) -> tuple[str, ...]:
    """Find up to five colors of `split_channels` as ``#rrggbb``, largest share first.

    Pixels are counted in 8x8x8 equal bins of RGB. The fullest bin is joined with its 26 neighbors, then the fullest of
    the rest, and so on; each color is the mean of its pixels. Colors with a share below one percent are left out. The
    idea is from M. J. Swain and D. H. Ballard, "Color Indexing", IJCV 7(1), 1991.
    """
    channels = channels.reshape(3, -1)
    red, green, blue = channels >> 5
    # One empty bin on every side, so that the neighbors of each bin form a cube. That makes ten bins per side, and the
    # three digits of the index are the bins of R, G and B.
    index = (red * np.uint16(100) + green * np.uint16(10) + blue + np.uint16(111)).astype(np.intp)
    # For each bin: the number of pixels, and the sums of their R, G and B.
    sums = np.stack([np.bincount(index, minlength=1000), *(np.bincount(index, channel, 1000) for channel in channels)])
    bins = sums.reshape(4, 10, 10, 10)
    colors: list[tuple[float, str]] = []
    for _ in range(_MAX_COLORS):
        fullest = int(sums[0].argmax())
        if not sums[0, fullest]:
            break
        r, g, b = fullest // 100, fullest // 10 % 10, fullest % 10
        cube = bins[:, r - 1 : r + 2, g - 1 : g + 2, b - 1 : b + 2]
        count, *totals = cube.sum(axis=(1, 2, 3)).tolist()
        cube[...] = 0
        colors.append((count, "#" + "".join(f"{round(total / count):02x}" for total in totals)))
    # The sort is stable: of equal shares, the one found first stays first.
    colors.sort(key=lambda entry: -entry[0])
    return tuple(name for count, name in colors if count >= _MIN_COLOR_SHARE * len(index))


def _measure_entropy(histogram: NDArray[np.int64]) -> float:
    shares = histogram[histogram > 0] / histogram.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))


def _measure_sharpness(luma: NDArray[np.uint8]) -> float:
    """Compute the variance of the Laplacian.

    All rows are joined to one long row: the neighbors of pixel i are then i - 1, i + 1, i - width and i + width, and
    five shifted slices of that row add up the Laplacian of all pixels at once. At the left and right edge, the neighbor
    is a pixel of another row, so these two columns are cut off. This takes half the time of working row by row;
    ``benchmarks/pixels.py`` times all features.
    """
    if min(luma.shape) < 3:
        return 0.0
    height, width = luma.shape
    row = luma.ravel().astype(np.int16)
    # The first and the last row of pixels have no neighbor above or below, so the result has two rows less.
    laplacian = row[: -2 * width] + row[2 * width :]
    laplacian += row[width - 1 : -width - 1]
    laplacian += row[width + 1 : row.size - width + 1]
    laplacian -= row[width:-width] << 2
    return _moments(laplacian.reshape(height - 2, width)[:, 1:-1])[1]


def _measure_colors(channels: NDArray[np.uint8]) -> tuple[tuple[float, float, float], float]:
    """Compute the mean of R, G and B, and the colorfulness."""
    red, green, blue = channels.astype(np.int16)
    rg_mean, rg_variance = _moments(red - green)
    # Twice (R+G)/2-B, which is an integer: R + G - 2B.
    yb_mean, yb_variance = _moments(red + green - (blue << 1))
    deviation = (rg_variance + yb_variance / 4) ** 0.5
    distance = (rg_mean**2 + yb_mean**2 / 4) ** 0.5
    # The means of R - G and of R + G - 2B are known, so the mean of B gives those of R and G.
    blue_mean = float(blue.sum(dtype=np.int64)) / blue.size
    red_and_green = yb_mean + 2 * blue_mean
    return ((red_and_green + rg_mean) / 2, (red_and_green - rg_mean) / 2, blue_mean), deviation + 0.3 * distance


def _moments(values: NDArray[np.int16]) -> tuple[float, float]:
    """Compute mean and variance of a matrix of integers up to 1020, from exact sums.

    Columns are summed in strips of rows. The sum of a strip fits in 32 bits, which takes half the time of 64 bits; the
    sums of all strips are Python integers. ``benchmarks/pixels.py`` times all features.
    """
    total = squares = 0
    for top in range(0, len(values), _MAX_ROWS_PER_SUM):
        strip = values[top : top + _MAX_ROWS_PER_SUM].astype(np.int32)
        total += int(strip.sum(axis=0, dtype=np.int32).sum(dtype=np.int64))
        squares += int(np.einsum("ij,ij->j", strip, strip).sum(dtype=np.int64))
    mean = total / values.size
    return mean, max(0.0, (squares - total * total / values.size) / values.size)
