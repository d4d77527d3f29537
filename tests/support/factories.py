"""Runs, posts, plans, rows and images, each with defaults, so that a test names only what matters to it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from PIL import Image

from fetch.budget import Budgets, Refusal, Reservation
from imagelake.lake import object_keys
from imagelake.lake.dataset_file import read_version, write_file
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.rows import Row, Status, image_file, new_row, tombstone
from imagelake.lake.staging import Staging
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import Batch, FeedEntry, PlannedBatch, Run
from imagelake.run.posts import Item, Media, Post
from imagelake.sources import Feed
from tests.support.fake_lake import Lake

_EVENTS = Path(__file__).parents[1] / "events"
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
FEED = Feed.of("bluesky:alice.example.com")
ENTRY = FeedEntry(feed_id=FEED.feed_id, name=FEED.name, config=FEED.name)
OTHER_ENTRY = FeedEntry(
    feed_id="mastodon-x",
    name="mastodon:x.example#cats",
    config={"source": "mastodon", "server": "x.example", "hashtag": "cat's"},
)


class NoBudgets(Budgets):
    """Counts nothing, for tests of something else."""

    def reserve(self, usd: float, now: datetime) -> Reservation | Refusal:
        return Reservation((), 0)

    def settle(self, reservation: Reservation, usd: float) -> None:
        pass


NO_BUDGETS = NoBudgets("none", FEED, ENTRY.feed_id, Decimal(0), Decimal(0))
RUN = Run.model_validate(json.loads((_EVENTS / "validate.json").read_text())["run"])


@dataclass
class Context:
    """A Lambda context; ``seconds`` returns the remaining time of the function at each call."""

    seconds: Callable[[], float] = lambda: 300.0
    function_name: str = "test"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id: str = "52fdfc07-2182-154f-163f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds() * 1000)


def event(name: str, **replaced: Any) -> dict[str, Any]:
    """The example event of a function, with top-level fields replaced."""
    example: dict[str, Any] = json.loads((_EVENTS / f"{name}.json").read_text())
    assert replaced.keys() <= example.keys()
    models = {key: value.model_dump() if hasattr(value, "model_dump") else value for key, value in replaced.items()}
    return example | models


def media(name: str, **changes: Any) -> Media:
    values = {"media_id": f"bluesky/alice/{name}/0", "index": 0, "kind": "image", "url": f"https://cdn.test/{name}.jpg"}
    return Media.model_validate(values | changes)


def post(name: str, *attached: Media, **changes: Any) -> Post:
    values = {"post_id": name, "author_id": "did:plc:alice", "author_name": "Alice", "posted_at": NOON, "text": "A cat"}
    return Post.model_validate(values | changes | {"media": attached or (media(name),)})


def item(name: str, url: str | None = None, **changes: Any) -> Item:
    planned = Item.of(FEED.source, FEED.name, post(name), media(name, **({"url": url} if url else {})))
    return planned.model_copy(update=changes)


def plan(*items: Item, run_id: str = RUN.run_id, dt: str = RUN.dt, feed_id: str = ENTRY.feed_id) -> PlannedBatch:
    batch = Batch(
        batch_id=object_keys.batch_id(feed_id, dt, (one.media_id for one in items)),
        feed_id=feed_id,
        source=FEED.source,
        dt=dt,
        items=len(items),
    )
    return PlannedBatch(batch=batch, run_id=run_id, items=list(items))


def feed_plan(**changes: Any) -> dict[str, Any]:
    """A result of Validate."""
    plan: dict[str, Any] = {
        "list_key": "work/list.json",
        "batches": 0,
        "items": 0,
        "resumed_batches": 0,
        "posts": 0,
        "already_known": 0,
        "rejected_posts": 0,
        "suppressed": 0,
        "skipped_media": {},
        "bookmark": {"newest_id": "", "newest_at": ""},
        "stopped_by": None,
        "cost_usd": 0.0,
        "warnings": [],
        "backfill": False,
        "backfill_position": {"cursor": "", "reached_to": "", "begun_at": "", "is_at_end": False},
    }
    return plan | changes


def up_to_date(feed: FeedEntry = ENTRY, **plan: Any) -> dict[str, Any]:
    """The result of a feed without new posts, as Report gets it."""
    return {"feed": feed.model_dump(), "status": "up_to_date", "plan": feed_plan(**plan)}


def failed(
    error: str = "SourceUnavailableError",
    feed: FeedEntry = OTHER_ENTRY,
    cause: str = '{"errorMessage": "x.example did not answer"}',
) -> dict[str, Any]:
    """The result of a feed that failed, as Report gets it."""
    return {"feed": feed.model_dump(), "status": "failed", "error": {"Error": error, "Cause": cause}}


def jpeg(color: str = "teal", size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "JPEG")
    return out.getvalue()


def result(item: Item, status: Status = Status.OK, **changes: Any) -> Row:
    """The row that Transform makes of an item, with an image if it is ``ok``."""
    options = ImageOptions().image_options_json
    row = new_row(item, run_id=RUN.run_id, dt=RUN.dt, image_options=options) | {"status": status}
    if status is Status.OK:
        row |= {"image": image_file(item.media_id, jpeg())}
    if status is Status.FAILED:
        row |= {"error_code": "not_found", "error_message": "cdn.test answered 404"}
    elif status is Status.REJECTED:
        row |= {"error_code": "corrupt", "error_message": "the decoder refused it"}
    if status is Status.ERASED:
        return tombstone(row, with_ids=True)
    if status is not Status.FAILED:
        sha256 = (item.media_id.encode().hex() * 64)[:64]
        row |= {"raw_key": object_keys.raw_image(sha256), "raw_sha256": sha256, "raw_bytes": 1000}
    return cast(Row, {**row, **changes})


def keep_plan(lake: Lake, planned: PlannedBatch) -> PlannedBatch:
    """Store a plan as Validate does."""
    for key in (object_keys.planned_batch(planned.batch), object_keys.open_batch(planned.batch)):
        lake.bucket.put(key, planned.model_dump_json().encode(), "application/json")
    return planned


def decide(lake: Lake, batch: Batch, *rows: Row) -> list[StagedRow]:
    """Store rows in the first part of a batch, in place of rows of the same items, as Transform does."""
    parts = Parts(lake.bucket, batch)
    decided = parts.write(0, parts.read(0), rows)
    assert decided is not None
    return [decided[row["media_id"]] for row in rows]


def stage(lake: Lake, batch: Batch, *rows: Row) -> list[StagedRow]:
    """Decide rows and stage them."""
    decided = decide(lake, batch, *rows)
    Staging(lake.bucket, batch).write(decided)
    return decided


def keep_rows(lake: Lake, planned: PlannedBatch, *results: Row) -> PlannedBatch:
    """Store a plan and its rows as Validate and Transform do; without results, every row is ``ok``."""
    keep_plan(lake, planned)
    rows = results or tuple(result(one) for one in planned.items)
    media_ids = [row["media_id"] for row in rows]
    if planned.batch.retried_by:
        lake.media_index.claim_again(media_ids, planned.batch)
    else:
        lake.media_index.claim(media_ids, planned.batch.batch_id)
    stage(lake, planned.batch, *rows)
    return planned


def keep_file(lake: Lake, planned: PlannedBatch, *results: Row) -> PlannedBatch:
    """Store a plan, its rows, and a file that names these rows as that of Write Parquet does, but has none."""
    keep_rows(lake, planned, *results)
    _, staged_sha256 = Staging(lake.bucket, planned.batch).read_rows()
    before = read_version(lake.bucket, planned.batch)
    assert write_file(lake.bucket, planned.batch, b"PAR1", staged_sha256, before)
    return planned
