"""Marks pictures that look like an earlier one of any network and day.

What is earlier is said by the log of hashes: a batch is compared with the entries before its own. The entry is put on
condition that its place is free, so that of two batches at once one is first and the other is compared with it.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagelake.lake.hash_log import Entry, HashLog
from imagelake.lake.rows import Status
from imagelake.lake.staging import Result
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts

# Bits of 64 that may differ; chosen by benchmarks/near_duplicates.py, see docs/near-duplicates.md.
PHASH_BITS, DHASH_BITS = 8, 12
MIN_CONTRAST = 0.05
# Pairs compared at once: 16 MB of differences, whatever the size of the log and the batch.
_PAIRS = 1 << 21
# Every conflict is another batch's success, so this many have to come between.
_TRIES = 40
_PAUSE_SECONDS = 0.1

Hashes = NDArray[np.uint64]


class Match(NamedTuple):
    """The original that a picture looks like: the differing bits of phash, and its number from the log's start."""

    distance: int
    original: int


class Known:
    """What this worker has read of one log, kept from batch to batch; grows only."""

    def __init__(self) -> None:
        self.hashes: Hashes = np.empty((0, 2), np.uint64)
        # The number of the first original after each entry.
        self.ends: list[int] = []
        self.places: dict[str, int] = {}

    def catch_up(self, log: HashLog, *, consistent: bool) -> None:
        """Read what is new."""
        new = [self.hashes]
        try:
            for entry in log.read(len(self.ends), consistent=consistent):
                if entry.seq != len(self.ends) + 1:
                    # A read that is not consistent may miss an entry and have the next.
                    break
                new.append(np.frombuffer(entry.hashes, ">u8").astype(np.uint64).reshape(-1, 2))
                self.ends.append((self.ends[-1] if self.ends else 0) + len(new[-1]))
                self.places[entry.batch_id] = entry.seq
        finally:
            # A page that cannot be read leaves what came before it, hashes and places alike.
            self.hashes = np.concatenate(new)

    def before(self, seq: int) -> Hashes:
        """The originals of the entries before a place."""
        return self.hashes[: self.ends[seq - 2] if seq > 1 else 0]


@cache
def known(table: str) -> Known:
    """One per table and worker."""
    return Known()


def is_comparable(row: dict[str, Any]) -> bool:
    """Whether the picture has enough in it: the hashes of a flat one are noise, and meet others by accident."""
    return not row["is_low_information"] and bool(row["contrast"] >= MIN_CONTRAST)


def mark_near_duplicates(results: list[Result], batch: Batch, log: HashLog) -> list[Result]:
    """Name in every picture that looks like an earlier one the original, and put the other pictures into the log.

    The same batch finds its entry again and is compared with the same pictures, however often it is done.
    Raises ``StorageUnavailableError`` if other batches are always first.
    """
    rows = [row for row, *_ in results if row["status"] == Status.OK and is_comparable(row)]
    if not rows:
        return results
    hashes = np.array([(row["phash"], row["dhash"]) for row in rows], np.int64).view(np.uint64)
    seen = known(log.table)
    for tries in attempts(_TRIES, max_pause=_PAUSE_SECONDS):
        seen.catch_up(log, consistent=tries > 0)
        place = seen.places.get(batch.work_id)
        earlier = seen.before(place or len(seen.ends) + 1)
        matches = find(hashes, earlier)
        originals = [number for number, match in enumerate(matches) if match is None]
        entry = Entry(len(seen.ends) + 1, batch.work_id, hashes[originals].astype(">u8").tobytes())
        if place or log.append(entry, [rows[number]["media_id"] for number in originals]):
            _mark(rows, matches, originals, len(earlier), seen, log)
            return results
    raise StorageUnavailableError(f"{log.table}: {_TRIES} times another batch was first")


def find(hashes: Hashes, earlier: Hashes) -> list[Match | None]:
    """For each picture its nearest original, the earliest of equals; ``None`` if it is an original itself.

    ``hashes`` and ``earlier`` are pairs of phash and dhash. Originals are those ``earlier`` and, numbered after them,
    those pictures of ``hashes`` that have no match.
    """
    best: dict[int, Match] = {}
    block = max(1, _PAIRS // max(1, len(hashes)))
    for start in range(0, len(earlier), block):
        part = earlier[start : start + block]
        bits = np.bitwise_count(hashes[:, None, 0] ^ part[None, :, 0])
        one, other = np.nonzero(bits <= PHASH_BITS)
        near = np.bitwise_count(hashes[one, 1] ^ part[other, 1]) <= DHASH_BITS
        for number, index in zip(one[near].tolist(), other[near].tolist(), strict=True):
            match = Match(int(bits[number, index]), start + index)
            best[number] = min(best.get(number, match), match)

    found: list[Match | None] = []
    originals = np.empty_like(hashes)
    count = 0
    for number, pair in enumerate(hashes):
        bits = np.bitwise_count(originals[:count] ^ pair)
        (near,) = np.nonzero((bits[:, 0] <= PHASH_BITS) & (bits[:, 1] <= DHASH_BITS))
        candidates = [Match(int(bits[index, 0]), len(earlier) + index) for index in near.tolist()]
        if number in best:
            candidates.append(best[number])
        found.append(min(candidates, default=None))
        if not candidates:
            originals[count] = pair
            count += 1
    return found


def _mark(
    rows: list[dict[str, Any]],
    matches: list[Match | None],
    originals: list[int],
    earlier: int,
    seen: Known,
    log: HashLog,
) -> None:
    names: dict[int, list[str]] = {}
    for row, match in zip(rows, matches, strict=True):
        if match is None:
            continue
        if match.original >= earlier:
            name = rows[originals[match.original - earlier]]["media_id"]
        else:
            index = bisect_right(seen.ends, match.original)
            if index not in names:
                names[index] = log.names(index + 1)
            name = names[index][match.original - (seen.ends[index - 1] if index else 0)]
        row.update(duplicate_of=name, duplicate_distance=match.distance)
