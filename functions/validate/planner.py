"""The plan of a feed: batches of its new images, and everything that is left out, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import CLAIMED, MediaIndex
from imagelake.lake.open_batches import open_batches
from imagelake.run.contracts import FeedRequest
from imagelake.run.errors import ObjectMissingError
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import Batch, BookmarkUpdate, FeedPlan, PlannedBatch
from imagelake.run.posts import Item, Media, Post
from imagelake.sources import Feed, Reject
from imagelake.sources.signatures import without_signature
from validate.batch_size import max_images
from validate.pages import Entries

_NEVER = datetime.max.replace(tzinfo=UTC)
# Transform holds several copies of a batch's texts in memory.
MAX_BATCH_BYTES = 20_000_000
# The state of a run holds the counts, and at most 256 KB in all.
MAX_SKIP_REASONS = 20
# Fields of the progress that the coverage of the feed is made from.
SHOWN = {
    "pages", "calls", "new_posts", "oldest_at", "listed_at", "asked_from", "asked_to", "backfill", "declared", "limit",
}  # fmt: skip
_OTHER_REASONS = "other reasons"
_SAME_ID = "another image of the post has the same id"


@dataclass(frozen=True)
class Selection:
    """The batches to process, and the other contents of the pages: known images, rejected posts and skipped media."""

    # Open batches that an earlier run, or an earlier try of this call, has planned.
    resumed: list[PlannedBatch]
    new: list[PlannedBatch] = field(default_factory=list)
    source: str = ""
    posts: int = 0
    images: int = 0
    already_known: int = 0
    # Posts of which this run plans an image.
    posts_with_new: int = 0
    rejected_posts: list[Reject] = field(default_factory=list)
    skipped_media: list[Reject] = field(default_factory=list)
    suppressed: int = 0


class Planner:
    """Plans one feed in one run; if a later call plans the same pages again, it gets the same batches or fewer."""

    def __init__(self, request: FeedRequest, bucket: Bucket, media_index: MediaIndex) -> None:
        self._feed_id = request.feed.feed_id
        self._run = request.run
        self._progress = request.progress
        self._bucket = bucket
        self._media_index = media_index

    def select(self, feed: Feed, entries: Entries) -> Selection:
        """Choose the batches to process, by reading open batches and the media index; nothing is written."""
        own_batches = self._open_batches()
        resumed = [planned for planned in own_batches if self._resumes(planned, feed.window)]
        images, skipped = _images(feed, entries.posts)
        new = self._new_items(images, own_batches)
        options = self._run.changed_by(feed)
        # Items that an earlier try of this call has planned count as new, not as already known.
        ours = {item.media_id for planned in resumed if planned.run_id == self._run.run_id for item in planned.items}
        not_known = [*new, *(item for item in images if item.media_id in ours)]
        return Selection(
            resumed=resumed,
            new=[self._plan_batch(feed, items, options) for items in self._groups(new, options)],
            source=feed.source,
            posts=len(entries.posts),
            images=len(images),
            already_known=len(images) - len(not_known),
            posts_with_new=len({item.post_id for item in not_known}),
            rejected_posts=entries.rejects,
            skipped_media=skipped,
            suppressed=entries.suppressed,
        )

    def select_open_batches(self) -> Selection:
        """Choose the open batches of a removed feed; today's batches of a stream belong to the windows at work."""
        return Selection(
            [
                planned
                for planned in self._open_batches()
                if planned.batch.source != "stream" or self._is_earlier(planned)
            ]
        )

    def write(self, selection: Selection, warnings: list[str]) -> FeedPlan:
        """Store rejects, batches, open markers and the batch list."""
        self._write_rejects(selection)
        batches = sorted(
            selection.resumed + selection.new,
            key=lambda planned: (planned.batch.dt, *_urgency(*planned.items[:1])),
        )
        for planned in batches:
            self._write_batch(planned, object_keys.planned_batch(planned.batch))
        # The open markers (the objects under ``open/``) are written last: with them the plan takes effect. The marker
        # of a resumed batch is not written again, because another run may have closed that batch meanwhile.
        for planned in selection.new:
            self._write_batch(planned, object_keys.open_batch(planned.batch))
        list_key = object_keys.batch_list(self._run, self._feed_id)
        self._bucket.put_json(list_key, [planned.batch.model_dump() for planned in batches])
        progress = self._progress
        return FeedPlan(
            list_key=list_key,
            batches=len(batches),
            items=sum(planned.batch.items for planned in batches),
            resumed_batches=sum(planned.run_id != self._run.run_id for planned in selection.resumed),
            posts=selection.posts,
            already_known=selection.already_known,
            rejected_posts=len(selection.rejected_posts),
            suppressed=progress.suppressed + selection.suppressed,
            skipped_media=_count_reasons(selection.skipped_media),
            bookmark=BookmarkUpdate(newest_id=progress.newest_id, newest_at=progress.newest_at),
            stopped_by=progress.stopped_by,
            cost_usd=progress.cost_usd,
            warnings=warnings,
            # Commit Bookmark takes the cursor from the progress. The results of 50 feeds have no room for 50 cursors.
            backfill_position=progress.backfill_position.model_copy(update={"cursor": ""}),
            images=selection.images,
            **progress.model_dump(include=SHOWN)
            # A backfill can read posts again that earlier runs have read.
            | ({"new_posts": selection.posts_with_new} if progress.backfill else {}),
        )

    def _open_batches(self) -> list[PlannedBatch]:
        """List batches of this feed that are planned and not finished."""
        batches = []
        for key in self._bucket.list(object_keys.open_prefix(self._feed_id)):
            # Another run may close the batch between the listing and this read; then it is not open.
            with suppress(ObjectMissingError):
                batches.append(self._bucket.get_model(key, PlannedBatch))
        return batches

    def _is_earlier(self, planned: PlannedBatch) -> bool:
        return planned.batch.dt < self._run.dt

    def _resumes(self, planned: PlannedBatch, window: str | None) -> bool:
        """Tell if this run processes an open batch.

        The run of a stream window leaves the batches that other windows planned on the same day to the runs of those
        windows. The run that Ingest Stream starts for a window has the window's name as its run id.
        """
        return window is None or planned.run_id in (self._run.run_id, window) or self._is_earlier(planned)

    def _new_items(self, images: list[Item], own_batches: list[PlannedBatch]) -> list[Item]:
        """List the images that are neither in an open batch nor in the media index.

        A claim counts only while its batch is open: otherwise nobody would make a row of the image.
        """
        planned = {item.media_id for batch in own_batches for item in batch.items}
        candidates = [item for item in images if item.media_id not in planned]
        # A stale read may miss a media item. Then this run plans it again, and Transform cannot claim it.
        known = self._media_index.get_many((item.media_id for item in candidates), consistent=False)
        unfinished = [media_id for media_id, item in known.items() if item["status"] == CLAIMED]
        if unfinished:
            known |= self._media_index.get_many(unfinished)
            still_open = open_batches(self._bucket)
            for media_id in unfinished:
                if known[media_id]["status"] == CLAIMED and known[media_id]["batch_id"] not in still_open:
                    del known[media_id]
        return [item for item in candidates if item.media_id not in known]

    def _groups(self, items: list[Item], options: ImageOptions) -> Iterator[list[Item]]:
        """Split items into groups within the limits of a batch; images whose URLs expire first come first."""
        most = min(self._run.batch_size, max_images(options))
        group: list[Item] = []
        size = 0
        for item in sorted(items, key=_urgency):
            item_size = len(item.model_dump_json())
            if group and (len(group) == most or size + item_size > MAX_BATCH_BYTES):
                yield group
                group, size = [], 0
            group.append(item)
            size += item_size
        if group:
            yield group

    def _plan_batch(self, feed: Feed, items: list[Item], options: ImageOptions) -> PlannedBatch:
        batch = Batch(
            batch_id=object_keys.batch_id(self._feed_id, self._run.dt, (item.media_id for item in items)),
            feed_id=self._feed_id,
            source=feed.source,
            dt=self._run.dt,
            items=len(items),
        )
        return PlannedBatch(batch=batch, run_id=self._run.run_id, items=items, **options.image_options)

    def _write_batch(self, planned: PlannedBatch, key: str) -> None:
        self._bucket.put_json(key, planned.model_dump(mode="json"))

    def _write_rejects(self, selection: Selection) -> None:
        lines = [
            # An erasure finds the lines of a person by these ids and by the texts of the raw entry.
            {
                "kind": kind,
                "post_id": reject.post_id,
                "author_ids": reject.author_ids,
                "reason": reject.reason,
                "raw": reject.raw,
            }
            for kind, group in (("post", selection.rejected_posts), ("media", selection.skipped_media))
            for reject in group
        ]
        if lines:
            self._bucket.put_lines(object_keys.rejects(self._run, selection.source, self._feed_id), lines)


def _images(feed: Feed, posts: list[Post]) -> tuple[list[Item], list[Reject]]:
    """List every image once, and the skipped media items, each with its reason.

    Two posts can show one image, but in one post, an id with two URLs stands for two images.
    """
    items: dict[str, Item] = {}
    skipped: list[Reject] = []
    for post in posts:
        urls: dict[str, str] = {}
        for media in post.media:
            if media.kind == "image" and media.url is not None and media.skip_reason is None:
                url = without_signature(media.url)
                if urls.setdefault(media.media_id, url) != url:
                    skipped.append(_skipped(post, media, _SAME_ID))
                    continue
                items.setdefault(media.media_id, Item.of(feed.source, feed.name, post, media))
            else:
                skipped.append(_skipped(post, media, _skip_reason(media)))
    return list(items.values()), skipped


def _skipped(post: Post, media: Media, reason: str) -> Reject:
    return Reject(post.post_id, reason, media.model_dump(mode="json"), (post.author_id,))


def _count_reasons(skipped: list[Reject]) -> dict[str, int]:
    """Count the skipped media items by reason; rare reasons beyond the limit count together."""
    counts = Counter(reject.reason for reject in skipped).most_common()
    rest = sum(number for _, number in counts[MAX_SKIP_REASONS:])
    return dict(counts[:MAX_SKIP_REASONS]) | ({_OTHER_REASONS: rest} if rest else {})


def _urgency(item: Item | None = None) -> tuple[datetime, datetime, str]:
    if item is None:
        # All items of the batch were erased.
        return _NEVER, _NEVER, ""
    return item.expires_at or _NEVER, item.posted_at, item.media_id


def _skip_reason(media: Media) -> str:
    if media.skip_reason is not None:
        return media.skip_reason
    return "image without a URL" if media.kind == "image" else f"{media.kind} is not an image"
