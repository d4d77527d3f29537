"""The table that maps raw files to processed rows: one item per media item, keyed by ``media_id``.

An item is first *claimed* by the batch that will make its row, so that two feeds which bring the same media never
make two rows; Map Keys then completes it. A claim always belongs to a batch that is still open.
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
    """The mapping. Raises only ``StorageDeniedError``, ``StorageUnavailableError`` or ``ReconciliationError``."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._dynamo = client("dynamodb")

    def get_many(self, media_ids: Iterable[str], *, consistent: bool = True) -> dict[str, dict[str, Any]]:
        """The items that exist, by media id; not ``consistent``, for half the price, the last second may be missing."""
        groups = list(_groups(dict.fromkeys(media_ids), _GET_MANY))
        with ThreadPoolExecutor(THREADS) as pool:
            read = pool.map(lambda group: self._get_group(group, consistent), groups)
            return {item["media_id"]: item for found in read for item in found}

    def claim(self, media_ids: Iterable[str], batch_id: str) -> set[str]:
        """Claim media for a batch; return those that are this batch's, now or from an earlier try."""
        ids = list(media_ids)
        with ThreadPoolExecutor(THREADS) as pool:
            claimed = pool.map(
                lambda media_id: self._put({"media_id": media_id, "status": CLAIMED, "batch_id": batch_id}, new=True),
                ids,
            )
            return {media_id for media_id, is_ours in zip(ids, claimed, strict=True) if is_ours}

    def complete(self, items: list[dict[str, Any]]) -> None:
        """Write a batch's finished items over its claims."""
        with ThreadPoolExecutor(THREADS) as pool:
            for item, is_ours in zip(items, pool.map(self._put, items), strict=True):
                if not is_ours:
                    raise ReconciliationError(
                        f"media {item['media_id']} is mapped by another batch than {item['batch_id']}"
                    )

    def _put(self, item: dict[str, Any], *, new: bool = False) -> bool:
        """Put an item unless another batch has it. A claim (``new``) leaves our own item as it is."""
        known = {name: _to_dynamo(value) for name, value in item.items() if value is not None}
        ours: dict[str, Any] = {"ExpressionAttributeValues": {":batch": known["batch_id"]}}
        with aws_errors(self._table):
            try:
                self._dynamo.put_item(
                    TableName=self._table,
                    Item=known,
                    ConditionExpression="attribute_not_exists(media_id)" + ("" if new else " OR batch_id = :batch"),
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    **({} if new else ours),
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                old: Any = error.response.get("Item", {})
                return new and bool(old.get("batch_id") == known["batch_id"])
        return True

    def _get_group(self, media_ids: list[str], consistent: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        wanted: Mapping[str, KeysAndAttributesUnionTypeDef] = {
            self._table: {
                "Keys": [{"media_id": {"S": media_id}} for media_id in media_ids],
                "ConsistentRead": consistent,
            }
        }
        for _ in attempts(_GET_TRIES):
            with aws_errors(self._table):
                answer = self._dynamo.batch_get_item(RequestItems=wanted)
            found += [
                {name: _from_dynamo(value) for name, value in item.items()}
                for item in answer["Responses"].get(self._table, [])
            ]
            # Throttling shows as keys left over, not as an error.
            wanted = answer.get("UnprocessedKeys")
            if not wanted:
                return found
        raise StorageUnavailableError(f"{self._table} left keys unread after {_GET_TRIES} tries")


def _groups(values: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(values)
    while group := list(islice(rest, size)):
        yield group
