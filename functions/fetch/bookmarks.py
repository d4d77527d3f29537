"""The item of a feed in the Bookmarks table, as the state machine's Commit Bookmark wrote it."""

from __future__ import annotations

from typing import NamedTuple

from imagelake.run.aws import aws_errors, client
from imagelake.run.models import BackfillPosition
from imagelake.sources import Bookmark


class FeedPosition(NamedTuple):
    """The newest post that an earlier run planned, ``None`` before the first, and the position of the backfill."""

    bookmark: Bookmark | None = None
    backfill: BackfillPosition = BackfillPosition()


def read_position(table: str, feed_id: str) -> FeedPosition:
    """Read the bookmark of a feed and the position of its backfill."""
    with aws_errors(table):
        item = (
            client("dynamodb")
            .get_item(TableName=table, Key={"feed_id": {"S": feed_id}}, ConsistentRead=True)
            .get("Item")
        )
    # The item of a feed whose first run has not ended holds only a lease, or an empty time.
    if item is None or "newest_at" not in item:
        return FeedPosition()
    bookmark = None
    if item["newest_at"]["S"]:
        bookmark = Bookmark.model_validate({"newest_id": item["newest_id"]["S"], "newest_at": item["newest_at"]["S"]})
    # Items of earlier versions have no such position.
    if "backfill_cursor" not in item:
        return FeedPosition(bookmark)
    backfill = BackfillPosition(
        cursor=item["backfill_cursor"]["S"],
        reached_to=item["backfill_reached_to"]["S"],
        begun_at=item.get("backfill_begun_at", {"S": ""})["S"],
        is_at_end=item["backfill_is_at_end"]["BOOL"],
    )
    return FeedPosition(bookmark, backfill)
