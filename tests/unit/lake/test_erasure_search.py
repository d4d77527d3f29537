"""The search for what a request erases: items, their copies, the duplicates that take their places, open batches."""

from __future__ import annotations

from typing import Any, cast

import pytest

import map_keys.app
from imagelake.lake import object_keys
from imagelake.lake.erasure_found import Found, FoundItem
from imagelake.lake.erasure_search import Search
from imagelake.lake.rows import Row, Status
from imagelake.run.erasure_models import Selection
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from tests.support.factories import Context, event, item, keep_file, keep_plan, plan, result
from tests.support.fake_lake import Lake
from tests.support.row_erasures import keep_versions

ALICE, BOB = "did:plc:alice", "did:plc:bob"
SHA256 = "ab" * 32


def name(author_id: str, **more: str) -> dict[str, str]:
    return {"source": "bluesky", "author_id": author_id, **more}


def search(lake: Lake, **selection: Any) -> Found:
    before = lake.stored()
    found = Search(lake.media_index, lake.bucket).find(Selection.model_validate(selection))
    assert lake.stored() == before
    return found


def close(lake: Lake, *rows: Row, dt: str = "2026-04-01", feed_id: str = "feed") -> PlannedBatch:
    """Carry rows through a batch of their own; an accepted image gets its owner as in Transform."""
    items = [item(row["post_id"], author_id=row["author_id"]) for row in rows]
    dated = [cast(Row, {**row, "dt": dt}) for row in rows]
    planned = keep_file(lake, plan(*items, dt=dt, feed_id=feed_id), *dated)
    lake.media_index.own(
        {str(row["raw_sha256"]): row["media_id"] for row in rows if row["status"] == Status.OK and row["raw_sha256"]}
    )
    for row in rows:
        if row["raw_key"] is not None:
            lake.bucket.put_once(row["raw_key"], b"raw")
    map_keys.app.handler(event("map_keys", batch=planned.batch), Context())
    return planned


def shown(name: str, author_id: str = ALICE, sha256: str = SHA256, **more: Any) -> Row:
    raw: dict[str, Any] = {"raw_sha256": sha256, "raw_key": object_keys.raw_image(sha256)}
    return result(item(name, author_id=author_id), **raw, **more)


def copy_of(original: Item, name: str, author_id: str, sha256: str = SHA256) -> Row:
    return shown(name, author_id, sha256, status=Status.DUPLICATE, duplicate_of=original.media_id)


def media_ids(*names: str) -> list[str]:
    return sorted(item(one).media_id for one in names)


def test_nothing_is_found(lake: Lake) -> None:
    close(lake, shown("one"))
    authors = [name(BOB), {"source": "x", "author_id": ALICE}]
    found = search(lake, authors=authors, media_ids=["x/1"], sha256=["cd" * 32])
    assert found == Found(with_copies={"cd" * 32})


@pytest.mark.slow
@pytest.mark.parametrize(
    "selection",
    [
        {"authors": [name(BOB)]},
        {"posts": [name(BOB, post_id="two")]},
        {"media_ids": [item("two").media_id]},
        {"sha256": ["cd" * 32]},
        {"authors": [name(BOB)], "media_ids": [item("two").media_id]},
    ],
)
def test_item_is_found_by_each_of_its_ids(lake: Lake, selection: dict[str, Any]) -> None:
    planned = close(lake, shown("one"), shown("two", BOB, "cd" * 32))
    found = search(lake, **selection)
    assert found.files == {object_keys.parquet(planned.batch): media_ids("two")}
    assert found.items[item("two").media_id].row == 1
    assert found.raw_images == {object_keys.raw_image("cd" * 32)}
    assert (found.successors, found.open_batches) == ({}, {})


def test_failed_and_rejected_items_are_found(lake: Lake) -> None:
    rows = [shown("bad", BOB, status=Status.REJECTED), result(item("gone", author_id=BOB), Status.FAILED)]
    close(lake, *rows)
    found = search(lake, authors=[name(BOB)])
    assert sorted(found.items) == media_ids("bad", "gone")
    assert found.raw_images == {object_keys.raw_image(SHA256)}


@pytest.mark.slow
@pytest.mark.parametrize("selection", [{"authors": [name(ALICE)]}, {"sha256": [SHA256]}])
def test_image_of_a_person_goes_with_all_its_copies(lake: Lake, selection: dict[str, Any]) -> None:
    first = close(lake, shown("one"))
    second = close(lake, copy_of(item("one"), "two", BOB), shown("other", BOB, "cd" * 32), dt="2026-04-02")
    found = search(lake, **selection)
    assert found.files == {
        object_keys.parquet(first.batch): media_ids("one"),
        object_keys.parquet(second.batch): media_ids("two"),
    }
    assert (found.successors, found.raw_images) == ({}, {object_keys.raw_image(SHA256)})


def test_person_who_shows_the_image_of_another_one_loses_only_that_row(lake: Lake) -> None:
    close(lake, shown("one"), copy_of(item("one"), "two", BOB))
    found = search(lake, authors=[name(BOB)])
    assert sorted(found.items) == media_ids("two")
    assert (found.successors, found.raw_images) == ({}, set())


@pytest.mark.slow
@pytest.mark.parametrize("selection", [{"posts": [name(ALICE, post_id="one")]}, {"media_ids": media_ids("one")}])
def test_oldest_duplicate_takes_the_place_of_a_post(lake: Lake, selection: dict[str, Any]) -> None:
    close(lake, shown("one"))
    close(lake, copy_of(item("one"), "a", BOB), dt="2026-04-03")
    close(lake, copy_of(item("one"), "c", BOB), copy_of(item("one"), "b", BOB), dt="2026-04-02")
    found = search(lake, **selection)
    assert sorted(found.items) == media_ids("one")
    assert found.successors == {item("one").media_id: item("b").media_id}
    assert found.raw_images == set()


def test_duplicate_that_is_erased_too_takes_no_place(lake: Lake) -> None:
    close(lake, shown("one"), copy_of(item("one"), "two", BOB), copy_of(item("one"), "three", "did:plc:carol"))
    found = search(lake, media_ids=media_ids("one", "three"))
    assert found.successors == {item("one").media_id: item("two").media_id}
    assert search(lake, media_ids=media_ids("one", "two", "three")).successors == {}


@pytest.mark.slow
@pytest.mark.parametrize("near_duplicates", [False, True])
def test_near_duplicates_only_if_asked(lake: Lake, near_duplicates: bool) -> None:
    near = shown("near", BOB, "cd" * 32, duplicate_of=item("one").media_id)
    close(lake, shown("one"), near)
    close(lake, copy_of(item("near"), "same", BOB, "cd" * 32), dt="2026-04-02")
    found = search(lake, media_ids=media_ids("one"), near_duplicates=near_duplicates)
    assert sorted(found.items) == media_ids(*(["near", "one", "same"] if near_duplicates else ["one"]))
    assert found.successors == {}


def test_items_of_open_batches_are_found(lake: Lake) -> None:
    planned = keep_plan(lake, plan(item("one"), item("two", author_id=BOB), item("three", author_id=BOB)))
    keep_plan(lake, plan(item("four"), feed_id="another"))
    key = object_keys.parquet(planned.batch)
    both = media_ids("two", "three")
    assert search(lake, authors=[name(BOB)]).open_batches == {key: both}
    assert search(lake, posts=[name(BOB, post_id="two")]).open_batches == {key: media_ids("two")}
    assert search(lake, media_ids=media_ids("three")).open_batches == {key: media_ids("three")}


@pytest.mark.parametrize("selection", [{"authors": [name(BOB)]}, {"posts": [name(BOB, post_id="two")]}])
def test_bytes_that_an_earlier_search_knew_stay_after_the_part_has_changed(
    lake: Lake, selection: dict[str, Any]
) -> None:
    keep_plan(lake, plan(item("two", author_id=BOB)))
    lake.bucket.put_once(object_keys.raw_image(SHA256), b"raw")
    (media_id,) = media_ids("two")
    earlier = Found(items={media_id: FoundItem(key="any", raw_sha256=SHA256)})
    found = Search(lake.media_index, lake.bucket).find(Selection.model_validate(selection), earlier)
    assert found.items[media_id].raw_sha256 == SHA256
    assert found.raw_images == {object_keys.raw_image(SHA256)}


@pytest.mark.parametrize(
    "selection",
    [{"authors": [name(BOB)]}, {"posts": [name(BOB, post_id="two")]}, {"media_ids": media_ids("two")}],
)
def test_plan_of_a_batch_that_was_closed_without_an_entry_is_found(lake: Lake, selection: dict[str, Any]) -> None:
    planned = keep_plan(lake, plan(item("one"), item("two", author_id=BOB)))
    # A run planned it before the suppression, and closed it after that: its row has no ids.
    lake.bucket.delete(object_keys.open_batch(planned.batch))
    search_of = Search(lake.media_index, lake.bucket)
    found = search_of.find(Selection.model_validate(selection))
    assert found.open_batches == {object_keys.parquet(planned.batch): media_ids("two")}
    assert search_of.left == 1


def test_damaged_plan_of_a_closed_batch_is_passed_over(lake: Lake) -> None:
    lake.bucket.put("work/plans/damaged.json", b"{", "application/json")
    assert search(lake, authors=[name(BOB)]).items == {}


OF_BOB = [{"authors": [name(BOB)]}, {"posts": [name(BOB, post_id="two")]}, {"media_ids": media_ids("two")}]


@pytest.mark.slow
@pytest.mark.parametrize("selection", OF_BOB)
def test_all_batches_that_planned_an_item_are_found_at_once(lake: Lake, selection: dict[str, Any]) -> None:
    """A post that several feeds list is in the plans of all of them, and one of them claims it."""
    closed = close(lake, shown("one"), shown("two", BOB))
    others = [keep_plan(lake, plan(item("two", author_id=BOB), item(f"x{n}"), feed_id=f"feed-{n}")) for n in range(8)]
    lake.bucket.delete(object_keys.open_batch(others[0].batch))
    found = search(lake, **selection)
    keys = {object_keys.parquet(one.batch) for one in others}
    assert found.files == {object_keys.parquet(closed.batch): media_ids("two")}
    assert found.open_batches == dict.fromkeys(keys, media_ids("two"))
    assert {one.key for one in found.changes if one.erase} == {object_keys.parquet(closed.batch), *keys}


@pytest.mark.slow
@pytest.mark.parametrize("selection", [*OF_BOB, {"sha256": [SHA256]}])
@pytest.mark.parametrize("is_expired", [True, False])
def test_older_versions_of_plans_and_markers_are_found(lake: Lake, selection: dict[str, Any], is_expired: bool) -> None:
    """A plan expires after 14 days, and a marker goes when its batch is closed; then both are older versions."""
    keep_versions()
    close(lake, shown("two", BOB))
    other = keep_plan(lake, plan(item("two", author_id=BOB), item("y"), feed_id="another"))
    smaller = other.model_copy(update={"items": other.items[1:]})
    for key in (object_keys.planned_batch(other.batch), object_keys.open_batch(other.batch)):
        lake.bucket.put_json(key, smaller.model_dump(mode="json"))
        if is_expired:
            lake.bucket.delete(key)
    found = search(lake, **selection)
    assert found.open_batches == {object_keys.parquet(other.batch): media_ids("two")}
