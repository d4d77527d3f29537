"""The work of Write Parquet on one batch: make its file from what is staged, and never undo another worker's."""

from __future__ import annotations

import pandas as pd

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.dataset_file import is_made_from, read_version, write_file
from imagelake.lake.rows import Row
from imagelake.lake.staging import Staging
from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts
from parquet.table import erase, read, replace_rows, to_parquet, to_table

_TRIES = 5


def write_batch(batch: Batch, bucket: Bucket, listed: SuppressionList) -> int:
    """Write the file of a batch unless it is there, without what is listed; return the number of the batch's rows.

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
        table = _new_table(batch, bucket, rows, version)
        if table is not None and write_file(bucket, batch, to_parquet(erase(table, listed)), staged_sha256, version):
            return len(rows)
        version = read_version(bucket, batch)
    raise StorageUnavailableError(f"{key}: {_TRIES} times another worker was first")


def _new_table(batch: Batch, bucket: Bucket, rows: list[Row], version: Version | None) -> pd.DataFrame | None:
    """Make the table of the new file; return ``None`` if the old file has changed since ``version``.

    A retry replaces some rows of the file and keeps the others.
    """
    table = to_table(rows)
    if not batch.retried_by:
        return table
    key = object_keys.parquet(batch)
    if version is None:
        raise ObjectMissingError(f"{key} does not exist")
    old = read(bucket, key, version)
    return None if old is None else replace_rows(old, table)
