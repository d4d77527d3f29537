"""Perceptual hashes of views of an image: of its parts and crops, so that changed copies of it can be found.

A copy with a text or a box differs from its original in one or two parts only. A copy that was cropped looks like a
crop of its original. So the hashes of 12 views of each original are kept, and a later image is compared with them.
Whoever compares also has to know if what remains lies where it should: the hashes of 14 more views answer that. Each
is the phash (`imagelake.imaging.hashes`) of a rectangle of the image.

All views come out of two matrix products. The matrix of a view reduces the rows (or columns) of its rectangle to 32 and
takes their lowest eight frequencies. Its elements are integers below 2**21 and pixels are below 2**8, so every sum
stays below 2**53 and is exact in float64: every machine computes the same hashes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imagelake.imaging.hashes import FREQUENCIES, SIDE, above_median

# An interval of the width or the height, as shares of it, and a rectangle: a vertical and a horizontal interval.
Interval = tuple[float, float]
View = tuple[Interval, Interval]

# Shares that a crop cuts off each side, and that a one-sided crop cuts off its side.
CROPS = (0.04, 0.08, 0.12)
SIDE_CROP = 0.09

_ALL: Interval = (0.0, 1.0)
_FIRST_HALF: Interval = (0.0, 0.5)
_SECOND_HALF: Interval = (0.5, 1.0)
_MIDDLE: Interval = (0.25, 0.75)
_WITHOUT_START: Interval = (SIDE_CROP, 1.0)
_WITHOUT_END: Interval = (0.0, 1 - SIDE_CROP)
# The halves of an original as they lie in a copy without its start or its end.
_SECOND_HALF_IN_COPY: Interval = ((0.5 - SIDE_CROP) / (1 - SIDE_CROP), 1.0)
_FIRST_HALF_IN_COPY: Interval = (0.0, 0.5 / (1 - SIDE_CROP))


def _center_in_copy(crop: float) -> Interval:
    """Return the place of the original's middle in a copy that is cropped on both sides."""
    return (0.25 - crop) / (1 - 2 * crop), (0.75 - crop) / (1 - 2 * crop)


def _center_of_crop(crop: float) -> Interval:
    """Return the place of the middle of a crop in the image that is cropped."""
    return crop + 0.25 * (1 - 2 * crop), crop + 0.75 * (1 - 2 * crop)


# The four quarters in reading order, and the center.
PARTS: tuple[View, ...] = (
    (_FIRST_HALF, _FIRST_HALF),
    (_FIRST_HALF, _SECOND_HALF),
    (_SECOND_HALF, _FIRST_HALF),
    (_SECOND_HALF, _SECOND_HALF),
    (_MIDDLE, _MIDDLE),
)
CENTERED_CROPS: tuple[View, ...] = tuple(((crop, 1 - crop), (crop, 1 - crop)) for crop in CROPS)
# Without the left, the top, the right and the bottom.
SIDE_CROPS: tuple[View, ...] = (
    (_ALL, _WITHOUT_START),
    (_WITHOUT_START, _ALL),
    (_ALL, _WITHOUT_END),
    (_WITHOUT_END, _ALL),
)
# The center of the original, if this image is a centered crop of it.
CENTERS_IN_COPY: tuple[View, ...] = tuple((_center_in_copy(crop), _center_in_copy(crop)) for crop in CROPS)
# The center of the original, if the original is a centered crop of this image.
CENTERS_OF_CROPS: tuple[View, ...] = tuple((_center_of_crop(crop), _center_of_crop(crop)) for crop in CROPS)
# Two whole quarters of the original, if this image is the original without its left, top, right or bottom.
QUARTERS_IN_COPY: tuple[View, ...] = (
    (_FIRST_HALF, _SECOND_HALF_IN_COPY),
    (_SECOND_HALF, _SECOND_HALF_IN_COPY),
    (_SECOND_HALF_IN_COPY, _FIRST_HALF),
    (_SECOND_HALF_IN_COPY, _SECOND_HALF),
    (_FIRST_HALF, _FIRST_HALF_IN_COPY),
    (_SECOND_HALF, _FIRST_HALF_IN_COPY),
    (_FIRST_HALF_IN_COPY, _FIRST_HALF),
    (_FIRST_HALF_IN_COPY, _SECOND_HALF),
)
# The views of an original, which later images are compared with, and those that only the later image needs.
ORIGINAL_VIEWS = PARTS + CENTERED_CROPS + SIDE_CROPS
VIEWS = ORIGINAL_VIEWS + CENTERS_IN_COPY + CENTERS_OF_CROPS + QUARTERS_IN_COPY

# The hash of a view without structure is noise, and others have the same. 0 stands for it and equals no other hash.
FLAT = 0
# Least amplitude of a view's lowest frequencies together, in levels of gray.
_MIN_AMPLITUDE = 1.0

_PIXELS = 96
_COSINES = np.rint(1024 * np.cos(np.pi / (2 * SIDE) * np.outer(np.arange(FREQUENCIES), 2 * np.arange(SIDE) + 1)))
_WEIGHTS = 64
_INTERVALS = tuple(dict.fromkeys(interval for view in VIEWS for interval in view))
_VERTICAL, _HORIZONTAL = (np.array([_INTERVALS.index(view[direction]) for view in VIEWS]) for direction in range(2))


def _reduce(interval: Interval) -> NDArray[np.float64]:
    """Make the matrix (8, 96) that reduces an interval to 32 pixels by a triangle filter and takes its frequencies."""
    start, end = (share * _PIXELS for share in interval)
    step = (end - start) / SIDE
    pixels, centers = np.arange(_PIXELS) + 0.5, start + (np.arange(SIDE) + 0.5) * step
    weights = np.maximum(0, 1 - np.abs(pixels - centers[:, None]) / max(step, 1))
    weights[:, (pixels < start) | (pixels > end)] = 0
    weights = np.rint(weights / weights.sum(axis=1, keepdims=True) * _WEIGHTS)
    # After rounding, each row has to have the same sum again. Otherwise a flat view would have frequencies.
    weights[np.arange(SIDE), weights.argmax(axis=1)] += _WEIGHTS - weights.sum(axis=1)
    matrix: NDArray[np.float64] = _COSINES @ weights
    return matrix


_MATRICES = np.stack([_reduce(interval) for interval in _INTERVALS])
_ROWS, _COLUMNS = _MATRICES.reshape(-1, _PIXELS), _MATRICES[_HORIZONTAL].transpose(0, 2, 1)
# The coefficient of a cosine of amplitude 1 along the width or the height of a view.
_UNIT = (1024 * _WEIGHTS) ** 2 * SIDE * SIDE / 2


def view_hashes(luma: Image.Image) -> tuple[int, ...]:
    """Compute a signed 64-bit hash of each of the `VIEWS` of an image in mode L; that of a flat view is `FLAT`."""
    pixels = np.asarray(luma.resize((_PIXELS, _PIXELS), Image.Resampling.BOX), dtype=np.float64)
    rows = (_ROWS @ pixels).reshape(len(_INTERVALS), FREQUENCIES, _PIXELS)
    coefficients = rows[_VERTICAL] @ _COLUMNS
    hashes = above_median(coefficients)
    amplitudes = np.sqrt(np.square(coefficients.reshape(len(VIEWS), -1)[:, 1:] / _UNIT).sum(axis=1))
    is_flat = amplitudes < _MIN_AMPLITUDE
    return tuple(FLAT if flat else hash_ for hash_, flat in zip(hashes, is_flat.tolist(), strict=True))
