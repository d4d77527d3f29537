"""Two 64-bit fingerprints that stay nearly the same when an image is resized or compressed again.

Compare them by Hamming distance, the number of bits that differ. Both use integers only, so that every machine computes
the same values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 32
_FREQUENCIES = 8
# The first eight rows of the DCT-II of 32 points, times 2**12: integers, so that sums are exact and a flat row gives 0.
_DCT = np.rint(4096 * np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(_FREQUENCIES), 2 * np.arange(_SIDE) + 1))).astype(
    np.int64
)


def phash(luma: Image.Image) -> int:
    """Compute the DCT perceptual hash of an image in mode L, as a signed 64-bit integer.

    The image is resized to 32x32. The 8x8 lowest frequencies of its two-dimensional DCT-II are compared with their
    median: bit 1 where greater. Bits run row by row, vertical frequency first; the most significant bit is the mean's.
    Source: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, 3.2.1.
    """
    pixels = np.asarray(luma.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.int64)
    coefficients = _DCT @ pixels @ _DCT.T
    # The median of 64 values is half the sum of the two in the middle. Both sides are doubled, to stay in integers.
    middle = np.sort(coefficients, axis=None)[31:33]
    return _pack(2 * coefficients > middle.sum())


def dhash(luma: Image.Image) -> int:
    """Compute the difference hash of an image in mode L, as a signed 64-bit integer.

    The image is resized to nine columns and eight rows; bit 1 where a pixel is brighter than its left neighbor. Bits
    run row by row from the top left, most significant bit first.
    Source: N. Krawetz, "Kind of Like That", 2013, https://www.hackerfactor.com/blog/index.php?/archives/529.
    """
    pixels = np.asarray(luma.resize((9, 8), Image.Resampling.BILINEAR))
    return _pack(pixels[:, 1:] > pixels[:, :-1])


def _pack(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)
