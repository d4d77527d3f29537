"""The last steps of an erasure in the media index: raw images change or lose their owners, and entries go.

Each write has a condition, because a run may change the same entry at the same time. Then the next search finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from boto3.dynamodb.types import TypeSerializer
from botocore.exceptions import ClientError

from imagelake.lake.index_keys import raw_image_id
from imagelake.lake.media_index import ERASING, REJECTED
from imagelake.run.aws import THREADS, aws_errors, client

# An entry is deleted only if these are as they were read: the first two of a media item, the others of a raw image.
_DELETED_IF = ("batch_id", "status", "owner", "state")

_to_dynamo = TypeSerializer().serialize


class Unmapping:
    """The table of the media index; raises only ``StorageDeniedError`` and ``StorageUnavailableError``."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._dynamo = client("dynamodb")

    def mark_erasing(self, owners: Mapping[str, str]) -> int:
        """Note by SHA-256 that the owners of raw images are being erased; return how many this call has noted."""
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(self._mark_erasing, owners, owners.values()))

    def hand_over(self, rejected: Mapping[str, str], former: Mapping[str, str]) -> int:
        """Link raw images by SHA-256 to rejected items instead of erased ones; return how many are linked now."""
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(lambda sha256: self._hand_over(sha256, rejected[sha256], former[sha256]), rejected))

    def delete(self, entries: Iterable[Mapping[str, Any]]) -> int:
        """Delete entries that are still as they were read; return their number."""
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(self._delete, entries))

    def _mark_erasing(self, sha256: str, owner: str) -> bool:
        return self._change(
            self._dynamo.update_item,
            raw_image_id(sha256),
            {"owner": owner, "state": ERASING},
            "#owner = :owner AND #state <> :state",
            UpdateExpression="SET #state = :state",
        )

    def _hand_over(self, sha256: str, rejected: str, former: str) -> bool:
        return self._change(
            self._dynamo.update_item,
            raw_image_id(sha256),
            {"owner": rejected, "state": REJECTED},
            "#owner = :former",
            UpdateExpression="SET #owner = :owner, #state = :state",
            former=former,
        )

    def _delete(self, entry: Mapping[str, Any]) -> bool:
        values = {name: entry[name] for name in _DELETED_IF if name in entry}
        condition = " AND ".join(f"#{name} = :{name}" for name in values)
        return self._change(self._dynamo.delete_item, entry["media_id"], values, condition)

    def _change(
        self,
        call: Callable[..., Any],
        key: str,
        values: Mapping[str, Any],
        condition: str,
        former: str = "",
        **update: str,
    ) -> bool:
        """Change or delete an entry if the condition holds; return whether it did."""
        more = {":former": _to_dynamo(former)} if former else {}
        with aws_errors(self._table):
            try:
                call(
                    TableName=self._table,
                    Key={"media_id": {"S": key}},
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{name}": name for name in values},
                    ExpressionAttributeValues={f":{name}": _to_dynamo(value) for name, value in values.items()} | more,
                    **update,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
        return True
