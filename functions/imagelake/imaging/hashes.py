"""Two 64-bit fingerprints that stay nearly the same when a picture is resized or compressed again.

Compare them by Hamming distance: the number of bits that differ. Both are computed in integers only, so that they are
the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 32
_KEPT = 8
# The first eight rows of the DCT-II of 32 points, times 2**12. The sums then stay exact, and a flat row gives zero.
_DCT = np.rint(4096 * np.cos(np.pi / (2 * _SIDE) * np.outer(np.arange(_KEPT), 2 * np.arange(_SIDE) + 1))).astype(
    np.int64
)


def phash(luma: Image.Image) -> int:
    """DCT perceptual hash of a picture in mode L, as a signed 64-bit integer.

    The picture is squeezed to 32x32; of its two-dimensional DCT-II the 8x8 lowest frequencies are compared with their
    median: bit 1 where greater. Row by row, vertical frequency first, the most significant bit is the mean's.
    Source: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, 3.2.1.
    """
    pixels = np.asarray(luma.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR), dtype=np.int64)
    coefficients = _DCT @ pixels @ _DCT.T
    middle = np.sort(coefficients, axis=None)[31:33]
    return _signed(2 * coefficients > middle.sum())


def dhash(luma: Image.Image) -> int:
    """Difference hash of a picture in mode L, as a signed 64-bit integer.

    The picture is squeezed to nine columns and eight rows; bit 1 where a pixel is brighter than its left neighbour.
    Row by row from the top left, most significant bit first.
    Source: N. Krawetz, "Kind of Like That", 2013, https://www.hackerfactor.com/blog/index.php?/archives/529.
    """
    pixels = np.asarray(luma.resize((9, 8), Image.Resampling.BILINEAR))
    return _signed(pixels[:, 1:] > pixels[:, :-1])


def _signed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)
