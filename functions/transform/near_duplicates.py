"""Mark images that look like an earlier image of any network and day.

The hash log decides which image is earlier: a batch is compared with all entries before its own. An entry is written
only if its sequence number is free. So if two batches run at the same time, one of them is first, and the other one is
compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log import HASHES, Entry, Hashes, HashLog
from imagelake.lake.hash_log_cache import HashLogCache
from imagelake.lake.hash_log_snapshot import HashLogSnapshot
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.originals import with_image
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts
from transform.comparisons import Match, compare, hashes_of

MIN_CONTRAST = 0.05
# Give up after losing the conditional write this many times.
_TRIES = 40
_PAUSE_SECONDS = 0.1


@cache
def hash_log_cache(table: str, bucket: str) -> HashLogCache:
    """Return the cache of a table, one per worker."""
    return HashLogCache(HashLog(table), HashLogSnapshot(Bucket(bucket)))


def is_comparable(row: Mapping[str, Any]) -> bool:
    """Return ``False`` for a flat image: its hashes are noise and equal others by accident."""
    return not row["is_low_information"] and bool(row["contrast"] >= MIN_CONTRAST)


def mark_near_duplicates(
    rows: list[StagedRow], batch: Batch, cache: HashLogCache, media_index: MediaIndex, bucket: Bucket
) -> list[StagedRow]:
    """Name the original in the row of each near duplicate, add all other images to the hash log, and return the rows.

    An original without an image in a row is not named. A batch that is done again gets the same result: its entry is
    in the log, and only entries before it count. Raises ``StorageUnavailableError`` if other batches write first every
    time.
    """
    compared = [row for row in rows if row["status"] == Status.OK and is_comparable(row)]
    if not compared:
        return rows
    hashes = hashes_of(compared)
    for tries in attempts(_TRIES, max_pause=_PAUSE_SECONDS):
        cache.refresh(consistent=tries > 0)
        seq = cache.seq_by_batch.get(batch.work_id)
        earlier = cache.before(seq or cache.next_seq)
        matches = find(hashes, earlier)
        originals = [index for index, match in enumerate(matches) if match is None]
        entry = Entry(cache.next_seq, batch.work_id, batch.dt, hashes[originals, :HASHES])
        names = [compared[index]["media_id"] for index in originals]
        if seq or cache.log.append(entry, names):
            cache.save_old_entries(batch.dt)
            duplicates = _name_originals(compared, matches, names, len(earlier), cache)
            # An original that was erased after its hash was read has no name.
            named = dict.fromkeys(original for original, _ in duplicates.values() if original)
            valid = with_image(named, rows, media_index, bucket)
            return [_mark(row, duplicates.get(row["media_id"]), valid) for row in rows]
    raise StorageUnavailableError(f"{cache.log.table}: another batch was first {_TRIES} times")


def find(hashes: Hashes, earlier: Hashes) -> list[Match | None]:
    """Match each image with the nearest original, the earliest if several are as near; an original has no match.

    Indexes of originals count those in ``earlier`` first, then the images of ``hashes`` that have no match.
    """
    nearest: dict[int, Match] = {}
    for image, match in compare(hashes, earlier):
        nearest[image] = min(nearest.get(image, match), match)
    # Matches with images before it in the batch.
    within: dict[int, list[Match]] = {}
    for image, match in compare(hashes, hashes):
        if match.original < image:
            within.setdefault(image, []).append(match)
    matches: list[Match | None] = []
    # The index of each original of this batch.
    originals: dict[int, int] = {}
    for image in range(len(hashes)):
        candidates = [
            match._replace(original=originals[match.original])
            for match in within.get(image, ())
            if match.original in originals
        ]
        if image in nearest:
            candidates.append(nearest[image])
        matches.append(min(candidates, default=None))
        if not candidates:
            originals[image] = len(earlier) + len(originals)
    return matches


def _name_originals(
    compared: list[StagedRow], matches: list[Match | None], names: list[str], earlier: int, cache: HashLogCache
) -> dict[str, tuple[str, Match]]:
    """Map the ``media_id`` of each near duplicate to its original and the match.

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
        duplicates[row["media_id"]] = (name, match)
    return duplicates


def _mark(row: StagedRow, duplicate: tuple[str, Match] | None, valid: set[str]) -> StagedRow:
    # An item finds itself if its entry is of a rebuild that did not end.
    if duplicate is None or duplicate[0] not in valid or duplicate[0] == row["media_id"]:
        return row
    original, match = duplicate
    return row | {"duplicate_of": original, "duplicate_distance": match.distance, "duplicate_kind": match.kind}
