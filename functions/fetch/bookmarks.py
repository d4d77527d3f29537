"""The bookmark of a feed, as the state machine's Commit Bookmark wrote it."""

from __future__ import annotations

from imagelake.run.aws import aws_errors, client
from imagelake.sources import Bookmark


def read_bookmark(table: str, feed_id: str) -> Bookmark | None:
    """Read the newest post that an earlier run planned, or ``None`` before the first."""
    with aws_errors(table):
        item = (
            client("dynamodb")
            .get_item(TableName=table, Key={"feed_id": {"S": feed_id}}, ConsistentRead=True)
            .get("Item")
        )
    # The item of a feed whose first run has not ended holds only a lease, or an empty time.
    if item is None or "newest_at" not in item or not item["newest_at"]["S"]:
        return None
    return Bookmark.model_validate({"newest_id": item["newest_id"]["S"], "newest_at": item["newest_at"]["S"]})
