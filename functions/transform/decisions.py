"""The decided rows of a batch: every item gets one row, whatever happens to the workers that process it.

A row is decided first, in a part of the batch, and its raw image is stored after that. So every raw image has a row,
even if a worker dies, or if two of them get different images from one URL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Part, Parts, StagedRow
from imagelake.lake.rows import Row
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

    ``damaged`` are rows that were decided, but have to be made again. ``waiting`` are rows that another worker has
    decided without storing their raw images so far, each with the time after which that worker cannot be alive.
    """

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._parts = Parts(bucket, batch)
        # Its threads end with this object.
        self._pool = ThreadPoolExecutor(THREADS)
        numbers = self._parts.numbers()
        self._known = dict(zip(numbers, self._pool.map(self._parts.read, numbers), strict=True))
        decided = [row for part in self._known.values() for row in part.rows.values()]
        absent = self._without_raw_image(decided)
        self.rows: dict[str, StagedRow] = {row["media_id"]: row for row in decided if row["media_id"] not in absent}
        self.damaged = [row for part in self._known.values() for row in part.damaged]
        self.waiting: dict[str, datetime] = {}

    def decide(self, number: int, results: list[Result]) -> None:
        """Decide the rows of a part and store their raw images; a row that is decided already stays.

        A decided row without a raw image is written again before the image is stored, even if the result has the same
        bytes. So of several workers that find such a row, only one stores a raw image.
        """
        by_id = {result.row["media_id"]: result for result in results}
        part = self._known.get(number, Part())
        for _ in attempts(_TRIES):
            new, waiting = self._choose(part, by_id)
            rows = self._parts.write(number, part, new) if new else part.rows
            if rows is not None:
                self._store_raw_images((rows[row["media_id"]] for row in new), results)
                self.rows.update((media_id, rows[media_id]) for media_id in by_id if media_id not in waiting)
                written_at = datetime.now(UTC) if new or part.version is None else part.version.modified_at
                self.waiting |= dict.fromkeys(waiting, written_at + _LONGEST_LIFE)
                return
            part = self._parts.read(number)
        raise StorageUnavailableError(f"part {number}: {_TRIES} times another worker was first")

    def check_waiting(self) -> None:
        """Raise an error if rows are waiting for their raw images."""
        if self.waiting:
            raise StorageUnavailableError(
                f"{len(self.waiting)} raw images are not stored yet, and their URLs do not give them again, the first "
                f"is of {min(self.waiting)}; if the worker that has them died, the batch can go on after "
                f"{max(self.waiting.values()):%H:%M} UTC"
            )

    def _choose(self, part: Part, results: Mapping[str, Result]) -> tuple[list[Row], set[str]]:
        """Return the rows to write into a part, and the media ids of decided rows that wait for their raw images.

        - A row that is not decided is new.
        - A decided row whose raw image is stored stays as it is.
        - If the image is missing, and the result has the same bytes or the worker is dead, the row is written again.
        - If the image is missing, and the result has other bytes, the row waits: the worker may still store the image.
        """
        absent = self._without_raw_image([row for media_id, row in part.rows.items() if media_id in results])
        new: list[Row] = []
        waiting: set[str] = set()
        for media_id, result in results.items():
            decided = part.rows.get(media_id)
            if decided is None:
                new.append(result.row)
            elif media_id in absent:
                if result.row["raw_sha256"] == decided["raw_sha256"] or _is_old(part):
                    new.append(result.row)
                else:
                    waiting.add(media_id)
        return new, waiting

    def _store_raw_images(self, rows: Iterable[StagedRow], results: list[Result]) -> None:
        """Store the raw images of decided rows if the bytes are at hand."""
        bodies = {result.row["raw_sha256"]: result.raw for result in results if result.raw is not None}
        sha256s = [sha256 for sha256 in dict.fromkeys(row["raw_sha256"] for row in rows) if sha256 in bodies]
        put = self._bucket.put_once
        list(self._pool.map(lambda sha256: put(object_keys.raw_image(sha256), bodies[sha256]), sha256s))

    def _without_raw_image(self, rows: list[StagedRow]) -> set[str]:
        """Return the media ids of rows whose raw image should be in the lake but is not."""
        keys = list(dict.fromkeys(row["raw_key"] for row in rows if row["raw_key"] is not None))
        found = self._pool.map(self._bucket.exists, keys)
        stored = {key for key, exists in zip(keys, found, strict=True) if exists}
        return {row["media_id"] for row in rows if row["raw_key"] is not None and row["raw_key"] not in stored}


def _is_old(part: Part) -> bool:
    """Return whether the worker that wrote a part cannot be alive."""
    return part.version is not None and datetime.now(UTC) > part.version.modified_at + _LONGEST_LIFE
