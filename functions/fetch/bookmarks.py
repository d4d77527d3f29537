"""A feed's bookmark, as the state machine's Commit Bookmark left it."""

from __future__ import annotations

from imagelake.run.aws import aws_errors, client
from imagelake.sources import Bookmark


def read_bookmark(table: str, feed_id: str) -> Bookmark | None:
    """What the feed had seen when a plan was last made durable, or ``None``."""
    with aws_errors(table):
        item = (
            client("dynamodb")
            .get_item(TableName=table, Key={"feed_id": {"S": feed_id}}, ConsistentRead=True)
            .get("Item")
        )
    # A feed that was leased and never read through has no time yet.
    if item is None or "newest_at" not in item or not item["newest_at"]["S"]:
        return None
    return Bookmark.model_validate({"newest_id": item["newest_id"]["S"], "newest_at": item["newest_at"]["S"]})
