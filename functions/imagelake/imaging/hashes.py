"""64-bit fingerprints that stay nearly the same when an image is resized or compressed again.

Compare them by Hamming distance, the number of bits that differ. All of them use integers only, so that every machine
computes the same values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
FREQUENCIES = 8
# The first eight rows of the DCT-II of 32 points, times 2**12: integers, so that sums are exact and a flat row gives 0.
_DCT = np.rint(4096 * np.cos(np.pi / (2 * SIDE) * np.outer(np.arange(FREQUENCIES), 2 * np.arange(SIDE) + 1))).astype(
    np.int64
)
# A mirrored image has the same DCT, but every second horizontal frequency changes its sign.
_MIRROR = np.where(np.arange(FREQUENCIES) % 2, -1, 1)


class Fingerprints(NamedTuple):
    """The fingerprints of an image and of its mirror image, as signed 64-bit integers.

    ``phash``  DCT perceptual hash. The image is resized to 32x32. The 8x8 lowest frequencies of its two-dimensional
               DCT-II are compared with their median: bit 1 where greater. Bits run row by row, vertical frequency
               first; the most significant bit is the mean's. Source: C. Zauner, "Implementation and Benchmarking of
               Perceptual Image Hash Functions", 2010, 3.2.1
    ``dhash``  difference hash. The image is resized to nine columns and eight rows; bit 1 where a pixel is brighter
               than its left neighbor. Bits run row by row from the top left, most significant bit first. Source:
               N. Krawetz, "Kind of Like That", 2013, https://www.hackerfactor.com/blog/index.php?/archives/529
    """

    phash: int
    dhash: int
    mirrored_phash: int
    mirrored_dhash: int


def fingerprints(luma: Image.Image) -> Fingerprints:
    """Compute the fingerprints of an image in mode L."""
    square = np.asarray(luma.resize((SIDE, SIDE), Image.Resampling.BILINEAR), dtype=np.int64)
    coefficients = _DCT @ square @ _DCT.T
    phashes = above_median(np.stack([coefficients, coefficients * _MIRROR]))
    pixels = np.asarray(luma.resize((9, 8), Image.Resampling.BILINEAR))
    dhashes = pack(np.stack([pixels[:, 1:] > pixels[:, :-1], pixels[:, -2::-1] > pixels[:, :0:-1]]))
    return Fingerprints(phashes[0], dhashes[0], phashes[1], dhashes[1])


def above_median(coefficients: NDArray[np.int64] | NDArray[np.float64]) -> list[int]:
    """Compare the frequencies of each image with their median: an array (images, 8, 8) gives one hash per image."""
    # The median of 64 values is half the sum of the two in the middle. Both sides are doubled, to stay in integers.
    middle = np.sort(coefficients.reshape(-1, 64), axis=1)[:, 31:33].sum(axis=1)
    return pack(2 * coefficients > middle[:, None, None])


def pack(bits: NDArray[np.bool_]) -> list[int]:
    """Make one signed integer of each image's 64 bits."""
    hashes: list[int] = np.packbits(bits.reshape(-1, 64), axis=1).view(">i8").ravel().tolist()
    return hashes
