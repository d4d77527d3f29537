"""The hash log: the perceptual hashes of all originals, one numbered entry per batch.

Entries are only added, so they give all batches one order. An entry takes 16 bytes per original, and every batch reads
it. The names of the originals are a second item, which is read only after a match: DynamoDB bills a read by its size.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from botocore.exceptions import ClientError
from numpy.typing import NDArray

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import StorageUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import UniversalAttributeValueTypeDef

# Start a new log if the hashes, or the way to compute them, change.
_HASHES, _NAMES = "phash-1", "names-1"
# Another batch took this sequence number, or is writing it: read the log again and retry.
_CONFLICTS = {"None", "ConditionalCheckFailed", "TransactionConflict"}
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_THROTTLED = {"ProvisionedThroughputExceeded", "ThrottlingError"}


# One row per original: phash and dhash.
Hashes = NDArray[np.uint64]


class Entry(NamedTuple):
    """One batch in the log: its sequence number, from 1, and its originals as big-endian pairs of phash and dhash."""

    seq: int
    batch_id: str
    hashes: bytes


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
                    yield Entry(int(item["seq"]["N"]), item["batch_id"]["S"], item["hashes"]["B"])

    def append(self, entry: Entry, names: list[str]) -> bool:
        """Add an entry and the names of its originals; return ``False`` if its sequence number is taken."""
        seq: dict[str, UniversalAttributeValueTypeDef] = {"seq": {"N": str(entry.seq)}}
        packed = zlib.compress(json.dumps(names).encode())
        items: list[dict[str, UniversalAttributeValueTypeDef]] = [
            {"log": {"S": _HASHES}, **seq, "batch_id": {"S": entry.batch_id}, "hashes": {"B": entry.hashes}},
            {"log": {"S": _NAMES}, **seq, "names": {"B": packed}},
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
        with aws_errors(self.table):
            item = self._dynamo.get_item(
                TableName=self.table, Key={"log": {"S": _NAMES}, "seq": {"N": str(seq)}}, ConsistentRead=True
            )["Item"]
        names: list[str] = json.loads(zlib.decompress(item["names"]["B"]))
        return names


class HashLogCache:
    """All entries of a log that this worker has read so far.

    ``hashes`` has the originals of all entries; ``offsets[seq - 1]`` is the index of an entry's first original.
    """

    def __init__(self, log: HashLog) -> None:
        self.log = log
        self.hashes: Hashes = np.empty((0, 2), np.uint64)
        self.offsets = [0]
        self.seq_by_batch: dict[str, int] = {}

    @property
    def next_seq(self) -> int:
        """Return the sequence number after the last entry."""
        return len(self.offsets)

    def refresh(self, *, consistent: bool) -> None:
        """Read the entries that were added since."""
        parts = [self.hashes]
        try:
            for entry in self.log.read(self.next_seq - 1, consistent=consistent):
                if entry.seq != self.next_seq:
                    # A read that is not consistent can miss an entry and still return the next one.
                    break
                parts.append(np.frombuffer(entry.hashes, (">u8", 2)))
                self.offsets.append(self.offsets[-1] + len(parts[-1]))
                self.seq_by_batch[entry.batch_id] = entry.seq
        finally:
            # Keep the hashes of the entries before an error too, because their offsets are kept.
            self.hashes = np.concatenate(parts)

    def before(self, seq: int) -> Hashes:
        """Return the originals of all entries before this one."""
        return self.hashes[: self.offsets[seq - 1]]

    def locate(self, original: int) -> tuple[int, int]:
        """Return the sequence number of an original's entry, and the position of the original in it."""
        seq = bisect_right(self.offsets, original)
        return seq, original - self.offsets[seq - 1]
