"""The media index: a table with one entry per media item, which links its raw image and its row, and one per raw image.

Transform first *claims* the media items of a batch, so that an item that two feeds list gets only one row. Map Keys
later replaces each claim by the complete entry. A claim belongs to an open batch; if its batch is not open, it is free.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from imagelake.lake.index_keys import author_key, post_key, raw_image_id
from imagelake.lake.rows import Status
from imagelake.run.aws import THREADS, aws_errors, client
from imagelake.run.errors import ReconciliationError, StorageUnavailableError
from imagelake.run.models import Batch
from imagelake.run.retries import attempts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesUnionTypeDef

CLAIMED = "claimed"
# State of a raw image: its item has the image in its row; no item has, because they were all rejected; or the item is
# being erased, so that no duplicate may name it any more.
HELD, REJECTED, ERASING = "held", "rejected", "erasing"
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

    def of_author(self, source: str, author_id: str) -> list[str]:
        """Find the media items of an author; of an item that was mapped just now, the index may not know yet."""
        return self._query("by-author", author=author_key(source, author_id))

    def of_post(self, source: str, author_id: str, post_id: str) -> list[str]:
        """Find the media items of a post."""
        return self._query("by-author", author=author_key(source, author_id), post_id=post_key(post_id))

    def duplicates_of(self, media_id: str) -> list[str]:
        """Find the duplicates and near duplicates of a media item, or the rejected items of a raw image's entry."""
        return self._query("by-duplicate-of", duplicate_of=media_id)

    def claim(
        self, media_ids: Iterable[str], batch_id: str, list_open: Callable[[], Container[str]] | None = None
    ) -> set[str]:
        """Claim media items for a batch; return all items of the batch, including those that an earlier try claimed.

        ``list_open`` lists the ids of all open batches. It is called only if other batches have claims, and after
        these were read, so a claim whose batch is not in the list is free.
        """
        claims = [{"media_id": media_id, "status": CLAIMED, "batch_id": batch_id} for media_id in media_ids]
        with ThreadPoolExecutor(THREADS) as pool:
            existing = {item["media_id"]: item for item in pool.map(self._put_claim, claims) if item is not None}
            ours = {claim["media_id"] for claim in claims} - existing.keys()
            ours |= {media_id for media_id, item in existing.items() if item["batch_id"] == batch_id}
            others = [
                item
                for item in existing.values()
                if item["status"] == CLAIMED and item["batch_id"] != batch_id and "retried_by" not in item
            ]
            if others and list_open is not None:
                still_open = list_open()
                free = [item for item in others if item["batch_id"] not in still_open]
                taken = pool.map(lambda item: self._take_over(item, batch_id), free)
                ours |= {item["media_id"] for item, is_ours in zip(free, taken, strict=True) if is_ours}
        return ours

    def claim_again(self, media_ids: Iterable[str], batch: Batch) -> set[str]:
        """Claim failed items of a batch for a retry; return all items of the retry, also those of an earlier try."""
        entries = self.get_many(media_ids)
        failed = [entry for entry in entries.values() if entry["status"] == Status.FAILED and not is_of(entry, batch)]
        with ThreadPoolExecutor(THREADS) as pool:
            entries |= {entry["media_id"]: entry for entry in pool.map(lambda one: self._retry(one, batch), failed)}
        return {media_id for media_id, entry in entries.items() if is_of(entry, batch)}

    def complete(self, items: list[dict[str, Any]]) -> None:
        """Replace the claims of a batch by its complete entries, except those that a later retry has claimed."""
        with ThreadPoolExecutor(THREADS) as pool:
            # Take every result: an error is raised only then.
            list(pool.map(self._put_finished, items))

    def unclaim(self, media_ids: Iterable[str], batch_id: str) -> set[str]:
        """Delete claims that a batch has on items without a row; return the items that had one."""
        with ThreadPoolExecutor(THREADS) as pool:
            deleted = pool.map(lambda media_id: self._delete_claim(media_id, batch_id), media_ids)
            return {media_id for media_id in deleted if media_id is not None}

    def promote(self, media_id: str, owner: str) -> None:
        """Note that a duplicate has got the image of its owner; repeated, this changes nothing."""
        self._change(
            self._dynamo.update_item,
            media_id,
            {":ok": Status.OK, ":owner": owner},
            UpdateExpression="SET #status = :ok REMOVE duplicate_of",
            ExpressionAttributeNames={"#status": "status"},
            ConditionExpression="duplicate_of = :owner",
        )

    def relink(self, media_id: str, former: str, original: str | None) -> None:
        """Give a duplicate another original instead of ``former``, or none; repeated, this changes nothing."""
        self._change(
            self._dynamo.update_item,
            media_id,
            {":former": former} | ({} if original is None else {":original": original}),
            UpdateExpression="REMOVE duplicate_of" if original is None else "SET duplicate_of = :original",
            ConditionExpression="duplicate_of = :former",
        )

    def own(self, media_ids: Mapping[str, str], instead_of: Mapping[str, str] | None = None) -> dict[str, str]:
        """Make media items the owners of raw images that have none; return the owner of each image.

        ``media_ids`` are by SHA-256 of the raw image, and so are the former owners in ``instead_of``, which lose it.
        Raises ``StorageUnavailableError`` if an owner is being erased: the image soon has another owner, or none.
        """
        former = instead_of or {}
        with ThreadPoolExecutor(THREADS) as pool:
            owners = pool.map(lambda sha256: self._put_owner(sha256, media_ids[sha256], former.get(sha256)), media_ids)
            return dict(zip(media_ids, owners, strict=True))

    def note_rejected(self, media_ids: Mapping[str, str]) -> None:
        """Link raw images without an owner, by SHA-256, to a rejected item, so that its row is found by the image."""
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda sha256: self._put_rejected(sha256, media_ids[sha256]), media_ids))

    def replace(self, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
        """Replace an entry; return ``False`` if its status or its original is another one than that of ``before``."""
        original = before.get("duplicate_of")
        existing = self._put(
            dict(after),
            ConditionExpression="#status = :status AND "
            + ("attribute_not_exists(duplicate_of)" if original is None else "duplicate_of = :original"),
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":status": _to_dynamo(before["status"])}
            | ({} if original is None else {":original": _to_dynamo(original)}),
        )
        return existing is None

    def disown(self, media_ids: Mapping[str, str]) -> None:
        """Note that raw images, by SHA-256, are in no row, if they are held by these items, which are rejected."""
        entries = self.get_many(map(raw_image_id, media_ids))
        held = {
            sha256: media_id
            for sha256, media_id in media_ids.items()
            if (entry := entries.get(raw_image_id(sha256))) is not None
            and (entry["owner"], entry["state"]) == (media_id, HELD)
        }
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda sha256: self._put_disowned(sha256, held[sha256]), held))

    def _put_disowned(self, sha256: str, media_id: str) -> None:
        self._put(
            {"media_id": raw_image_id(sha256), "owner": media_id, "state": REJECTED},
            ConditionExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": "owner"},
            ExpressionAttributeValues={":owner": _to_dynamo(media_id)},
        )

    def _query(self, index: str, **keys: str) -> list[str]:
        """Find the media ids of the entries with these keys in an index, in the order of the index and of their ids."""
        with aws_errors(self._table):
            pages = self._dynamo.get_paginator("query").paginate(
                TableName=self._table,
                IndexName=index,
                KeyConditionExpression=" AND ".join(f"{name} = :{name}" for name in keys),
                ExpressionAttributeValues={f":{name}": {"S": value} for name, value in keys.items()},
            )
            return [item["media_id"]["S"] for page in pages for item in page["Items"]]

    def _put_owner(self, sha256: str, media_id: str, former: str | None) -> str:
        """Write the owner of an image unless there is another one than ``former``; return the owner that is there."""
        existing = self._put(
            {"media_id": raw_image_id(sha256), "owner": media_id, "state": HELD},
            ConditionExpression="attribute_not_exists(media_id) OR #owner = :former "
            "OR (#state <> :erasing AND (#state = :rejected OR #owner = :new))",
            ExpressionAttributeNames={"#state": "state", "#owner": "owner"},
            ExpressionAttributeValues={
                ":erasing": _to_dynamo(ERASING),
                ":rejected": _to_dynamo(REJECTED),
                ":former": _to_dynamo(former or ""),
                ":new": _to_dynamo(media_id),
            },
        )
        if existing is not None and existing["state"] == ERASING:
            raise StorageUnavailableError(
                "the owner of an image is being erased; try again when the erasure is complete"
            )
        return media_id if existing is None else str(existing["owner"])

    def _put_rejected(self, sha256: str, media_id: str) -> None:
        entry = {"media_id": raw_image_id(sha256), "owner": media_id, "state": REJECTED}
        self._put(entry, ConditionExpression="attribute_not_exists(media_id)")

    def _put_claim(self, claim: dict[str, Any]) -> dict[str, Any] | None:
        """Write a claim unless there is an entry; return the entry that is there instead, or ``None`` after success."""
        return self._put(claim, ConditionExpression="attribute_not_exists(media_id)")

    def _take_over(self, claim: dict[str, Any], batch_id: str) -> bool:
        """Give a claim to another batch, unless it has changed; return whether it belongs to that batch now."""
        existing = self._put(
            claim | {"batch_id": batch_id},
            ConditionExpression="#status = :claimed AND batch_id = :before",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":claimed": _to_dynamo(CLAIMED), ":before": _to_dynamo(claim["batch_id"])},
        )
        return existing is None or bool(existing["batch_id"] == batch_id)

    def _retry(self, entry: dict[str, Any], batch: Batch) -> dict[str, Any]:
        """Claim a failed item for a retry; return the entry that is there now."""
        claim = entry | {"status": CLAIMED, "retried_by": batch.retried_by}
        existing = self._put(
            claim,
            ConditionExpression="#status = :failed AND batch_id = :batch",
            ExpressionAttributeNames={"#status": "status"},
            ExpressionAttributeValues={":failed": _to_dynamo(Status.FAILED), ":batch": _to_dynamo(batch.batch_id)},
        )
        return claim if existing is None else existing

    def _put_finished(self, item: dict[str, Any]) -> None:
        """Write an entry; raise ``ReconciliationError`` if there is one of another batch."""
        retried_by = item.get("retried_by")
        values = {":batch": item["batch_id"]} | ({":run": retried_by} if retried_by else {})
        same_run = "retried_by = :run" if retried_by else "attribute_not_exists(retried_by)"
        existing = self._put(
            item,
            ConditionExpression=f"attribute_not_exists(media_id) OR (batch_id = :batch AND {same_run})",
            ExpressionAttributeValues={name: _to_dynamo(value) for name, value in values.items()},
        )
        if existing is not None and existing["batch_id"] != item["batch_id"]:
            raise ReconciliationError(f"media item {item['media_id']} belongs to another batch than {item['batch_id']}")

    def _delete_claim(self, media_id: str, batch_id: str) -> str | None:
        """Delete a claim of a batch; return its item, or ``None`` if there is no such claim."""
        is_deleted = self._change(
            self._dynamo.delete_item,
            media_id,
            {":claimed": CLAIMED, ":batch": batch_id},
            ExpressionAttributeNames={"#status": "status"},
            # The claim of a retry is the entry of a row.
            ConditionExpression="#status = :claimed AND batch_id = :batch AND attribute_not_exists(processed_key)",
        )
        return media_id if is_deleted else None

    def _change(self, call: Callable[..., Any], media_id: str, values: Mapping[str, Any], **options: Any) -> bool:
        """Change or delete an entry if the condition holds; return whether it did."""
        with aws_errors(self._table):
            try:
                call(
                    TableName=self._table,
                    Key={"media_id": {"S": media_id}},
                    ExpressionAttributeValues={name: _to_dynamo(value) for name, value in values.items()},
                    **options,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                    raise
                return False
        return True

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
                existing: Any = error.response.get("Item", {})
                return {name: _from_dynamo(value) for name, value in existing.items()}
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


def is_of(entry: Mapping[str, Any], batch: Batch) -> bool:
    """Return whether an entry is of this batch, and not of a retry of it, or of this retry."""
    return bool(entry["batch_id"] == batch.batch_id) and entry.get("retried_by", "") == batch.retried_by


def _groups(values: Iterable[str], size: int) -> Iterator[list[str]]:
    remaining = iter(values)
    while group := list(islice(remaining, size)):
        yield group
