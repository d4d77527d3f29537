"""Rows and images of a batch between the steps: one object, so that they always belong together.

Of several workers on one batch, the first one to stage its result wins; the others use what it staged. So nobody can
change what another step has read. A part is the work of a try that ran out of time, in the same format.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.rows import Row, Status
from imagelake.lake.staged_object import (
    HEADER_BYTES,
    Header,
    StagedRow,
    check_image,
    pack,
    read_header,
    read_rows,
    unpack,
)
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.observability import logger
from imagelake.run.retries import attempts

_BINARY = "application/octet-stream"
# The rows of a batch of 500 have about 0.9 MB, so that one read finds them all.
_FIRST_READ = 1 << 20
_WRITE_TRIES = 5


class Staging:
    """The staged rows and images of one batch; a read raises ``DamagedObjectError`` if they are not as written."""

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._batch = batch
        self._key = object_keys.staged(batch)

    def write(self, rows: Iterable[Row]) -> dict[str, int]:
        """Stage the rows of a batch unless it is staged; count the rows that are staged then by status.

        A damaged object is replaced.
        """
        body, staged, _ = pack(rows)
        before: Version | None = None
        for _ in attempts(_WRITE_TRIES):
            if self._bucket.put_if_unchanged(self._key, body, _BINARY, before):
                return _count(staged)
            # The version is read first: if it is replaced before the rows are read, the next write fails.
            before = self._bucket.version(self._key)
            counts = self.counts()
            if counts is not None:
                return counts
        raise StorageUnavailableError(f"{self._key}: {_WRITE_TRIES} times another worker was first")

    def counts(self) -> dict[str, int] | None:
        """Count the rows by status; return ``None`` if the batch is not staged, or if what is staged is damaged."""
        try:
            return _count(self.read()[0])
        except ObjectMissingError:
            return None
        except DamagedObjectError as error:
            logger.warning("staged again", extra={"batch": self._batch.model_dump(), "error": str(error)})
            return None

    def rows(self) -> list[StagedRow]:
        """Read the rows alone."""
        return self.read_rows()[0]

    def read_rows(self) -> tuple[list[StagedRow], str]:
        """Read the rows alone, and their SHA-256, which stands for rows and images."""
        header, data = self._read_start()
        missing = header.images_offset - len(data)
        if missing > 0:
            data += self._bucket.get_range(self._key, len(data), missing)
        return read_rows(self._key, header, data[HEADER_BYTES : header.images_offset]), header.sha256

    def read(self) -> tuple[list[Row], str]:
        """Read the rows with all images, and the SHA-256 that stands for them."""
        return unpack(self._key, self._bucket.get(self._key))

    def read_image(self, row: StagedRow) -> bytes:
        """Read the one image of a row that has one."""
        image = row["image"]
        assert image is not None
        return check_image(self._key, image, self._bucket.get_range(self._key, image["offset"], image["length"]))

    def save_part(self, rows: Iterable[Row], before: int) -> None:
        """Store the rows of an unfinished try; ``before`` is the number of rows in earlier parts."""
        body, _, sha256 = pack(rows)
        self._bucket.put(object_keys.part(self._batch, before, sha256), body, _BINARY)

    def load_parts(self) -> list[Row]:
        """Read the rows of all parts, one per media item; an item without an image may have one in another part."""
        rows: dict[str, Row] = {}
        for key in self._part_keys():
            try:
                part, _ = unpack(key, self._bucket.get(key))
            except (DamagedObjectError, ObjectMissingError) as error:
                # Another worker may have dropped it, because the batch is staged. Otherwise its rows are made again.
                logger.warning("part left out", extra={"batch": self._batch.model_dump(), "error": str(error)})
                continue
            for row in part:
                if rows.get(row["media_id"], {"status": Status.FAILED})["status"] == Status.FAILED:
                    rows[row["media_id"]] = row
        return list(rows.values())

    def drop_parts(self) -> None:
        """Delete the parts of a batch that is staged; parts that are left over expire like all objects in ``work/``."""
        for key in self._part_keys():
            self._bucket.delete(key)

    def _read_start(self) -> tuple[Header, bytes]:
        data = self._bucket.get_range(self._key, 0, _FIRST_READ)
        return read_header(self._key, data), data

    def _part_keys(self) -> list[str]:
        return self._bucket.list(object_keys.parts_prefix(self._batch))


def _count(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts = Counter(row["status"] for row in rows)
    return {status.value: counts[status] for status in Status}
