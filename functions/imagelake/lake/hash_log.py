"""The hash log: the perceptual hashes of all originals, one numbered entry per batch.

Entries are only added, so they give all batches one order. An entry takes 112 bytes per original, and every batch reads
it. The names of the originals are a second item, which is read only after a match: DynamoDB bills a read by its size.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from botocore.exceptions import ClientError
from numpy.typing import NDArray

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import StorageUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, UniversalAttributeValueTypeDef

# Start a new log if the hashes, or the way to compute them, change.
_HASHES, _NAMES = "phash-1", "names-1"
# An item of DynamoDB has at most 400 KB. The names of a batch above this are several items.
MAX_NAMES_BYTES = 390_000
# Another batch took this sequence number, or is writing it: read the log again and retry.
_CONFLICTS = {"None", "ConditionalCheckFailed", "TransactionConflict"}
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_THROTTLED = {"ProvisionedThroughputExceeded", "ThrottlingError"}


# One row per image: phash and dhash, then hashes of its views. An original has 14 of them.
Hashes = NDArray[np.uint64]
_WHOLE, _VIEWS = 2, 12
HASHES = _WHOLE + _VIEWS


class Entry(NamedTuple):
    """One batch in the log: its sequence number, from 1, its day, and the hashes of its originals."""

    seq: int
    batch_id: str
    dt: str
    hashes: Hashes


class HashLog:
    """Table of the hash log; raises only ``StorageDeniedError`` and ``StorageUnavailableError``."""

    def __init__(self, table: str) -> None:
        self.table = table
        self._dynamo = client("dynamodb")

    def read(self, after: int, *, consistent: bool) -> Iterator[Entry]:
        """Read the entries after a sequence number; a read that is not ``consistent`` costs half, but may miss some."""
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
                    yield _entry(item)

    def append(self, entry: Entry, names: list[str]) -> bool:
        """Add an entry and the names of its originals; return ``False`` if its sequence number is taken."""
        seq: dict[str, UniversalAttributeValueTypeDef] = {"seq": {"N": str(entry.seq)}}
        packed = zlib.compress(json.dumps(names).encode())
        pieces = [packed[start : start + MAX_NAMES_BYTES] for start in range(0, len(packed), MAX_NAMES_BYTES)]
        items: list[dict[str, UniversalAttributeValueTypeDef]] = [
            {
                "log": {"S": _HASHES},
                **seq,
                "batch_id": {"S": entry.batch_id},
                "dt": {"S": entry.dt},
                "hashes": {"B": pack(entry.hashes[:, :_WHOLE])},
                "views": {"B": pack(entry.hashes[:, _WHOLE:])},
            },
            *(
                {"log": {"S": _names(number)}, **seq, "names": {"B": piece}, "items": {"N": str(len(pieces))}}
                for number, piece in enumerate(pieces)
            ),
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
        """Read the ``media_id`` of each original of an entry."""
        first = self._names_item(seq, 0)
        # Earlier versions wrote one item without this number.
        count = int(first["items"]["N"]) if "items" in first else 1
        items = [first, *(self._names_item(seq, number) for number in range(1, count))]
        names: list[str] = json.loads(zlib.decompress(b"".join(bytes(item["names"]["B"]) for item in items)))
        return names

    def _names_item(self, seq: int, number: int) -> dict[str, AttributeValueTypeDef]:
        key: dict[str, UniversalAttributeValueTypeDef] = {"log": {"S": _names(number)}, "seq": {"N": str(seq)}}
        with aws_errors(self.table):
            return self._dynamo.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]


def _entry(item: dict[str, AttributeValueTypeDef]) -> Entry:
    whole = unpack(item["hashes"]["B"], _WHOLE)
    # Earlier versions stored no views and no day. A view that is 0 equals no other.
    views = unpack(item["views"]["B"], _VIEWS) if "views" in item else np.zeros((len(whole), _VIEWS), np.uint64)
    dt = item["dt"]["S"] if "dt" in item else ""
    return Entry(int(item["seq"]["N"]), item["batch_id"]["S"], dt, np.hstack([whole, views]))


def pack(hashes: Hashes) -> bytes:
    """Turn hashes into bytes, the most significant byte first."""
    return hashes.astype(">u8").tobytes()


def unpack(packed: bytes, columns: int) -> Hashes:
    """Turn bytes into hashes, so many for each image."""
    return np.frombuffer(packed, (">u8", columns)).astype(np.uint64)


def _names(number: int) -> str:
    """Return the log of the names' first item, or of one of those after it."""
    return f"{_NAMES}/{number}" if number else _NAMES
