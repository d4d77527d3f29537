"""The hash log: the perceptual hashes of all originals, one numbered entry per batch.

Entries are only added, so they give all batches one order. An entry takes 112 bytes per original, and every batch reads
it. The names of the originals are a second item, which is read only after a match: DynamoDB bills a read by its size.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from botocore.exceptions import ClientError
from numpy.typing import NDArray

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.retries import attempts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        TransactWriteItemTypeDef,
        UniversalAttributeValueTypeDef,
    )

# Start a new log if the hashes, or the way to compute them, change.
_HASHES, _NAMES = "phash-1", "names-1"
# An item of DynamoDB has at most 400 KB. The names of a batch above this are several items.
MAX_NAMES_BYTES = 390_000
# Another batch took this sequence number, or is writing it: read the log again and retry.
_CONFLICTS = {"None", "ConditionalCheckFailed", "TransactionConflict"}
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_THROTTLED = {"ProvisionedThroughputExceeded", "ThrottlingError"}
_ERASE_TRIES = 10
# Entries count from 1.
_GENERATION_ITEM: Mapping[str, UniversalAttributeValueTypeDef] = {"log": {"S": _HASHES}, "seq": {"N": "0"}}


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
        pieces = _pack_names(names)
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
        condition = "attribute_not_exists(seq)"
        return self._transact(
            [{"Put": {"TableName": self.table, "Item": item, "ConditionExpression": condition}} for item in items]
        )

    def generation(self) -> int:
        """Read the number of erasures in this log; whoever has entries of another number reads them again."""
        with aws_errors(self.table):
            answer = self._dynamo.get_item(TableName=self.table, Key=_GENERATION_ITEM, ConsistentRead=True)
        return int(answer["Item"]["generation"]["N"]) if "Item" in answer else 0

    def raise_generation(self) -> None:
        """Tell all workers that hashes were erased."""
        with aws_errors(self.table):
            self._dynamo.update_item(
                TableName=self.table,
                Key=_GENERATION_ITEM,
                UpdateExpression="ADD generation :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    def batch_ids(self) -> dict[int, str]:
        """Read the batch of each entry."""
        return {entry.seq: entry.batch_id for entry in self.read(0, consistent=True)}

    def replace(
        self, seq: int, names: Mapping[str, str], before_change: Callable[[list[str]], object] = lambda _: None
    ) -> int:
        """Give originals of an entry other names; return their number.

        An original whose new name is empty loses its hash too. All others keep their places, their names and their
        hashes. ``before_change`` gets the old names, and is called only if there is something to change.
        """
        for _ in attempts(_ERASE_TRIES):
            pieces = self._pieces(seq)
            before = _unpack_names(pieces)
            positions = [number for number, name in enumerate(before) if name in names]
            if not positions:
                return 0
            after = [names.get(name, name) for name in before]
            erased = [number for number in positions if not after[number]]
            before_change([before[number] for number in positions])
            actions = self._replace_names(seq, pieces, after)
            actions += self._zero(seq, erased) if erased else []
            if self._do(actions):
                return len(positions)
        raise StorageUnavailableError(f"{self.table}: {_ERASE_TRIES} times another worker was first")

    def _replace_names(self, seq: int, pieces: list[bytes], names: list[str]) -> list[TransactWriteItemTypeDef]:
        """Write all names of an entry again, on condition of what was read."""
        new = _pack_names(names)
        actions: list[Any] = []
        for number in range(max(len(pieces), len(new))):
            key: dict[str, UniversalAttributeValueTypeDef] = {"log": {"S": _names(number)}, "seq": {"N": str(seq)}}
            condition: Any = {"ConditionExpression": "attribute_not_exists(seq)"}
            if number < len(pieces):
                condition = {
                    "ConditionExpression": "#names = :before",
                    "ExpressionAttributeNames": {"#names": "names"},
                    "ExpressionAttributeValues": {":before": {"B": pieces[number]}},
                }
            if number < len(new):
                item = {**key, "names": {"B": new[number]}, "items": {"N": str(len(new))}}
                actions.append({"Put": {"TableName": self.table, "Item": item, **condition}})
            else:
                actions.append({"Delete": {"TableName": self.table, "Key": key, **condition}})
        return actions

    def _zero(self, seq: int, positions: list[int]) -> list[TransactWriteItemTypeDef]:
        """Put zeros in the places of these originals; zeros match no image."""
        key: dict[str, UniversalAttributeValueTypeDef] = {"log": {"S": _HASHES}, "seq": {"N": str(seq)}}
        with aws_errors(self.table):
            item = self._dynamo.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]
        hashes = _entry(item).hashes.copy()
        hashes[positions] = 0
        columns = {"hashes": hashes[:, :_WHOLE], "views": hashes[:, _WHOLE:]}
        before = {name: bytes(item[name]["B"]) for name in columns if name in item}
        return [
            {
                "Update": {
                    "TableName": self.table,
                    "Key": key,
                    "UpdateExpression": "SET " + ", ".join(f"#{name} = :{name}" for name in before),
                    "ConditionExpression": " AND ".join(f"#{name} = :before_{name}" for name in before),
                    "ExpressionAttributeNames": {f"#{name}": name for name in before},
                    "ExpressionAttributeValues": {
                        **{f":{name}": {"B": pack(columns[name])} for name in before},
                        **{f":before_{name}": {"B": body} for name, body in before.items()},
                    },
                }
            }
        ]

    def _do(self, actions: list[TransactWriteItemTypeDef]) -> bool:
        """Zero the hashes, then write the names; return ``False`` if a condition fails.

        The names come last, because an erasure that was killed in between finds the hashes by them. A transaction
        costs twice as much. It is needed if the names are in several items, which have to fit each other.
        """
        *_, last = actions
        if len(actions) > 2 or "Delete" in last:
            return self._transact(actions)
        with aws_errors(self.table):
            try:
                for action in sorted(actions, key=lambda one: "Put" in one):
                    if "Put" in action:
                        self._dynamo.put_item(**action["Put"])
                    else:
                        self._dynamo.update_item(**action["Update"])
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    def _transact(self, actions: list[TransactWriteItemTypeDef]) -> bool:
        """Do all of these writes or none; return ``False`` if a condition fails."""
        with aws_errors(self.table):
            try:
                self._dynamo.transact_write_items(TransactItems=actions)
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
        """Read the ``media_id`` of each original of an entry; it is empty if the original was erased."""
        return _unpack_names(self._pieces(seq))

    def _pieces(self, seq: int) -> list[bytes]:
        """Read the names of an entry as they are stored."""
        first = self._names_item(seq, 0)
        # Earlier versions wrote one item without this number.
        count = int(first["items"]["N"]) if "items" in first else 1
        items = [first, *(self._names_item(seq, number) for number in range(1, count))]
        return [bytes(item["names"]["B"]) for item in items]

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


def _pack_names(names: list[str]) -> list[bytes]:
    packed = zlib.compress(json.dumps(names).encode())
    return [packed[start : start + MAX_NAMES_BYTES] for start in range(0, len(packed), MAX_NAMES_BYTES)]


def _unpack_names(pieces: list[bytes]) -> list[str]:
    names: list[str] = json.loads(zlib.decompress(b"".join(pieces)))
    return names


def _names(number: int) -> str:
    """Return the log of the names' first item, or of one of those after it."""
    return f"{_NAMES}/{number}" if number else _NAMES
