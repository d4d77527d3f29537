"""The metadata of a dataset file: it names the staged rows that the file was made from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imagelake.lake import object_keys
from imagelake.lake.bucket import Version
from imagelake.lake.dataset_file import is_made_from, is_rebuilt_by, metadata_after, write_file
from tests.support.factories import item, plan
from tests.support.fake_lake import Lake

BATCH = plan(item("one")).batch


def made_from(names: str) -> Version:
    return Version("etag", {"staged-sha256": names, "other": "stays"}, datetime.now(UTC))


@pytest.mark.parametrize(
    ("before", "replaced", "after"),
    [
        ("a", {}, "a"),
        ("a b", {"x": "y"}, "a b"),
        ("a", {"a": "A"}, "A a"),
        ("a b c", {"b": "B"}, "a b B c"),
        ("a b c", {"a": "A", "c": "C"}, "A a c b C"),
        ("A a", {"a": "A"}, "A a"),
        ("A a b B c", {"b": "B"}, "A a b B c"),
    ],
)
def test_staged_rows_that_will_be_replaced(before: str, replaced: dict[str, str], after: str) -> None:
    version = made_from(before)
    for _ in range(2):
        metadata = metadata_after(version, replaced)
        assert metadata == {"staged-sha256": after, "other": "stays"}
        version = version._replace(metadata=metadata)


def test_file_with_many_retries_still_names_its_first_rows() -> None:
    names = " ".join(f"{number:064}" for number in range(21))
    metadata = metadata_after(made_from(names), {f"{0:064}": "f" * 64, f"{20:064}": "e" * 64})
    version = made_from(metadata["staged-sha256"])
    assert len(metadata["staged-sha256"].split()) == 21
    assert is_made_from(version, "f" * 64)
    assert is_made_from(version, "e" * 64)


def test_file_names_its_rebuilds_until_there_are_too_many(lake: Lake) -> None:
    """S3 allows 2 KB of metadata, and the name of an execution has up to 80 characters of Unicode.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    key, version = object_keys.parquet(BATCH), None
    names = [f"{number:02}{'日' * 78}" for number in range(40)]
    assert write_file(lake.bucket, BATCH, b"first", "f" * 64, None)
    for number, name in enumerate(names):
        version = lake.bucket.version(key)
        batch = BATCH.model_copy(update={"rebuilt_by": name})
        assert write_file(lake.bucket, batch, name.encode(), f"{number:064}", version)
    # A retry keeps the names.
    retry = BATCH.model_copy(update={"retried_by": "retry-1"})
    assert write_file(lake.bucket, retry, b"retry", "e" * 64, lake.bucket.version(key))
    version = lake.bucket.version(key)
    assert version is not None
    assert [is_rebuilt_by(version, name) for name in names] == [False] * 20 + [True] * 20
    assert is_made_from(version, "f" * 64)
    assert sum(len(name) + len(value) for name, value in version.metadata.items()) < 2048
