"""The oldest entries of the hash log in one object, so that a new worker reads them at once.

The object is a copy. The table keeps all entries, so the object can be deleted at any time. A snapshot from before an
erasure in the log is not read. It consists of

    checksum      the SHA-256 of all that follows
    length        of the description, 8 bytes
    description   JSON: the number of erasures in the log, and of each entry the batch, the day and how many originals
    hashes        112 bytes per original
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable

import numpy as np

from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log import HASHES, Entry, pack, unpack
from imagelake.lake.object_keys import HASH_LOG_SNAPSHOT
from imagelake.run.errors import ObjectMissingError
from imagelake.run.observability import logger

_GENERATION_BYTES = 24
_DIGEST, _LENGTH = hashlib.sha256().digest_size, struct.Struct(">Q")


class HashLogSnapshot:
    """The object with the oldest entries of the log."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def read(self, generation: int) -> list[Entry]:
        """Read the entries; none if there is no snapshot of this generation of the log, or if it is damaged."""
        try:
            body = self._bucket.get(HASH_LOG_SNAPSHOT)
        except ObjectMissingError:
            return []
        content = body[_DIGEST:]
        if hashlib.sha256(content).digest() != body[:_DIGEST]:
            logger.warning("snapshot of the hash log is damaged", extra={"key": HASH_LOG_SNAPSHOT})
            return []
        start = _LENGTH.size + _LENGTH.unpack_from(content)[0]
        written, described = json.loads(content[_LENGTH.size : start])
        if written != generation:
            return []
        hashes = unpack(content[start:], HASHES)
        ends = np.cumsum([count for _, _, count in described]).tolist()
        return [
            Entry(number + 1, batch_id, dt, hashes[end - count : end])
            for number, ((batch_id, dt, count), end) in enumerate(zip(described, ends, strict=True))
        ]

    def is_older_than(self, generation: int) -> bool:
        """Tell if there is a snapshot from before an erasure; only its beginning is read."""
        try:
            start = self._bucket.get_range(HASH_LOG_SNAPSHOT, _DIGEST + _LENGTH.size, _GENERATION_BYTES)
        except ObjectMissingError:
            return False
        written = re.match(rb"\[(\d+),", start)
        return written is None or int(written[1]) < generation

    def write(self, entries: list[Entry], generation: int, read_generation: Callable[[], int]) -> None:
        """Write the entries unless there are more already; what two workers write differs only in its length.

        Entries from before an erasure in the log are not written.
        """
        version = self._bucket.version(HASH_LOG_SNAPSHOT)
        if version is not None and len(self.read(generation)) >= len(entries):
            return
        batches = [[entry.batch_id, entry.dt, len(entry.hashes)] for entry in entries]
        described = json.dumps([generation, batches]).encode()
        packed = [pack(entry.hashes) for entry in entries]
        content = b"".join([_LENGTH.pack(len(described)), described, *packed])
        body = hashlib.sha256(content).digest() + content
        # The generation is read after the version: an erasure changes it after it has deleted the object.
        if read_generation() != generation:
            return
        self._bucket.put_if_unchanged(HASH_LOG_SNAPSHOT, body, "application/octet-stream", version)
