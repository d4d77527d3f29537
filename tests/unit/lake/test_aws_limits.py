"""AWS in memory refuses what AWS refuses."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from imagelake.run.aws import client
from imagelake.run.errors import StorageDeniedError
from tests.support.fake_lake import BUCKET, IMAGE_KEYS, Lake


@pytest.mark.parametrize(
    ("key", "metadata", "code"),
    [("図" * 342, {}, "KeyTooLongError"), ("a", {"url": "x" * 2_046}, "MetadataTooLarge")],
)
def test_s3_refuses_long_keys_and_metadata(lake: Lake, key: str, metadata: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError, match=code):
        client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"", Metadata=metadata)
    with pytest.raises(StorageDeniedError):
        lake.bucket.put(key, b"", "text/plain", metadata)


def test_s3_takes_the_longest_key_and_metadata(lake: Lake) -> None:
    lake.bucket.put("a" * 1024, b"", "text/plain", {"url": "x" * 2_045})


def test_dynamodb_refuses_long_keys_and_large_items(lake: Lake) -> None:
    with pytest.raises(StorageDeniedError):
        lake.media_index.get_many(["x" * 2_049])
    for item in (
        {"media_id": "図" * 683},
        {"media_id": "a", "author": "図" * 683},
        {"media_id": "a", "x": "y" * 410_000},
    ):
        with pytest.raises(ClientError, match="ValidationException"):
            client("dynamodb").put_item(TableName=IMAGE_KEYS, Item={name: {"S": text} for name, text in item.items()})
