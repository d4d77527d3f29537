"""The staged rows of a batch: what Transform hands over to the steps after it. Their images are in the batch's parts.

The first line is the SHA-256 of the others; each of these is a row, as JSON. Of several workers on one batch, the first
one to stage its rows wins, and the others use them. So nobody can change what another step has read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.rows import Row, Status
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.observability import logger
from imagelake.run.retries import attempts

_WRITE_TRIES = 5


class Staging:
    """The staged rows of one batch; a read raises ``DamagedObjectError`` if they are not as they were written."""

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._batch = batch
        self._parts = Parts(bucket, batch)
        self._key = object_keys.staged(batch)

    def write(self, rows: Iterable[StagedRow], *, again: bool = False) -> dict[str, int]:
        """Stage the rows of a batch unless it is staged; count the rows that are staged then by status.

        Damaged rows are replaced; with ``again``, intact ones too.
        """
        rows = list(rows)
        body = pack(rows)
        for tries in attempts(_WRITE_TRIES):
            # The version is read first: if the rows are replaced before they are checked, the write fails.
            before = self._bucket.version(self._key)
            # Only the first time: if the write fails, another worker has replaced the rows, and its rows are valid.
            counts = None if before is None or (again and not tries) else self.counts()
            if counts is not None:
                return counts
            if self._bucket.put_if_unchanged(self._key, body, "application/x-ndjson", before):
                return _count(rows)
        raise StorageUnavailableError(f"{self._key}: {_WRITE_TRIES} times another worker was first")

    def counts(self) -> dict[str, int] | None:
        """Count the rows by status; return ``None`` if they are not staged, or if they or their images are damaged."""
        try:
            return _count(self.read()[0])
        except ObjectMissingError:
            return None
        except DamagedObjectError as error:
            logger.warning("batch is staged again", extra={"batch": self._batch.model_dump(), "error": str(error)})
            return None

    def rows(self) -> list[StagedRow]:
        """Read the rows alone."""
        return self.read_rows()[0]

    def read_rows(self) -> tuple[list[StagedRow], str]:
        """Read the rows alone, and their SHA-256, which stands for rows and images."""
        return unpack(self._key, self._bucket.get(self._key))

    def read(self) -> tuple[list[Row], str]:
        """Read the rows with all images, and the SHA-256 that stands for them."""
        rows, sha256 = self.read_rows()
        return self._parts.attach_images(rows), sha256

    def read_image(self, row: StagedRow) -> bytes:
        """Read the one image of a row that has one."""
        image = row["image"]
        assert image is not None
        return self._parts.read_image(image)


def pack(rows: Iterable[StagedRow]) -> bytes:
    """Make the object of staged rows."""
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    return hashlib.sha256(lines).hexdigest().encode() + b"\n" + lines


def unpack(key: str, body: bytes) -> tuple[list[StagedRow], str]:
    """Return the rows in an object of staged rows, and their SHA-256."""
    sha256, _, lines = body.partition(b"\n")
    if hashlib.sha256(lines).hexdigest().encode() != sha256:
        raise DamagedObjectError(f"the rows in {key} do not match their checksum")
    return [json.loads(line) for line in lines.splitlines()], sha256.decode()


def _count(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts = Counter(row["status"] for row in rows)
    return {status.value: counts[status] for status in Status}
