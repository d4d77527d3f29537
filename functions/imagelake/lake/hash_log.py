"""The log of perceptual hashes: one numbered entry per batch, only ever added to, so that all batches have an order.

An entry holds what every batch has to read, 16 bytes an original; the originals' names are in an item of their own,
because a read is billed by the size of what it reads and names are wanted only on a hit.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import StorageUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

# Another kind of hash, or another way to compute it, is another log.
_HASHES, _NAMES = "phash-1", "names-1"
# Somebody else has the number, or is writing it now: read on and try the next one.
_CONFLICTS = frozenset({"None", "ConditionalCheckFailed", "TransactionConflict"})
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_THROTTLED = frozenset({"ProvisionedThroughputExceeded", "ThrottlingError"})


class Entry(NamedTuple):
    """One batch in the log: its place, from 1, and its originals as big-endian pairs of phash and dhash."""

    seq: int
    batch_id: str
    hashes: bytes


class HashLog:
    """The log's table. Raises only ``StorageDeniedError`` or ``StorageUnavailableError``."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._dynamo = client("dynamodb")

    def read(self, after: int, *, consistent: bool) -> Iterator[Entry]:
        """The entries after a place, in order; unless ``consistent``, at half the price, the newest may be missing."""
        with aws_errors(self.table):
            pages = self._dynamo.get_paginator("query").paginate(
                TableName=self.table,
                KeyConditionExpression="#log = :log AND seq > :after",
                ExpressionAttributeNames={"#log": "log"},
                ExpressionAttributeValues={":log": {"S": _HASHES}, ":after": {"N": str(after)}},
                ConsistentRead=consistent,
            )
            for page in pages:
                for item in page["Items"]:
                    yield Entry(int(item["seq"]["N"]), item["batch_id"]["S"], bytes(item["hashes"]["B"]))

    def append(self, entry: Entry, names: list[str]) -> bool:
        """Add an entry and the ``media_id`` of each of its originals; ``False`` if its place is taken."""
        place: dict[str, UniversalAttributeValueTypeDef] = {"seq": {"N": str(entry.seq)}}
        packed = zlib.compress(json.dumps(names).encode())
        items: list[dict[str, UniversalAttributeValueTypeDef]] = [
            {"log": {"S": _HASHES}, **place, "batch_id": {"S": entry.batch_id}, "hashes": {"B": entry.hashes}},
            {"log": {"S": _NAMES}, **place, "names": {"B": packed}},
        ]
        with aws_errors(self.table):
            try:
                self._dynamo.transact_write_items(
                    TransactItems=[
                        {
                            "Put": {
                                "TableName": self.table,
                                "Item": item,
                                "ConditionExpression": "attribute_not_exists(seq)",
                            }
                        }
                        for item in items
                    ]
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "TransactionCanceledException":
                    raise
                reasons = {reason.get("Code", "None") for reason in error.response.get("CancellationReasons", [])}
                if reasons <= _CONFLICTS:
                    return False
                if reasons & _THROTTLED:
                    raise StorageUnavailableError(
                        f"{error.operation_name} on {self.table}: {sorted(reasons)}"
                    ) from error
                raise
        return True

    def names(self, seq: int) -> list[str]:
        """The ``media_id`` of each original of an entry."""
        with aws_errors(self.table):
            item = self._dynamo.get_item(
                TableName=self.table, Key={"log": {"S": _NAMES}, "seq": {"N": str(seq)}}, ConsistentRead=True
            )["Item"]
        names: list[str] = json.loads(zlib.decompress(bytes(item["names"]["B"])))
        return names
