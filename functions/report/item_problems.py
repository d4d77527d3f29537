"""The failed and rejected media items of a run, for its report."""

from __future__ import annotations

from typing import Any, NamedTuple

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.masking import mask
from report.shares import fair_shares
from report.summary import Summary

MAX_SHOWN = 200


class ItemProblem(NamedTuple):
    """One failed or rejected media item: its post, and the reason."""

    media_id: str
    feed: str
    post_id: str
    permalink: str | None
    status: str
    error_code: str
    error_message: str


def item_problems(summary: Summary, bucket: Bucket) -> list[ItemProblem]:
    """List up to 200 items, the same number for every feed that has enough; Reconcile has stored all of them."""
    feeds = [feed for feed in summary.feeds if feed.errors]
    shares = fair_shares([sum(feed.errors.values()) for feed in feeds], MAX_SHOWN)
    problems: list[ItemProblem] = []
    for feed, share in zip(feeds, shares, strict=True):
        rows = bucket.get_lines(object_keys.failures(summary.run.run_id, feed.feed_id))
        problems += [_item_problem(feed.name, row) for row in rows[:share]]
    return problems


def _item_problem(feed: str, row: dict[str, Any]) -> ItemProblem:
    return ItemProblem(
        media_id=row["media_id"],
        feed=feed,
        post_id=row["post_id"],
        permalink=row["permalink"],
        status=row["status"],
        error_code=row["error_code"],
        error_message=mask(row["error_message"] or ""),
    )
