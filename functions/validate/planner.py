"""The plan of a feed's run: which media are new, in which batches, and what was left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Batch, PlannedBatch, Run
from imagelake.run.posts import Item, Media, Post
from imagelake.sources import Feed, Reject

_NEVER = datetime.max.replace(tzinfo=UTC)


class Planner:
    """Plans one feed in one run. Doing it again, in this run or another, gives the same batches or fewer."""

    def __init__(self, feed: Feed, feed_id: str, run: Run, bucket: Bucket, media_index: MediaIndex) -> None:
        self._feed = feed
        self._feed_id = feed_id
        self._run = run
        self._bucket = bucket
        self._image_keys = media_index

    def plan(self, posts: list[Post], rejects: list[Reject]) -> dict[str, Any]:
        """Write rejects, open batches and the batch list; return counts."""
        opened = self._open_plans()
        left_open = [plan for plan in opened if self._takes_up(plan)]
        wanted, skipped = self._images(posts)
        self._keep_rejects(rejects, skipped)
        held = {item.media_id for plan in opened for item in plan.items}
        candidates = [item for item in wanted if item.media_id not in held]
        # What a stale read misses is planned once more, and refused when it is claimed.
        known = self._image_keys.get_many((item.media_id for item in candidates), consistent=False)
        new = [item for item in candidates if item.media_id not in known]

        # What an earlier try of this same call has planned is new as well.
        ours = {item.media_id for plan in left_open if plan.run_id == self._run.run_id for item in plan.items}
        already_known = sum(item.media_id not in ours for item in wanted) - len(new)

        planned = [self._new_plan(items) for items in self._batches(new)]
        plans = sorted(left_open + planned, key=lambda plan: (plan.batch.dt, *_urgency(plan.items[0])))
        for plan in plans:
            self._keep(plan, object_keys.planned_batch(plan.batch))
        # Last, because it is the promise; and never for one that was open: another run may have closed it since.
        for plan in planned:
            self._keep(plan, object_keys.open_batch(plan.batch))
        list_key = object_keys.batch_list(self._run, self._feed_id)
        self._bucket.put_json(list_key, [plan.batch.model_dump() for plan in plans])
        return {
            "list_key": list_key,
            "batches": len(plans),
            "items": sum(plan.batch.items for plan in plans),
            "resumed_batches": sum(plan.run_id != self._run.run_id for plan in left_open),
            "posts": len(posts),
            "already_known": already_known,
            "rejected_posts": len(rejects),
            "skipped_media": dict(Counter(reject.reason for reject in skipped)),
        }

    def _open_plans(self) -> list[PlannedBatch]:
        """Batches that are planned and not finished."""
        plans = []
        for key in self._bucket.list(object_keys.open_prefix(self._feed_id)):
            # A batch that another run closes between the listing and the reading is not open.
            with suppress(ObjectMissingError):
                plans.append(PlannedBatch.model_validate_json(self._bucket.get(key)))
        return plans

    def _takes_up(self, plan: PlannedBatch) -> bool:
        """Whether to finish an open batch: windows of a stream overlap, so another's of today is likely at work still.

        A window's own run has its name.
        """
        window = self._feed.window
        return window is None or plan.run_id in (self._run.run_id, window) or plan.batch.dt < self._run.dt

    def _images(self, posts: list[Post]) -> tuple[list[Item], list[Reject]]:
        """Every image once, and the media that are none, each with its reason."""
        items: dict[str, Item] = {}
        skipped: list[Reject] = []
        for post in posts:
            for media in post.media:
                if media.kind == "image" and media.url is not None and media.skip_reason is None:
                    items.setdefault(media.media_id, Item.of(self._feed.source, self._feed.name, post, media))
                else:
                    skipped.append(Reject(post.post_id, _skip_reason(media), media.model_dump(mode="json")))
        return list(items.values()), skipped

    def _keep(self, plan: PlannedBatch, key: str) -> None:
        self._bucket.put(key, plan.model_dump_json().encode(), "application/json")

    def _keep_rejects(self, rejects: list[Reject], skipped: list[Reject]) -> None:
        lines = [
            {"kind": kind, "post_id": reject.post_id, "reason": reject.reason, "raw": reject.raw}
            for kind, group in (("post", rejects), ("media", skipped))
            for reject in group
        ]
        if lines:
            self._bucket.put_lines(object_keys.rejects(self._run, self._feed.source, self._feed_id), lines)

    def _batches(self, items: list[Item]) -> Iterator[list[Item]]:
        """Groups of at most the batch size; what expires first is in the first."""
        ordered = sorted(items, key=_urgency)
        for start in range(0, len(ordered), self._run.batch_size):
            yield ordered[start : start + self._run.batch_size]

    def _new_plan(self, items: list[Item]) -> PlannedBatch:
        batch = Batch(
            batch_id=object_keys.batch_id(self._feed_id, self._run.dt, (item.media_id for item in items)),
            feed_id=self._feed_id,
            source=self._feed.source,
            dt=self._run.dt,
            items=len(items),
        )
        return PlannedBatch(
            batch=batch, run_id=self._run.run_id, items=items, preset=self._run.preset, tensor=self._run.tensor
        )


def _urgency(item: Item) -> tuple[datetime, datetime, str]:
    return item.expires_at or _NEVER, item.posted_at, item.media_id


def _skip_reason(media: Media) -> str:
    if media.skip_reason is not None:
        return media.skip_reason
    return "image without an address" if media.kind == "image" else f"{media.kind} is not an image"
