"""The work of Write Parquet on one batch: make its file from what is staged, and never undo another worker's."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.dataset_file import is_made_from, is_read_version, read_version, write_file
from imagelake.lake.staging import Staged, Staging
from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import DamagedObjectError, FileChangedError, ObjectMissingError, StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts
from parquet.table import erase, read, read_made_with, read_without_images, replace_rows, stays, to_parquet, to_table

_TRIES = 5


def write_batch(batch: Batch, bucket: Bucket, listed: SuppressionList) -> int:
    """Write the file of a batch unless it is there, without what is listed; return the number of the batch's rows.

    If another worker writes the file first, start over: it may have made it from a newer staged result.
    """
    key = object_keys.parquet(batch)
    # A new file is written without asking for an old one: if there is one, the write fails.
    version = read_version(bucket, batch) if batch.replaces_rows else None
    for _ in attempts(_TRIES):
        # The version was read first: if the file changes after that, the write fails.
        staged, table = _read_staged(batch, bucket)
        number = len(staged.rows)
        if not number or (version is not None and is_made_from(version, staged.sha256)):
            return number
        if batch.rebuilt_by and not is_read_version(version, batch):
            raise FileChangedError(f"{key} has changed since the rebuild has read it")
        body = _new_body(batch, bucket, table, staged.made_with, listed, version)
        if body is not None and write_file(bucket, batch, body, staged.sha256, version):
            return number
        version = read_version(bucket, batch)
    raise StorageUnavailableError(f"{key}: {_TRIES} times another worker was first")


def _read_staged(batch: Batch, bucket: Bucket) -> tuple[Staged, pd.DataFrame]:
    """Read what is staged, and make a table of its rows; an erasure can have deleted what a rebuild has staged."""
    staging = Staging(bucket, batch)
    try:
        staged = staging.read_staged()
        # Outside the table, no image stays in memory.
        return staged, to_table(staging.attach_images(staged.rows))
    except (ObjectMissingError, DamagedObjectError) as error:
        if not batch.rebuilt_by:
            raise
        raise FileChangedError(f"the rows of batch {batch.batch_id} have to be made again: {error}") from error


def _new_body(
    batch: Batch,
    bucket: Bucket,
    table: pd.DataFrame,
    made_with: Mapping[str, str],
    listed: SuppressionList,
    version: Version | None,
) -> bytes | None:
    """Make the new file without what is listed; return ``None`` if the old one has changed since ``version``.

    A retry or a rebuild replaces some rows of the file and keeps the others.
    """
    versions = [made_with] if made_with else []
    if not batch.replaces_rows:
        return to_parquet(erase(table, listed), versions)
    key = object_keys.parquet(batch)
    if version is None:
        raise ObjectMissingError(f"{key} does not exist")
    old = read_without_images(bucket, key, version)
    if old is not None and stays(old, table):
        old = read(bucket, key, version)
        versions += [earlier for earlier in read_made_with(bucket, key) if earlier not in versions]
    if old is None:
        return None
    return to_parquet(erase(replace_rows(old, table), listed), versions)
