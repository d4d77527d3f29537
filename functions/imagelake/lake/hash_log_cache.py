"""The hash log in the memory of a worker, which lives for many batches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

import numpy as np

from imagelake.lake.hash_log import HASHES, Entry, Hashes, HashLog
from imagelake.lake.hash_log_snapshot import HashLogSnapshot

# Entries younger than this are not in the snapshot, and a snapshot that would grow by fewer originals is not written.
RECENT = timedelta(days=31)
MIN_ADDED = 10_000


class HashLogCache:
    """All entries of a log that this worker has read so far.

    ``hashes`` has the originals of all entries; ``offsets[seq - 1]`` is the index of an entry's first original.
    ``days`` has the day of each entry.
    """

    def __init__(self, log: HashLog, snapshot: HashLogSnapshot) -> None:
        self.log = log
        self._snapshot = snapshot
        self._forget()

    def _forget(self) -> None:
        # The number of erasures in the log before these entries were read.
        self._generation = 0
        # The number of entries that the snapshot has, as far as this worker knows.
        self._saved = 0
        self.hashes: Hashes = np.empty((0, HASHES), np.uint64)
        self.offsets = [0]
        self.days: list[str] = []
        self.seq_by_batch: dict[str, int] = {}

    @property
    def next_seq(self) -> int:
        """Return the sequence number after the last entry."""
        return len(self.offsets)

    def refresh(self, *, consistent: bool) -> None:
        """Read the entries that were added since; at first, those of the snapshot.

        After an erasure in the log, everything is read again.
        """
        generation = self.log.generation()
        if generation != self._generation:
            self._forget()
            self._generation = generation
        if self.next_seq == 1:
            self._add(self._snapshot.read(generation))
            self._saved = self.next_seq - 1
        self._add(self.log.read(self.next_seq - 1, consistent=consistent))

    def save_old_entries(self, today: str) -> None:
        """Save the entries from before the last month as a new snapshot, if they have become many."""
        last_day = f"{date.fromisoformat(today) - RECENT:%Y-%m-%d}"
        recent = (number for number, day in enumerate(self.days) if day >= last_day)
        old = next(recent, len(self.days))
        added = self.offsets[old] - self.offsets[self._saved]
        # A snapshot grows by at least a tenth, so all of them together cost no more than ten times the last one.
        if old > self._saved and added >= max(MIN_ADDED, self.offsets[self._saved] // 10):
            self._snapshot.write(list(self._entries(old)), self._generation, self.log.generation)
            self._saved = old

    def _add(self, entries: Iterable[Entry]) -> None:
        """Add the next entries; stop before a gap, because a read that is not consistent can miss an entry."""
        parts = [self.hashes]
        try:
            for entry in entries:
                if entry.seq != self.next_seq:
                    break
                parts.append(entry.hashes)
                self.offsets.append(self.offsets[-1] + len(entry.hashes))
                self.days.append(entry.dt)
                self.seq_by_batch[entry.batch_id] = entry.seq
        finally:
            # Keep the hashes of the entries before an error too, because their offsets are kept.
            self.hashes = np.concatenate(parts)

    def _entries(self, last: int) -> Iterator[Entry]:
        batches = {seq: batch_id for batch_id, seq in self.seq_by_batch.items()}
        for seq in range(1, last + 1):
            start, end = self.offsets[seq - 1 : seq + 1]
            yield Entry(seq, batches[seq], self.days[seq - 1], self.hashes[start:end])

    def before(self, seq: int) -> Hashes:
        """Return the originals of all entries before this one."""
        return self.hashes[: self.offsets[seq - 1]]

    def locate(self, original: int) -> tuple[int, int]:
        """Return the sequence number of an original's entry, and the position of the original in it."""
        seq = bisect_right(self.offsets, original)
        return seq, original - self.offsets[seq - 1]
