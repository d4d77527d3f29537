"""Encode a ThumbHash: about 25 bytes from which a page can show a blurred image while the real one loads.

The format is Evan Wallace's (https://evanw.github.io/thumbhash/): the average color and a few low frequencies of a
cosine transform, one channel of lightness and two of color. Our images have no transparency, so none is written.
"""

from __future__ import annotations

import base64
import functools

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
# Frequencies along the longer side.
_MAX_FREQUENCIES = 7
# The format's channels: L (lightness), P (yellow against blue) and Q (red against green).
_LPQ = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, -1.0], [1.0, -1.0, 0.0]]) / 255


def thumbhash(channels: NDArray[np.uint8]) -> str:
    """Encode R, G and B, an array (3, height, width) of at most 100 pixels per side, as a ThumbHash in Base64."""
    _, height, width = channels.shape
    longest = max(width, height)
    # Halves are rounded up, as in the format's reference; Python's round would not do so.
    across = max(1, int(_MAX_FREQUENCIES * width / longest + 0.5))
    down = max(1, int(_MAX_FREQUENCIES * height / longest + 0.5))
    lpq = (_LPQ @ channels.reshape(3, -1)).reshape(channels.shape)
    # Rounding keeps a flat image flat: without it, sums of cosines leave noise that differs by machine.
    l_waves, p_waves, q_waves = np.round(_cosines(height) @ lpq @ _cosines(width).T, 9)
    mean_l, scale_l, waves_l = _normalize(l_waves, max(3, across), max(3, down))
    mean_p, scale_p, waves_p = _normalize(p_waves, 3, 3)
    mean_q, scale_q, waves_q = _normalize(q_waves, 3, 3)
    is_wide = width > height
    head = (
        _quantize(mean_l, 63)
        | _quantize(0.5 + 0.5 * mean_p, 63) << 6
        | _quantize(0.5 + 0.5 * mean_q, 63) << 12
        | _quantize(scale_l, 31) << 18
    )
    shape = (down if is_wide else across) | _quantize(scale_p, 63) << 3 | _quantize(scale_q, 63) << 9 | is_wide << 15
    nibbles = np.floor(15 * np.concatenate([waves_l, waves_p, waves_q]) + 0.5).astype(np.uint8)
    nibbles = np.append(nibbles, np.zeros(len(nibbles) % 2, np.uint8))
    packed = (nibbles[0::2] | nibbles[1::2] << 4).tobytes()
    return base64.b64encode(head.to_bytes(3, "little") + shape.to_bytes(2, "little") + packed).decode("ascii")


def _normalize(amplitudes: _Floats, across: int, down: int) -> tuple[float, float, _Floats]:
    """Return mean, largest amplitude, and the other amplitudes scaled by it to 0 to 1, in the order of the format."""
    kept = amplitudes[_triangle(across, down)]
    scale = float(np.abs(kept[1:]).max())
    return float(kept[0]), scale, (0.5 + 0.5 / scale * kept[1:] if scale else np.zeros(len(kept) - 1))


@functools.cache
def _cosines(size: int) -> _Floats:
    """Compute the first seven cosines over ``size`` pixels, each divided by ``size``; there are at most 100 sizes."""
    table: _Floats = np.cos(np.pi / size * np.outer(np.arange(_MAX_FREQUENCIES), np.arange(size) + 0.5)) / size
    table.flags.writeable = False
    return table


@functools.cache
def _triangle(across: int, down: int) -> NDArray[np.bool_]:
    """Select the kept frequencies: those below the diagonal from the highest vertical to the highest horizontal one."""
    y, x = np.indices((_MAX_FREQUENCIES, _MAX_FREQUENCIES))
    return x * down < across * (down - y)


def _quantize(value: float, highest: int) -> int:
    return int(highest * min(1.0, max(0.0, value)) + 0.5)
