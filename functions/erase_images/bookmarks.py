"""Bookmarks that name an erased author: by the id of the newest post, or by the cursor of a backfill.

On some networks, the id of a post has the id of its author in it. The feed of an erased author keeps no cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from botocore.exceptions import ClientError

from imagelake.lake.erased_objects import ErasedObjects, Place
from imagelake.lake.suppression import ERASED, SuppressionList
from imagelake.run.aws import aws_errors, client


def erase_bookmarks(table: str, listed: SuppressionList, objects: ErasedObjects) -> int:
    """Erase such ids and cursors, and return the number of bookmarks; on these networks, their time is enough."""
    changes = [(bookmark, new) for bookmark in _bookmarks(table) if (new := _changed(bookmark, listed))]
    for bookmark, new in changes:
        feed_id = bookmark["feed_id"]
        objects.note(Place.BOOKMARKS, f"bookmarks/{feed_id}", [bookmark[name] for name in new])
        for name, value in new.items():
            _replace(table, feed_id, name, bookmark[name], value)
    return len(changes)


def _changed(bookmark: Mapping[str, str], listed: SuppressionList) -> dict[str, str]:
    """Return the new values of what names an erased author; without a cursor, a backfill begins at the newest post."""
    feed_id, cursor = bookmark["feed_id"], bookmark.get("backfill_cursor", "")
    # The id of a feed begins with its network.
    is_listed = listed.has_post_id(feed_id.partition("-")[0], bookmark.get("newest_id", ""))
    new = {"newest_id": ERASED} if is_listed else {}
    return new | ({"backfill_cursor": ""} if cursor and listed.has_cursor(feed_id, cursor) else {})


def _bookmarks(table: str) -> Iterator[dict[str, str]]:
    """Read the texts of all items; that of a feed whose first run has not ended has only a lease."""
    with aws_errors(table):
        pages = client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        for page in pages:
            yield from ({name: value["S"] for name, value in item.items() if "S" in value} for item in page["Items"])


def _replace(table: str, feed_id: str, name: str, before: str, after: str) -> None:
    with aws_errors(table):
        try:
            client("dynamodb").update_item(
                TableName=table,
                Key={"feed_id": {"S": feed_id}},
                UpdateExpression="SET #name = :after",
                ConditionExpression="#name = :before",
                ExpressionAttributeNames={"#name": name},
                ExpressionAttributeValues={":after": {"S": after}, ":before": {"S": before}},
            )
        except ClientError as error:
            # A run has moved the bookmark, and Fetch leaves out such ids and cursors.
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
