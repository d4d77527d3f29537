"""The staged rows of a batch: what Transform hands over to the steps after it. Their images are in the batch's parts.

The first line is the SHA-256 of the others. The second one has the versions of the code that made the images, if they
are known; each of the others is a row. Of several workers on one batch, the first one to stage its rows wins, and the
others use them. So nobody can change what another step has read.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.rows import Row, Status
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.observability import logger
from imagelake.run.retries import attempts

_WRITE_TRIES = 5
_MADE_WITH = "made_with"


class Staged(NamedTuple):
    """Staged rows, the SHA-256 that stands for them and their images, and the versions that made them, by name."""

    rows: list[StagedRow]
    sha256: str
    made_with: Mapping[str, str]


class Staging:
    """The staged rows of one batch; a read raises ``DamagedObjectError`` if they are not as they were written."""

    def __init__(self, bucket: Bucket, batch: Batch) -> None:
        self._bucket = bucket
        self._batch = batch
        self._parts = Parts(bucket, batch)
        self._key = object_keys.staged(batch)

    def write(
        self, rows: Iterable[StagedRow], *, made_with: Mapping[str, str] | None = None, again: bool = False
    ) -> dict[str, int]:
        """Stage the rows of a batch unless it is staged; count the rows that are staged then by status.

        Damaged rows are replaced; with ``again``, intact ones too.
        """
        rows = list(rows)
        body = pack(rows, made_with or {})
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
        staged = self.read_staged()
        return staged.rows, staged.sha256

    def read_staged(self) -> Staged:
        """Read the rows alone, and all that is known of them."""
        staged = unpack(self._key, self._bucket.get(self._key))
        return staged._replace(sha256=self._name(staged.sha256))

    def read(self) -> tuple[list[Row], str]:
        """Read the rows with all images, and the SHA-256 that stands for them."""
        rows, sha256 = self.read_rows()
        return self.attach_images(rows), sha256

    def attach_images(self, rows: Iterable[StagedRow]) -> list[Row]:
        """Return staged rows with their images."""
        return self._parts.attach_images(rows)

    def read_image(self, row: StagedRow) -> bytes:
        """Read the one image of a row that has one."""
        image = row["image"]
        assert image is not None
        return self._parts.read_image(image)

    def _name(self, sha256: str) -> str:
        """Return the SHA-256 by which a file names these rows; two rebuilds can stage the same rows."""
        rebuilt_by = self._batch.rebuilt_by
        return hashlib.sha256(f"{rebuilt_by}\n{sha256}".encode()).hexdigest() if rebuilt_by else sha256


def pack(rows: Iterable[StagedRow], made_with: Mapping[str, str]) -> bytes:
    """Make the object of staged rows; ``made_with`` is empty if the versions are not known."""
    values = [*([{_MADE_WITH: dict(made_with)}] if made_with else []), *rows]
    lines = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    return hashlib.sha256(lines).hexdigest().encode() + b"\n" + lines


def unpack(key: str, body: bytes) -> Staged:
    """Read an object of staged rows; its SHA-256 is the one of the object itself."""
    sha256, _, lines = body.partition(b"\n")
    if hashlib.sha256(lines).hexdigest().encode() != sha256:
        raise DamagedObjectError(f"the rows in {key} do not match their checksum")
    values = [json.loads(line) for line in lines.splitlines()]
    # Rows that were staged by an older version of this code have no versions before them.
    has_versions = bool(values) and _MADE_WITH in values[0]
    made_with = values[0][_MADE_WITH] if has_versions else {}
    return Staged(values[1:] if has_versions else values, sha256.decode(), made_with)


def _count(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts = Counter(row["status"] for row in rows)
    return {status.value: counts[status] for status in Status}
