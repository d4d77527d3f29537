"""The decided rows of a batch: every item gets one row, whatever happens to the workers that process it.

A row is decided first, in a part of the batch, and its raw image is stored after that. So every raw image has a row,
even if a worker dies, or if two of them get different images from one URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Part, Parts, StagedRow
from imagelake.run.aws import THREADS
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts
from transform.results import Result

_TRIES = 10
# No worker is alive after this time: https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
_LONGEST_LIFE = timedelta(minutes=16)


class Decisions:
    """The decided rows of one batch whose raw images are stored: ``rows`` has them by media id.

    ``damaged`` are rows that were decided, but have to be made again.
    """

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._parts = Parts(bucket, batch)
        numbers = self._parts.numbers()
        with ThreadPoolExecutor(THREADS) as pool:
            self._known = dict(zip(numbers, pool.map(self._parts.read, numbers), strict=True))
        decided = [row for part in self._known.values() for row in part.rows.values()]
        absent = self._without_raw_image(decided)
        self.rows: dict[str, StagedRow] = {row["media_id"]: row for row in decided if row["media_id"] not in absent}
        self.damaged = [row for part in self._known.values() for row in part.damaged]

    def decide(self, number: int, results: list[Result]) -> None:
        """Decide the rows of a part and store their raw images; a row that is decided already stays."""
        by_id = {result.row["media_id"]: result for result in results}
        part = self._known.get(number, Part())
        for _ in attempts(_TRIES):
            # A worker that was first may have died before it stored its raw images.
            decided = [row for media_id, row in part.rows.items() if media_id in by_id]
            self._store_raw_images(decided, results)
            absent = self._without_raw_image(decided)
            if absent:
                self._check_age(number, part, absent)
            new = [result.row for media_id, result in by_id.items() if media_id not in part.rows or media_id in absent]
            rows = self._parts.write(number, part, new) if new else part.rows
            if rows is not None:
                self._store_raw_images((rows[row["media_id"]] for row in new), results)
                self.rows.update((media_id, rows[media_id]) for media_id in by_id)
                return
            part = self._parts.read(number)
        raise StorageUnavailableError(f"part {number}: {_TRIES} times another worker was first")

    def _store_raw_images(self, rows: Iterable[StagedRow], results: list[Result]) -> None:
        """Store the raw images of decided rows if the bytes are at hand."""
        bodies = {result.row["raw_sha256"]: result.raw for result in results if result.raw is not None}
        sha256s = [sha256 for sha256 in dict.fromkeys(row["raw_sha256"] for row in rows) if sha256 in bodies]
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda sha256: self._bucket.put_once(object_keys.raw_image(sha256), bodies[sha256]), sha256s))

    def _without_raw_image(self, rows: list[StagedRow]) -> set[str]:
        """Return the media ids of rows whose raw image should be in the lake but is not."""
        keys = list(dict.fromkeys(row["raw_key"] for row in rows if row["raw_key"] is not None))
        with ThreadPoolExecutor(THREADS) as pool:
            stored = {key for key, exists in zip(keys, pool.map(self._bucket.exists, keys), strict=True) if exists}
        return {row["media_id"] for row in rows if row["raw_key"] is not None and row["raw_key"] not in stored}

    def _check_age(self, number: int, part: Part, absent: set[str]) -> None:
        """Raise an error while the worker that decided these rows may still be about to store their raw images."""
        assert part.version is not None
        dead_at = part.version.modified_at + _LONGEST_LIFE
        if datetime.now(UTC) < dead_at:
            raise StorageUnavailableError(
                f"part {number}: the raw image of {min(absent)} is not stored yet, and its URL does not give it again; "
                f"if the worker that has it died, the batch can go on after {dead_at:%H:%M} UTC"
            )
