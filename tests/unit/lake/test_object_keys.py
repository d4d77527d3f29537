"""Object keys: the same content has the same key, other content has another."""

from __future__ import annotations

import re

from imagelake.lake import object_keys
from imagelake.run.models import Batch, Run

RUN = Run(
    run_id="run-1",
    execution_arn="arn:aws:states:us-east-1:123456789012:execution:ImagePipeline:run-1",
    dt="2026-04-01",
    batch_size=250,
    posts_per_feed=1000,
    failure_tolerance_percent=20,
)
BATCH = Batch(batch_id="b1", feed_id="feed-1", source="bluesky", dt="2026-04-01", items=3)


def test_batch_id_depends_on_feed_day_and_media_alone() -> None:
    name = object_keys.batch_id("feed", "2026-04-01", ["a", "b"])
    assert re.fullmatch("[0-9a-f]{20}", name)
    assert object_keys.batch_id("feed", "2026-04-01", iter(["b", "a"])) == name
    others = [("other", "2026-04-01", ["a", "b"]), ("feed", "2026-04-02", ["a", "b"]), ("feed", "2026-04-01", ["a"])]
    assert name not in {object_keys.batch_id(*other) for other in others}


def test_every_name_is_in_its_zone() -> None:
    assert {
        object_keys.raw_page(RUN, "bluesky", "feed-1", 7),
        object_keys.feed_definition("bluesky", RUN.dt, RUN.run_id, "feed-1"),
        object_keys.raw_image("abcd"),
        object_keys.open_batch(BATCH),
        object_keys.planned_batch(BATCH),
        object_keys.staged(BATCH),
        object_keys.part(BATCH, 12),
        object_keys.batch_list(RUN, "feed-1"),
        object_keys.batch_failure("run-1", "b1"),
        object_keys.parquet(BATCH),
        object_keys.rejects(RUN, "bluesky", "feed-1"),
        object_keys.failures(RUN.run_id, "feed-1"),
        object_keys.run_summary(RUN.run_id),
        object_keys.html_report(RUN.run_id),
        object_keys.feed_reconciliation(RUN, "feed-1"),
    } == {
        "raw/posts/source=bluesky/dt=2026-04-01/run-1/feed-1-00007.json.gz",
        "raw/posts/source=bluesky/dt=2026-04-01/run-1/feed-1.json",
        "raw/images/ab/abcd",
        "open/feed-1/b1.json",
        "work/plans/b1.json",
        "work/staged/b1.jsonl",
        "work/parts/b1/retry=/00012",
        "work/lists/run-1/feed-1.json",
        "work/failed-batches/run-1/b1.json",
        "lake/images/source=bluesky/dt=2026-04-01/b1.parquet",
        "rejects/source=bluesky/dt=2026-04-01/run-1-feed-1.jsonl",
        "reports/run-1/failures/feed-1.jsonl",
        "reports/run-1/run.json",
        "reports/run-1/index.html",
        "reports/run-1/feeds/feed-1.json",
    }
    again = BATCH.model_copy(update={"retried_by": "run-2"})
    assert (object_keys.planned_batch(again), object_keys.staged(again)) == (
        "work/plans/b1/run-2.json",
        "work/staged/b1/run-2.jsonl",
    )
    assert (object_keys.parquet(again), object_keys.open_batch(again)) == (
        object_keys.parquet(BATCH),
        object_keys.open_batch(BATCH),
    )
    assert object_keys.first_planned_batch("b1") == object_keys.planned_batch(BATCH)
    assert object_keys.open_batch(BATCH).startswith(object_keys.open_prefix("feed-1"))


def test_parts_of_a_retry_are_not_among_those_of_the_batch() -> None:
    again = BATCH.model_copy(update={"retried_by": "run-2"})
    another = BATCH.model_copy(update={"retried_by": "run-22"})
    folders = [object_keys.parts_prefix(batch) for batch in (BATCH, again, another)]
    for batch, folder in zip((BATCH, again, another), folders, strict=True):
        part = object_keys.part(batch, 0)
        assert [other for other in folders if part.startswith(other)] == [folder]


def test_parts_are_in_order() -> None:
    parts = [object_keys.part(BATCH, number) for number in (0, 1, 9, 10, 99, 100, 3999)]
    assert sorted(parts) == parts


def test_everything_of_a_rebuild_is_below_the_etag_of_its_file() -> None:
    batch = BATCH.model_copy(update={"rebuilt_by": "rebuild-1", "read_etag": "abc"})
    assert object_keys.planned_batch(batch) == "work/rebuild/plans/b1/rebuild-1/abc.json"
    assert object_keys.staged(batch) == "work/rebuild/staged/b1/rebuild-1/abc.jsonl"
    assert object_keys.part(batch, 3) == "work/rebuild/parts/b1/rebuild-1/abc/00003"
    assert object_keys.attempt(batch, 0) == "work/rebuild/attempts/b1/rebuild-1/abc/00000"
    assert object_keys.parquet(batch) == object_keys.parquet(BATCH)
    # A run can have the name of a rebuild.
    assert batch.work_id != BATCH.model_copy(update={"retried_by": "rebuild-1"}).work_id


def test_key_of_a_file_leads_to_its_batch() -> None:
    found = object_keys.batch_of_file(object_keys.parquet(BATCH))
    assert found is not None
    assert (found.batch_id, found.source, found.dt) == ("b1", "bluesky", "2026-04-01")
    for key in ("lake/images/source=x/dt=2026-04-01/note.txt", "lake/other/a.parquet", "lake/images/a.parquet", ""):
        assert object_keys.batch_of_file(key) is None
