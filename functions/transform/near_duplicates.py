"""Mark images that look like an earlier image of any network and day.

The hash log decides which image is earlier: a batch is compared with all entries before its own. An entry is written
only if its sequence number is free. So if two batches run at the same time, one of them is first, and the other one is
compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from imagelake.lake.hash_log import Entry, Hashes, HashLog, HashLogCache
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts
from transform.duplicates import with_image

# Number of the 64 bits that may differ: benchmarks/near_duplicates.py chose them, see docs/near-duplicates.md.
PHASH_BITS, DHASH_BITS = 8, 12
MIN_CONTRAST = 0.05
# Originals of the log that are compared at once: with the 1,000 images of the largest batch, they take 16 MB.
_BLOCK = 2048
# Give up after losing the conditional write this many times.
_TRIES = 40
_PAUSE_SECONDS = 0.1


class Match(NamedTuple):
    """The original that an image looks like: the number of differing bits of phash, and the index of the original."""

    distance: int
    original: int


@cache
def hash_log_cache(table: str) -> HashLogCache:
    """Return the cache of a table, one per worker."""
    return HashLogCache(HashLog(table))


def is_comparable(row: Mapping[str, Any]) -> bool:
    """Return ``False`` for a flat image: its hashes are noise and equal others by accident."""
    return not row["is_low_information"] and bool(row["contrast"] >= MIN_CONTRAST)


def mark_near_duplicates(
    rows: list[StagedRow], batch: Batch, cache: HashLogCache, media_index: MediaIndex
) -> list[StagedRow]:
    """Name the original in the row of each near duplicate, add all other images to the hash log, and return the rows.

    An original without an image in a row is not named. A batch that is done again gets the same result: its entry is
    in the log, and only entries before it count. Raises ``StorageUnavailableError`` if other batches write first every
    time.
    """
    compared = [row for row in rows if row["status"] == Status.OK and is_comparable(row)]
    if not compared:
        return rows
    hashes = np.array([(row["phash"], row["dhash"]) for row in compared], np.int64).view(np.uint64)
    for tries in attempts(_TRIES, max_pause=_PAUSE_SECONDS):
        cache.refresh(consistent=tries > 0)
        seq = cache.seq_by_batch.get(batch.work_id)
        earlier = cache.before(seq or cache.next_seq)
        matches = find(hashes, earlier)
        originals = [index for index, match in enumerate(matches) if match is None]
        entry = Entry(cache.next_seq, batch.work_id, hashes[originals].astype(">u8").tobytes())
        names = [compared[index]["media_id"] for index in originals]
        if seq or cache.log.append(entry, names):
            duplicates = _name_originals(compared, matches, names, len(earlier), cache)
            valid = with_image((original for original, _ in duplicates.values()), rows, media_index)
            return [_mark(row, duplicates.get(row["media_id"]), valid) for row in rows]
    raise StorageUnavailableError(f"{cache.log.table}: another batch was first {_TRIES} times")


def find(hashes: Hashes, earlier: Hashes) -> list[Match | None]:
    """Match each image with the nearest original, the earliest if several are as near; an original has no match.

    Indexes of originals count those in ``earlier`` first, then the images of ``hashes`` that have no match.
    """
    nearest = _find_earlier(hashes, earlier)
    matches: list[Match | None] = []
    originals = np.empty_like(hashes)
    count = 0
    for index, pair in enumerate(hashes):
        bits = np.bitwise_count(originals[:count] ^ pair)
        (near,) = np.nonzero((bits[:, 0] <= PHASH_BITS) & (bits[:, 1] <= DHASH_BITS))
        candidates = [Match(int(bits[other, 0]), len(earlier) + other) for other in near.tolist()]
        if index in nearest:
            candidates.append(nearest[index])
        matches.append(min(candidates, default=None))
        if not candidates:
            originals[count] = pair
            count += 1
    return matches


def _find_earlier(hashes: Hashes, earlier: Hashes) -> dict[int, Match]:
    """Match images with ``earlier`` originals, by the index of the image."""
    nearest: dict[int, Match] = {}
    for start in range(0, len(earlier), _BLOCK):
        block = earlier[start : start + _BLOCK]
        bits = np.bitwise_count(hashes[:, None, 0] ^ block[:, 0])
        pairs = np.argwhere(bits <= PHASH_BITS)
        near = np.bitwise_count(hashes[pairs[:, 0], 1] ^ block[pairs[:, 1], 1]) <= DHASH_BITS
        for image, original in pairs[near].tolist():
            match = Match(int(bits[image, original]), start + original)
            nearest[image] = min(nearest.get(image, match), match)
    return nearest


def _name_originals(
    compared: list[StagedRow], matches: list[Match | None], names: list[str], earlier: int, cache: HashLogCache
) -> dict[str, tuple[str, int]]:
    """Map the ``media_id`` of each near duplicate to its original and the distance.

    ``names`` are the originals of this batch, and ``earlier`` is the number of originals before them.
    """
    names_by_seq: dict[int, list[str]] = {}
    duplicates = {}
    for row, match in zip(compared, matches, strict=True):
        if match is None:
            continue
        if match.original >= earlier:
            name = names[match.original - earlier]
        else:
            seq, position = cache.locate(match.original)
            if seq not in names_by_seq:
                names_by_seq[seq] = cache.log.names(seq)
            name = names_by_seq[seq][position]
        duplicates[row["media_id"]] = (name, match.distance)
    return duplicates


def _mark(row: StagedRow, duplicate: tuple[str, int] | None, valid: set[str]) -> StagedRow:
    if duplicate is None or duplicate[0] not in valid:
        return row
    original, distance = duplicate
    return row | {"duplicate_of": original, "duplicate_distance": distance}
