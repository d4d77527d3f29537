"""Comparisons of an image with an original: unchanged, mirrored, changed in one part, or cropped.

A comparison is a list of conditions, and all of them must hold: two hashes differ in at most so many bits. The first
one is computed for every pair, the others only for the few pairs that are left. ``benchmarks/near_duplicates.py`` chose
the limits, see ``docs/near-duplicates.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagelake.imaging.views import (
    CENTERED_CROPS,
    CENTERS_IN_COPY,
    CENTERS_OF_CROPS,
    FLAT,
    PARTS,
    QUARTERS_IN_COPY,
    SIDE_CROPS,
    VIEWS,
    View,
)
from imagelake.lake.hash_log import Hashes
from imagelake.lake.rows import DuplicateKind

# Columns of the hashes of an image: phash, dhash, its views, and the same two of its mirror image.
_PHASH, _DHASH, _FIRST_VIEW = 0, 1, 2
_MIRRORED_PHASH, _MIRRORED_DHASH = _FIRST_VIEW + len(VIEWS), _FIRST_VIEW + len(VIEWS) + 1

_NO_VIEWS = (FLAT,) * (len(VIEWS) + 2)
_IMAGES_AT_ONCE, _ORIGINALS_AT_ONCE = 4, 8192

PHASH_BITS, DHASH_BITS = 8, 12
# A part that has not changed.
PART_BITS = 2
# What remains of a crop lies where it should: the center of a crop, two quarters of a one-sided crop, the whole image.
CENTER_BITS, QUARTER_BITS, CROP_DHASH_BITS = 12, 8, 32


class Condition(NamedTuple):
    """At most ``bits`` differ between a hash of the image and a hash of the original, each given by its column."""

    image: int
    original: int
    bits: int


class Comparison(NamedTuple):
    """All conditions must hold."""

    kind: DuplicateKind
    conditions: tuple[Condition, ...]


class Match(NamedTuple):
    """The original that an image looks like; the least match is the nearest, and of equals the earliest.

    ``rank`` is the place of the comparison's kind, ``distance`` the number of bits that differ in its first condition,
    ``original`` the index of the original.
    """

    rank: int
    distance: int
    original: int

    @property
    def kind(self) -> DuplicateKind:
        """Return the kind of the comparison."""
        return _KINDS[self.rank]


_KINDS = tuple(DuplicateKind)


def _column(view: View) -> int:
    return _FIRST_VIEW + VIEWS.index(view)


def _comparisons() -> Iterator[Comparison]:
    yield Comparison(
        DuplicateKind.WHOLE, (Condition(_PHASH, _PHASH, PHASH_BITS), Condition(_DHASH, _DHASH, DHASH_BITS))
    )
    yield Comparison(
        DuplicateKind.MIRRORED,
        (Condition(_MIRRORED_PHASH, _PHASH, PHASH_BITS), Condition(_MIRRORED_DHASH, _DHASH, DHASH_BITS)),
    )
    # A text or a box changes one part, and the other four are the same.
    parts = [Condition(_column(view), _column(view), PART_BITS) for view in PARTS]
    for unchanged in combinations(parts, len(parts) - 1):
        yield Comparison(DuplicateKind.PARTS, unchanged)
    yield from (Comparison(DuplicateKind.CROP, conditions) for conditions in _crops())


def _crops() -> Iterator[tuple[Condition, ...]]:
    dhash = Condition(_DHASH, _DHASH, CROP_DHASH_BITS)
    center = _column(PARTS[4])
    for crop, in_copy, of_crop in zip(CENTERED_CROPS, CENTERS_IN_COPY, CENTERS_OF_CROPS, strict=True):
        yield Condition(_PHASH, _column(crop), PHASH_BITS), Condition(_column(in_copy), center, CENTER_BITS), dhash
        # The original can also be the smaller one of the two.
        yield Condition(_column(crop), _PHASH, PHASH_BITS), Condition(_column(of_crop), center, CENTER_BITS), dhash
    # Quarters that remain without the left, the top, the right and the bottom.
    remaining = ((PARTS[1], PARTS[3]), (PARTS[2], PARTS[3]), (PARTS[0], PARTS[2]), (PARTS[0], PARTS[1]))
    places = zip(QUARTERS_IN_COPY[::2], QUARTERS_IN_COPY[1::2], strict=True)
    for crop, views, quarters in zip(SIDE_CROPS, places, remaining, strict=True):
        checks = (
            Condition(_column(place), _column(quarter), QUARTER_BITS)
            for place, quarter in zip(views, quarters, strict=True)
        )
        yield Condition(_PHASH, _column(crop), PHASH_BITS), *checks, dhash


COMPARISONS = tuple(_comparisons())


def hashes_of(rows: Sequence[Mapping[str, Any]]) -> Hashes:
    """Collect the hashes of images: one row per image; those of an original are the first 14."""
    # A row that an earlier version decided has no hashes of views.
    values = [(row["phash"], row["dhash"], *(row.get("view_hashes") or _NO_VIEWS)) for row in rows]
    return np.array(values, np.int64).view(np.uint64)


def compare(images: Hashes, originals: Hashes) -> Iterator[tuple[int, Match]]:
    """Find all pairs of an image and an original for which a comparison holds; both are given by their index."""
    near = {first: _near_pairs(first, images, originals) for first in {one.conditions[0] for one in COMPARISONS}}
    for comparison in COMPARISONS:
        first, *others = comparison.conditions
        pairs = near[first]
        for condition in others:
            pairs = pairs[_holds(condition, images[pairs[:, 0]], originals[pairs[:, 1]])]
        distances = np.bitwise_count(images[pairs[:, 0], first.image] ^ originals[pairs[:, 1], first.original])
        rank = _KINDS.index(comparison.kind)
        for (image, original), distance in zip(pairs.tolist(), distances.tolist(), strict=True):
            yield image, Match(rank, distance, original)


def _near_pairs(condition: Condition, images: Hashes, originals: Hashes) -> NDArray[np.intp]:
    """Compare all images with all originals: the pairs of indexes for which a condition holds, one per row."""
    found = [np.empty((0, 2), np.intp)]
    # All arrays of the inner loop stay in the processor's cache.
    differing = np.empty((_IMAGES_AT_ONCE, _ORIGINALS_AT_ONCE), np.uint64)
    for start in range(0, len(originals), _ORIGINALS_AT_ONCE):
        block = np.ascontiguousarray(originals[start : start + _ORIGINALS_AT_ONCE, condition.original])
        for first in range(0, len(images), _IMAGES_AT_ONCE):
            hashes = images[first : first + _IMAGES_AT_ONCE, condition.image, None]
            bits = np.bitwise_count(np.bitwise_xor(hashes, block, out=differing[: len(hashes), : len(block)]))
            near = bits <= condition.bits
            if near.any():
                found.append(np.argwhere(near) + np.array([first, start]))
    pairs = np.concatenate(found)
    # An erased original has nothing but zeros, and matches no image.
    pairs = pairs[originals[pairs[:, 1]].any(axis=1)]
    return pairs[_holds(condition, images[pairs[:, 0]], originals[pairs[:, 1]])]


def _holds(condition: Condition, images: Hashes, originals: Hashes) -> NDArray[np.bool_]:
    """Test a condition for pairs of an image and an original, given row by row."""
    a, b = images[:, condition.image], originals[:, condition.original]
    holds: NDArray[np.bool_] = np.bitwise_count(a ^ b) <= condition.bits
    # Flat images are left out before, so phash and dhash may be 0, but a flat view equals no other.
    for column, hashes in ((condition.image, a), (condition.original, b)):
        if column >= _FIRST_VIEW:
            holds &= hashes != FLAT
    return holds
