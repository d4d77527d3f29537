"""The media index: a table with one entry per media item, which links its raw image and its row.

Transform first *claims* the media items of a batch, so that an item that two feeds list gets only one row. Map Keys
later replaces each claim by the complete entry. A claim always belongs to an open batch.
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
_KEYS_PER_CALL = 100  # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
_GET_TRIES = 8

_to_dynamo = TypeSerializer().serialize
_from_dynamo = TypeDeserializer().deserialize


class MediaIndex:
    """The table; raises only ``StorageDeniedError``, ``StorageUnavailableError`` and ``ReconciliationError``."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._dynamo = client("dynamodb")

    def get_many(self, media_ids: Iterable[str], *, consistent: bool = True) -> dict[str, dict[str, Any]]:
        """Read the entries that exist, by media id; without ``consistent`` a read costs half, but may be stale."""
        groups = _groups(dict.fromkeys(media_ids), _KEYS_PER_CALL)
        with ThreadPoolExecutor(THREADS) as pool:
            results = pool.map(lambda group: self._get_group(group, consistent), groups)
            return {item["media_id"]: item for items in results for item in items}

    def claim(self, media_ids: Iterable[str], batch_id: str) -> set[str]:
        """Claim media items for a batch; return all items of the batch, including those that an earlier try claimed."""
        claims = [{"media_id": media_id, "status": CLAIMED, "batch_id": batch_id} for media_id in media_ids]
        with ThreadPoolExecutor(THREADS) as pool:
            results = pool.map(self._put_claim, claims)
            return {claim["media_id"] for claim, is_ours in zip(claims, results, strict=True) if is_ours}

    def complete(self, items: list[dict[str, Any]]) -> None:
        """Replace the claims of a batch by its complete entries."""
        with ThreadPoolExecutor(THREADS) as pool:
            # Take every result: an error is raised only then.
            list(pool.map(self._put_finished, items))

    def _put_claim(self, claim: dict[str, Any]) -> bool:
        """Write a claim unless there is an entry; return whether the entry that is there now belongs to the batch."""
        existing = self._put(claim, ConditionExpression="attribute_not_exists(media_id)")
        return existing is None or existing.get("batch_id") == _to_dynamo(claim["batch_id"])

    def _put_finished(self, item: dict[str, Any]) -> None:
        """Write an entry; raise ``ReconciliationError`` if there is one of another batch."""
        existing = self._put(
            item,
            ConditionExpression="attribute_not_exists(media_id) OR batch_id = :batch",
            ExpressionAttributeValues={":batch": _to_dynamo(item["batch_id"])},
        )
        if existing is not None:
            raise ReconciliationError(f"media item {item['media_id']} belongs to another batch than {item['batch_id']}")

    def _put(self, item: dict[str, Any], **condition: Any) -> dict[str, Any] | None:
        """Write an entry if the condition holds and return ``None``; otherwise return the entry that is there."""
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
                existing: dict[str, Any] = error.response.get("Item", {})  # type: ignore[assignment]
                return existing
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
            # DynamoDB reports throttling not as an error but as keys that it has not processed.
            remaining = response.get("UnprocessedKeys")
            if not remaining:
                return items
        raise StorageUnavailableError(f"{self._table}: keys are still unprocessed after {_GET_TRIES} tries")


def _groups(values: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(values)
    while group := list(islice(remaining, size)):
        yield group
