"""Bookmarks whose newest post is erased: on some networks, the id of a post has the id of its author in it."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from imagelake.lake.erased_objects import ErasedObjects, Place
from imagelake.lake.suppression import ERASED, SuppressionList
from imagelake.run.aws import aws_errors, client


def erase_bookmarks(table: str, listed: SuppressionList, objects: ErasedObjects) -> int:
    """Erase the ids of such posts, and return their number; the time of a bookmark is enough on these networks."""
    found = [(feed_id, newest_id) for feed_id, newest_id in _bookmarks(table) if _is_listed(feed_id, newest_id, listed)]
    for feed_id, newest_id in found:
        objects.note(Place.BOOKMARKS, f"bookmarks/{feed_id}", [newest_id])
        _erase(table, feed_id, newest_id)
    return len(found)


def _is_listed(feed_id: str, newest_id: str, listed: SuppressionList) -> bool:
    # The id of a feed begins with its network.
    return listed.has_post_id(feed_id.partition("-")[0], newest_id)


def _bookmarks(table: str) -> Iterator[tuple[str, str]]:
    with aws_errors(table):
        pages = client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        for page in pages:
            # The item of a feed whose first run has not ended has only a lease.
            yield from ((item["feed_id"]["S"], item["newest_id"]["S"]) for item in page["Items"] if "newest_id" in item)


def _erase(table: str, feed_id: str, newest_id: str) -> None:
    with aws_errors(table):
        try:
            client("dynamodb").update_item(
                TableName=table,
                Key={"feed_id": {"S": feed_id}},
                UpdateExpression="SET newest_id = :erased",
                ConditionExpression="newest_id = :erased_id",
                ExpressionAttributeValues={":erased": {"S": ERASED}, ":erased_id": {"S": newest_id}},
            )
        except ClientError as error:
            # A run has moved the bookmark, and Fetch leaves out such ids.
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
