"""The dataset file of a batch: its metadata names the staged results that it was made from.

So a worker sees if its work is done already, and a step that cannot read Parquet sees if the file has the right rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.run.models import Batch

# The SHA-256 of each staged result, separated by spaces: the batch's own, then those of runs that retried items of it.
_STAGED = "staged-sha256"
# Hashes of the ids of rebuilds that have rewritten the file, the last one at the end. A later rebuild can write it
# before an earlier one has made its report.
_REBUILT_BY = "rebuilt-by"
_MAX_REBUILDS = 20
# S3 allows 2 KB of metadata, which is room for 31: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
_MAX_RETRIES = 20


def read_version(bucket: Bucket, batch: Batch) -> Version | None:
    """Return the version of a batch's file; ``None`` if there is no file."""
    return bucket.version(object_keys.parquet(batch))


def is_made_from(version: Version, staged_sha256: str) -> bool:
    """Return whether a file has the rows of a staged result."""
    return staged_sha256 in version.metadata.get(_STAGED, "").split()


def metadata_after(version: Version, replaced: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a file after staged results that it was made from were replaced, by their SHA-256.

    The former ones stay too, because they are replaced after the file.
    """
    made_from = version.metadata.get(_STAGED, "").split()
    if all(replaced.get(sha256, sha256) in made_from for sha256 in made_from):
        return version.metadata
    new = list(dict.fromkeys(replaced.get(sha256, sha256) for sha256 in made_from))
    former = [sha256 for sha256 in made_from if sha256 not in new]
    return version.metadata | {_STAGED: _listed([*new[:1], *former, *new[1:]])}


def is_rebuilt_by(version: Version, rebuild_id: str) -> bool:
    """Return whether a rebuild has rewritten a file."""
    return _short(rebuild_id) in version.metadata.get(_REBUILT_BY, "").split()


def is_read_version(version: Version | None, batch: Batch) -> bool:
    """Return whether a file is still the one that a rebuild has read."""
    return version is not None and version.etag.strip('"') == batch.read_etag


def find_difference(bucket: Bucket, batch: Batch, rows: int, staged_sha256: str) -> str | None:
    """Say why a batch's file does not have its staged rows; ``None`` if it has them. ``rows`` is their number."""
    if not rows:
        return None
    key = object_keys.parquet(batch)
    version = read_version(bucket, batch)
    if version is None:
        return f"{key} does not exist"
    if not is_made_from(version, staged_sha256):
        return f"{key} was not made from the rows in {object_keys.staged(batch)}"
    return None


def write_file(bucket: Bucket, batch: Batch, body: bytes, staged_sha256: str, before: Version | None) -> bool:
    """Write a batch's file unless it has changed since ``before``; return whether it was written.

    A retry or a rebuild adds its rows to those of ``before``; any other batch replaces them.
    """
    known = before.metadata if before is not None and batch.replaces_rows else {}
    return bucket.put_if_unchanged(
        object_keys.parquet(batch),
        body,
        "application/vnd.apache.parquet",
        before,
        {_STAGED: _listed([*known.get(_STAGED, "").split(), staged_sha256])} | _rebuilt_by(batch, known),
    )


def _listed(made_from: list[str]) -> str:
    """Join as many as there is room for; the batch's own is the first one, and a late worker must always find it."""
    return " ".join([*made_from[:1], *made_from[1:][-_MAX_RETRIES:]])


def _rebuilt_by(batch: Batch, known: Mapping[str, str]) -> dict[str, str]:
    earlier = known.get(_REBUILT_BY, "").split()
    rebuilds = [*earlier, _short(batch.rebuilt_by)] if batch.rebuilt_by else earlier
    return {_REBUILT_BY: " ".join(rebuilds[-_MAX_REBUILDS:])} if rebuilds else {}


def _short(rebuild_id: str) -> str:
    """Shorten the name of an execution, which has up to 80 characters of Unicode, where metadata is ASCII."""
    return hashlib.sha256(rebuild_id.encode()).hexdigest()[:16]
