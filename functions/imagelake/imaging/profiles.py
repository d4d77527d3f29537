"""Make ICC profiles from colors that a file states as numbers, such as a PNG's gamma and primaries."""

from __future__ import annotations

import functools
import struct

import numpy as np
from numpy.typing import NDArray

# Parameters g, a, b, c, d of a tone curve (ICC.1:2022, 10.18, type 3): (ax + b)**g from d on, below it cx.
Curve = tuple[float, float, float, float, float]
SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
# x and y of white, red, green and blue.
Primaries = tuple[float, float, float, float, float, float, float, float]
_D65 = (0.3127, 0.329)
SRGB_PRIMARIES: Primaries = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)

# Code points of primaries and tone curves (ITU-T H.273, tables 2 and 3). Those for HDR, which need a tone mapping that
# is nowhere defined, are left out.
_BT_601_525: Primaries = (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)
_CODED_PRIMARIES: dict[int, Primaries] = {
    1: SRGB_PRIMARIES,
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: _BT_601_525,
    7: _BT_601_525,
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
_BT_709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)


def power(exponent: float) -> Curve:
    """Make the curve ``x**exponent``."""
    return (exponent, 1.0, 0.0, 0.0, 0.0)


_CODED_CURVES: dict[int, Curve] = {
    1: _BT_709_CURVE, 4: power(2.2), 5: power(2.8), 6: _BT_709_CURVE, 8: power(1.0), 13: SRGB_CURVE,
    14: _BT_709_CURVE, 15: _BT_709_CURVE,
}  # fmt: skip
# White of the profile connection space, and the Bradford matrix (ICC.1:2022, 7.2.16 and annex E).
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def profile_of_codes(primaries: int, curve: int, is_gray: bool) -> bytes | None:
    """Make the profile of two code points of ITU-T H.273; ``None`` if one of them is not supported."""
    if curve not in _CODED_CURVES or primaries not in _CODED_PRIMARIES:
        return None
    return make_profile(_CODED_CURVES[curve], None if is_gray else _CODED_PRIMARIES[primaries])


@functools.lru_cache(maxsize=64)
def make_profile(curve: Curve, primaries: Primaries | None) -> bytes | None:
    """Make an RGB profile, or a gray one without primaries; ``None`` if no color space has these primaries."""
    parameters = b"para\0\0\0\0\0\3\0\0" + _fixed(*curve)
    if primaries is None:
        return _assemble(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": parameters})
    columns = _adapted_columns(primaries)
    # A fixed-point number has a sign and 15 bits before the point (ICC.1:2022, 4.6).
    if columns is None or not np.all(np.abs(columns) < 1 << 15):
        return None
    tags = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True)}
    return _assemble(b"RGB ", {b"wtpt": _xyz(_D50), **tags, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), parameters)})


def _adapted_columns(primaries: Primaries) -> NDArray[np.float64] | None:
    """Compute X, Y and Z of red, green and blue, adapted to D50."""
    x, y = np.array(primaries).reshape(4, 2).T
    if not np.all(y > 0):
        return None
    white, *colors = np.stack([x / y, np.ones(4), (1 - x - y) / y]).T
    try:
        unscaled = np.array(colors).T
        columns = unscaled * np.linalg.solve(unscaled, white)
        adaptation = np.linalg.solve(_BRADFORD, np.diag(_BRADFORD @ _D50 / (_BRADFORD @ white)) @ _BRADFORD)
    except np.linalg.LinAlgError:
        return None
    adapted: NDArray[np.float64] = adaptation @ columns
    return adapted


def _assemble(color_space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Put the tags into a display profile of version 4 (ICC.1:2022, 7)."""
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(value))
        body += value
    size = 128 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s28s", size, b"", 4 << 24, b"mntr", color_space, b"XYZ ", b"", b"acsp", b"")
    return (head + _fixed(*_D50)).ljust(128, b"\0") + table + body


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
