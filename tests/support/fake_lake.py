"""A lake in memory: the bucket and the tables with the keys and indexes of ``template.yaml``."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any
from unittest.mock import patch

import boto3
from moto import mock_aws

from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log import HashLog
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.suppression import Suppressions
from imagelake.run.aws import client
from tests.support.private_parts import improved_moto, stored_in_memory

BUCKET, IMAGE_KEYS, IMAGE_HASHES, BOOKMARKS = "lake", "image-keys", "image-hashes", "bookmarks"
SUPPRESSIONS, SUPPRESSION_KEY = "suppressions", "suppression-key"

# The variables of all functions, as ``template.yaml`` sets them.
ENVIRONMENT = {
    "BUCKET_NAME": BUCKET,
    "IMAGE_KEYS_TABLE": IMAGE_KEYS,
    "IMAGE_HASHES_TABLE": IMAGE_HASHES,
    "BOOKMARKS_TABLE": BOOKMARKS,
    "SUPPRESSION_TABLE": SUPPRESSIONS,
    "SUPPRESSION_KEY": SUPPRESSION_KEY,
    "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:ImagePipeline",
    "REBUILD_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:Rebuild",
    "TRUSTED_ORIGINS": "",
    "CONTACT": "",
    "BUDGET_USD_PER_DAY": "0",
    "BUDGET_USD_PER_MONTH": "0",
    "SECRETS_PREFIX": "imagelake/",
    "EVENT_BUS_NAME": "bus",
    "BATCH_SIZE": "500",
    "POSTS_PER_FEED": "1000",
    "FAILURE_TOLERANCE_PERCENT": "20",
    "RUN_FAILURE_TOLERANCE_PERCENT": "50",
    "POINT_IN_TIME_RECOVERY_DAYS": "35",
    "IS_LOCAL": "false",
    "LOG_RETENTION_DAYS": "30",
    "STACK_NAME": "imagelake",
    "RUNBOOK": "https://example.com/runbook",
    "POWERTOOLS_SERVICE_NAME": "test",
}


@contextmanager
def aws_in_memory() -> Iterator[None]:
    """AWS without any resources."""
    # A session reads configuration files and registers hundreds of handlers, and moto would forget the default one.
    with improved_moto(), mock_aws(), patch("boto3.DEFAULT_SESSION", _session()):
        yield


@cache
def _session() -> Any:
    return boto3.Session()


@cache
def _empty_lake() -> bytes:
    """Make the bucket and the tables once. A copy of what moto then stores takes a tenth of the time."""
    s3, dynamodb = client("s3"), client("dynamodb")
    s3.create_bucket(Bucket=BUCKET)
    dynamodb.create_table(
        TableName=IMAGE_KEYS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": "S"}
            for name in ("media_id", "author", "post_id", "duplicate_of", "dt")
        ],
        KeySchema=[{"AttributeName": "media_id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-author",
                "KeySchema": [
                    {"AttributeName": "author", "KeyType": "HASH"},
                    {"AttributeName": "post_id", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
            {
                "IndexName": "by-duplicate-of",
                "KeySchema": [
                    {"AttributeName": "duplicate_of", "KeyType": "HASH"},
                    {"AttributeName": "dt", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            },
        ],
    )
    dynamodb.create_table(
        TableName=IMAGE_HASHES,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "log", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        KeySchema=[{"AttributeName": "log", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
    )
    dynamodb.create_table(
        TableName=SUPPRESSIONS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("list", "entry")],
        KeySchema=[{"AttributeName": "list", "KeyType": "HASH"}, {"AttributeName": "entry", "KeyType": "RANGE"}],
    )
    dynamodb.create_table(
        TableName=BOOKMARKS,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "feed_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "feed_id", "KeyType": "HASH"}],
    )
    return pickle.dumps([vars(backend) for backend in stored_in_memory()])


class Lake:
    """Everything that the steps store, for tests to read."""

    def __init__(self) -> None:
        for backend, state in zip(stored_in_memory(), pickle.loads(_empty_lake()), strict=True):
            vars(backend).update(state)
        self._open(BUCKET, IMAGE_KEYS, IMAGE_HASHES)

    def _open(self, bucket: str, media_index: str, image_hashes: str) -> None:
        self.bucket = Bucket(bucket)
        self.media_index = MediaIndex(media_index)
        self.image_hashes = HashLog(image_hashes)
        self._image_keys_table = media_index

    @classmethod
    def deployed(cls, outputs: dict[str, str]) -> Lake:
        """The lake of a deployed stack."""
        lake = cls.__new__(cls)
        lake._open(outputs["BucketName"], outputs["ImageKeysTableName"], outputs["ImageHashesTableName"])
        return lake

    def put_bookmark(self, feed_id: str, newest_id: str, newest_at: str) -> None:
        """Write a bookmark as the state Commit Bookmark does."""
        values = {"feed_id": feed_id, "newest_id": newest_id, "newest_at": newest_at, "run_id": "run-0"}
        client("dynamodb").put_item(TableName=BOOKMARKS, Item={name: {"S": value} for name, value in values.items()})

    def suppress(self, *names: tuple[str, ...]) -> None:
        """Put names on the suppression list."""
        with suppress(client("secretsmanager").exceptions.ResourceExistsException):
            client("secretsmanager").create_secret(Name=SUPPRESSION_KEY, SecretString="a key")
        Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).add(names)

    def change_suppression_key(self, key: str) -> None:
        """Replace the key of the hashes in the suppression list."""
        client("secretsmanager").put_secret_value(SecretId=SUPPRESSION_KEY, SecretString=key)

    def mapping(self) -> dict[str, dict[str, Any]]:
        """Every media item of the media index, by media id."""
        return {key: entry for key, entry in self._entries().items() if not key.startswith("sha256/")}

    def owners(self) -> dict[str, dict[str, Any]]:
        """Every raw image of the media index, by SHA-256."""
        entries = self._entries().items()
        return {key.removeprefix("sha256/"): entry for key, entry in entries if key.startswith("sha256/")}

    def _entries(self) -> dict[str, dict[str, Any]]:
        found = client("dynamodb").scan(TableName=self._image_keys_table)["Items"]
        return self.media_index.get_many(item["media_id"]["S"] for item in found)

    def indexed(self, index: str, key: str, value: str) -> list[str]:
        """The media ids that an index of the table finds."""
        found = client("dynamodb").query(
            TableName=IMAGE_KEYS,
            IndexName=index,
            KeyConditionExpression=f"{key} = :value",
            ExpressionAttributeValues={":value": {"S": value}},
        )
        return sorted(item["media_id"]["S"] for item in found["Items"])

    def hashes(self) -> list[dict[str, Any]]:
        """Every item of the hash log."""
        items: list[dict[str, Any]] = client("dynamodb").scan(TableName=IMAGE_HASHES)["Items"]
        return items

    def _with_metadata(self, key: str) -> tuple[bytes, dict[str, str]]:
        body, version = self.bucket.get_with_version(key)
        return body, version.metadata

    def stored(self) -> dict[str, Any]:
        """Everything: every object with its metadata, the media index and the hash log."""
        objects = {key: self._with_metadata(key) for key in self.bucket.list("")}
        return {**objects, "mapping": self.mapping(), "owners": self.owners(), "hashes": self.hashes()}
