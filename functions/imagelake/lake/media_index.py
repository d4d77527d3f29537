"""The media index: a table with one item per media item, which leads from raw files to rows and back.

A batch first *claims* its media items, so that two feeds with the same media never make two rows. Map Keys then
replaces each claim by the finished item. A claim always belongs to an open batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from imagelake.run.aws import THREADS, aws_errors, client
from imagelake.run.errors import ReconciliationError, StorageUnavailableError
from imagelake.run.retries import attempts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesUnionTypeDef

CLAIMED = "claimed"
_GET_MANY = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_GET_TRIES = 8

_to_dynamo = TypeSerializer().serialize
_from_dynamo = TypeDeserializer().deserialize


class MediaIndex:
    """The table; raises only ``StorageDeniedError``, ``StorageUnavailableError`` and ``ReconciliationError``."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._dynamo = client("dynamodb")

    def get_many(self, media_ids: Iterable[str], *, consistent: bool = True) -> dict[str, dict[str, Any]]:
        """Read the items that exist, by media id; a read that is not ``consistent`` costs half, but may be stale."""
        groups = list(_groups(dict.fromkeys(media_ids), _GET_MANY))
        with ThreadPoolExecutor(THREADS) as pool:
            results = pool.map(lambda group: self._get_group(group, consistent), groups)
            return {item["media_id"]: item for items in results for item in items}

    def claim(self, media_ids: Iterable[str], batch_id: str) -> set[str]:
        """Claim media items for a batch; return those that belong to it, now or since an earlier try."""
        claims = [{"media_id": media_id, "status": CLAIMED, "batch_id": batch_id} for media_id in media_ids]
        with ThreadPoolExecutor(THREADS) as pool:
            results = pool.map(self._put_claim, claims)
            return {claim["media_id"] for claim, is_ours in zip(claims, results, strict=True) if is_ours}

    def complete(self, items: list[dict[str, Any]]) -> None:
        """Replace the claims of a batch by its finished items."""
        with ThreadPoolExecutor(THREADS) as pool:
            for item, is_ours in zip(items, pool.map(self._put_finished, items), strict=True):
                if not is_ours:
                    raise ReconciliationError(
                        f"media item {item['media_id']} is mapped by another batch than {item['batch_id']}"
                    )

    def _put_claim(self, claim: dict[str, Any]) -> bool:
        """Put a claim if there is no item yet; return whether the item that is there belongs to the claim's batch."""
        existing = self._put(claim, ConditionExpression="attribute_not_exists(media_id)")
        return existing is None or bool(existing.get("batch_id") == _to_dynamo(claim["batch_id"]))

    def _put_finished(self, item: dict[str, Any]) -> bool:
        """Put an item unless it belongs to another batch; return whether it was put."""
        existing = self._put(
            item,
            ConditionExpression="attribute_not_exists(media_id) OR batch_id = :batch",
            ExpressionAttributeValues={":batch": _to_dynamo(item["batch_id"])},
        )
        return existing is None

    def _put(self, item: dict[str, Any], **condition: Any) -> dict[str, Any] | None:
        """Put an item on a condition; return the item that is there instead, or ``None`` after success."""
        with aws_errors(self._table):
            try:
                self._dynamo.put_item(
                    TableName=self._table,
                    Item={name: _to_dynamo(value) for name, value in item.items() if value is not None},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **condition,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                existing: Any = error.response.get("Item", {})
                return dict(existing)
        return None

    def _get_group(self, media_ids: list[str], consistent: bool) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        remaining: Mapping[str, KeysAndAttributesUnionTypeDef] = {
            self._table: {
                "Keys": [{"media_id": {"S": media_id}} for media_id in media_ids],
                "ConsistentRead": consistent,
            }
        }
        for _ in attempts(_GET_TRIES):
            with aws_errors(self._table):
                response = self._dynamo.batch_get_item(RequestItems=remaining)
            items += [
                {name: _from_dynamo(value) for name, value in item.items()}
                for item in response["Responses"].get(self._table, [])
            ]
            # A throttled read is no error: it leaves keys unprocessed.
            remaining = response.get("UnprocessedKeys")
            if not remaining:
                return items
        raise StorageUnavailableError(f"{self._table}: keys are still unprocessed after {_GET_TRIES} tries")


def _groups(values: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(values)
    while group := list(islice(remaining, size)):
        yield group
