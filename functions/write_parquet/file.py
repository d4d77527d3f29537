"""The work of Write Parquet on one batch: make its file from what is staged, and never undo another worker's."""

from __future__ import annotations

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import is_made_from, read_version, write_file
from imagelake.lake.staging import Staging
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts
from write_parquet.table import read, to_parquet

_TRIES = 5


def write_batch(batch: Batch, bucket: Bucket) -> int:
    """Write the file of a batch unless it is there; return the number of the batch's rows.

    If another worker writes the file first, start over: it may have made it from a newer staged result.
    """
    key = object_keys.parquet(batch)
    # A new file is written without asking for an old one: if there is one, the write fails.
    version = read_version(bucket, batch) if batch.retried_by else None
    for _ in attempts(_TRIES):
        # The version was read first: if the file changes after that, the write fails.
        rows, staged_sha256 = Staging(bucket, batch).read()
        if not rows or (version is not None and is_made_from(version, staged_sha256)):
            return len(rows)
        # A retry replaces some rows of the file and keeps the others.
        old_rows = read(bucket.get(key)) if batch.retried_by else []
        if write_file(bucket, batch, to_parquet(rows, old_rows), staged_sha256, version):
            return len(rows)
        version = read_version(bucket, batch)
    raise StorageUnavailableError(f"{key}: {_TRIES} times another worker was first")
