"""Write a ThumbHash: some 25 bytes from which a page can paint a blurred picture while the real one loads.

The format is Evan Wallace's (https://evanw.github.io/thumbhash/): the average colour and a few low frequencies of a
cosine transform, one channel of lightness and two of colour. Pictures here have no transparency, so none is written.
"""

from __future__ import annotations

import base64
import functools

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
# Frequencies along the longer side.
_MOST = 7
# Lightness, yellow against blue, red against green (P and Q in the format's own words).
_LPQ = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, -1.0], [1.0, -1.0, 0.0]]) / 255


def thumbhash(planes: NDArray[np.uint8]) -> str:
    """The ThumbHash of R, G and B, an array (3, height, width) of at most 100 pixels a side, in Base64."""
    _, height, width = planes.shape
    longest = max(width, height)
    # Half of a number is rounded up, as in the format's reference.
    across = max(1, int(_MOST * width / longest + 0.5))
    down = max(1, int(_MOST * height / longest + 0.5))
    channels = (_LPQ @ planes.reshape(3, -1)).reshape(planes.shape)
    # Rounding keeps a flat picture flat: what is left of a sum of cosines is noise that differs by machine.
    l_waves, p_waves, q_waves = np.round(_cosines(height) @ channels @ _cosines(width).T, 9)
    mean_l, scale_l, waves_l = _kept(l_waves, max(3, across), max(3, down))
    mean_p, scale_p, waves_p = _kept(p_waves, 3, 3)
    mean_q, scale_q, waves_q = _kept(q_waves, 3, 3)
    is_wide = width > height
    head = (
        _level(mean_l, 63)
        | _level(0.5 + 0.5 * mean_p, 63) << 6
        | _level(0.5 + 0.5 * mean_q, 63) << 12
        | _level(scale_l, 31) << 18
    )
    shape = (down if is_wide else across) | _level(scale_p, 63) << 3 | _level(scale_q, 63) << 9 | is_wide << 15
    nibbles = np.floor(15 * np.concatenate([waves_l, waves_p, waves_q]) + 0.5).astype(np.uint8)
    nibbles = np.append(nibbles, np.zeros(len(nibbles) % 2, np.uint8))
    packed = (nibbles[0::2] | nibbles[1::2] << 4).tobytes()
    return base64.b64encode(head.to_bytes(3, "little") + shape.to_bytes(2, "little") + packed).decode("ascii")


def _kept(amplitudes: _Floats, across: int, down: int) -> tuple[float, float, _Floats]:
    """Mean, largest amplitude and the other amplitudes as a share of it, 0 to 1, in the format's order."""
    kept = amplitudes[_triangle(across, down)]
    scale = float(np.abs(kept[1:]).max())
    return float(kept[0]), scale, (0.5 + 0.5 / scale * kept[1:] if scale else np.zeros(len(kept) - 1))


@functools.cache
def _cosines(size: int) -> _Floats:
    """The first seven cosines over ``size`` pixels, each divided by ``size``; at most a hundred tables."""
    table: _Floats = np.cos(np.pi / size * np.outer(np.arange(_MOST), np.arange(size) + 0.5)) / size
    table.flags.writeable = False
    return table


@functools.cache
def _triangle(across: int, down: int) -> NDArray[np.bool_]:
    """Which frequencies are kept: those below the diagonal from the highest vertical to the highest horizontal."""
    y, x = np.indices((_MOST, _MOST))
    return x * down < across * (down - y)


def _level(value: float, top: int) -> int:
    return int(top * min(1.0, max(0.0, value)) + 0.5)
