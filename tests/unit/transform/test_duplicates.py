"""Exact duplicates: of all items with the same bytes one has the image, and every other one names it."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake.bucket import Bucket
from imagelake.lake.open_batches import open_batches
from imagelake.lake.originals import with_image
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.run.image_option_models import ImageOptions
from tests.support.factories import decide, item, plan, result
from tests.support.fake_lake import Lake
from transform.duplicates import mark_duplicates

BATCH = plan(item("a"), item("b"), item("c")).batch
A, B, C = (item(name).media_id for name in "abc")


def row(lake: Lake, name: str, raw: str = "same", status: Status = Status.OK, **changes: Any) -> StagedRow:
    """A decided row of a raw image with this SHA-256."""
    values = {"raw_sha256": raw, "raw_key": f"raw/images/{raw}", "width": 64, "height": 48, "phash": 7} | changes
    (decided,) = decide(lake, BATCH, result(item(name), status, tensor=b"numbers", **values))
    return decided


def closed(lake: Lake, name: str, status: str, raw: str = "same") -> str:
    """An item of an earlier batch that owns the raw image; returns its media id."""
    media_id = item(name).media_id
    lake.media_index.own({raw: media_id})
    lake.media_index.complete([{"media_id": media_id, "batch_id": "earlier", "status": status, "raw_sha256": raw}])
    return media_id


def open_again(lake: Lake, batch_id: str) -> None:
    lake.bucket.put(f"open/feed/{batch_id}.json", b"{}", "application/json")


def statuses(rows: list[StagedRow]) -> list[tuple[str, str | None]]:
    return [(row["status"], row["duplicate_of"]) for row in rows]


def owner(lake: Lake, raw: str = "same") -> str:
    found: str = lake.owners()[raw]["owner"]
    return found


def test_first_item_of_the_plan_is_the_owner(lake: Lake) -> None:
    rows = mark_duplicates([row(lake, "b"), row(lake, "a"), row(lake, "c")], lake.media_index, lake.bucket)
    assert statuses(rows) == [("ok", None), ("duplicate", B), ("duplicate", B)]
    assert owner(lake) == B


def test_duplicate_keeps_its_own_image_options_and_the_owner_keeps_the_image(lake: Lake) -> None:
    small, large = (ImageOptions(image_size=size).image_options_json for size in (64, 1024))
    rows = [row(lake, "a", image_options=small), row(lake, "b", image_options=large)]
    first, second = mark_duplicates(rows, lake.media_index, lake.bucket)
    assert (first["image_options"], first["image"]) == (small, rows[0]["image"])
    assert (second["status"], second["duplicate_of"], second["image_options"]) == ("duplicate", A, large)
    assert (second["image"], second["tensor"], second["width"]) == (None, None, None)


def test_images_with_other_bytes_are_no_duplicates(lake: Lake) -> None:
    rows = [row(lake, "a", "one"), row(lake, "b", "two")]
    assert mark_duplicates(rows, lake.media_index, lake.bucket) == rows
    assert (owner(lake, "one"), owner(lake, "two")) == (A, B)


def test_duplicate_keeps_its_features_but_not_its_image(lake: Lake) -> None:
    before = [row(lake, "a"), row(lake, "b")]
    first, duplicate = mark_duplicates(before, lake.media_index, lake.bucket)
    assert first == before[0]
    assert duplicate == before[1] | {
        "status": "duplicate", "duplicate_of": A, "duplicate_distance": 0, "duplicate_kind": "bytes",
        "width": None, "height": None, "image": None, "tensor": None,
    }  # fmt: skip


@pytest.mark.parametrize("status", ["ok", "claimed"])
def test_item_of_an_earlier_batch_stays_the_owner(lake: Lake, status: str) -> None:
    """The row of a claimed item has its image when its batch is closed."""
    earlier = closed(lake, "earlier", status)
    open_again(lake, "earlier")
    assert statuses(mark_duplicates([row(lake, "a"), row(lake, "b")], lake.media_index, lake.bucket)) == [
        ("duplicate", earlier),
        ("duplicate", earlier),
    ]
    assert owner(lake) == earlier


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.DUPLICATE])
def test_owner_without_an_image_loses_it_to_the_new_item(lake: Lake, status: Status) -> None:
    closed(lake, "earlier", status)
    assert statuses(mark_duplicates([row(lake, "a"), row(lake, "b")], lake.media_index, lake.bucket)) == [
        ("ok", None),
        ("duplicate", A),
    ]
    assert owner(lake) == A


def test_owner_that_nobody_knows_loses_the_image(lake: Lake) -> None:
    lake.media_index.own({"same": "gone"})
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("ok", None)]
    assert owner(lake) == A


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
def test_owner_of_the_same_batch_without_an_image_loses_it(lake: Lake, status: Status) -> None:
    """The row of an owner is decided again after damage, and its URL may have expired since."""
    mark_duplicates([row(lake, "a"), row(lake, "b")], lake.media_index, lake.bucket)
    again = [row(lake, "a", status=status), row(lake, "b")]
    assert statuses(mark_duplicates(again, lake.media_index, lake.bucket)) == [(status, None), ("ok", None)]
    assert owner(lake) == B


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
def test_row_without_an_image_never_owns_bytes(lake: Lake, status: Status) -> None:
    rows = [row(lake, "a", status=status), row(lake, "b"), row(lake, "c", status=status)]
    assert statuses(mark_duplicates(rows, lake.media_index, lake.bucket)) == [
        (status, None),
        ("ok", None),
        (status, None),
    ]
    assert owner(lake) == B


def test_no_owner_when_no_row_has_an_image(lake: Lake) -> None:
    rows = [row(lake, "a", status=Status.REJECTED), row(lake, "b", status=Status.FAILED, raw_sha256=None)]
    assert mark_duplicates(rows, lake.media_index, lake.bucket) == rows
    assert lake.owners() == {}


def test_accepted_item_owns_the_bytes_of_a_rejected_one(lake: Lake) -> None:
    """Another preset or decoder may accept what an earlier one has refused."""
    lake.media_index.note_rejected({"same": "earlier"})
    lake.media_index.complete([{"media_id": "earlier", "batch_id": "earlier", "status": Status.REJECTED}])
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("ok", None)]
    assert owner(lake) == A


def test_rows_that_are_marked_again_are_the_same(lake: Lake) -> None:
    closed(lake, "earlier", "ok", "theirs")
    closed(lake, "failed", "failed", "lost")
    rows = [row(lake, "a"), row(lake, "b"), row(lake, "c", "theirs"), row(lake, "d", "lost"), row(lake, "e", "lost")]
    marked, owners = mark_duplicates(rows, lake.media_index, lake.bucket), lake.owners()
    assert mark_duplicates(rows, lake.media_index, lake.bucket) == marked
    assert mark_duplicates(marked, lake.media_index, lake.bucket) == marked
    assert lake.owners() == owners


def test_two_batches_agree_on_the_owner(lake: Lake) -> None:
    for media_id, batch_id in ((A, "one"), (B, "two")):
        lake.media_index.claim([media_id], batch_id)
        open_again(lake, batch_id)
    first = mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)
    second = mark_duplicates([row(lake, "b")], lake.media_index, lake.bucket)
    assert statuses(first + second) == [("ok", None), ("duplicate", A)]
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("ok", None)]


def test_claimed_owner_loses_the_image_when_its_batch_is_not_open(lake: Lake) -> None:
    closed(lake, "earlier", "claimed")
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("ok", None)]
    assert owner(lake) == A


def test_owner_stays_when_its_batch_is_closed_meanwhile(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = closed(lake, "earlier", "claimed")

    def close_first(bucket: Bucket) -> dict[str, str]:
        closed(lake, "earlier", "ok")
        return open_batches(bucket)

    monkeypatch.setattr("imagelake.lake.originals.open_batches", close_first)
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("duplicate", earlier)]


def test_owner_whose_row_has_other_bytes_now_loses_the_image(lake: Lake) -> None:
    closed(lake, "earlier", "ok", "other")
    lake.media_index.own({"same": item("earlier").media_id})
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("ok", None)]
    assert owner(lake) == A


# ---- A rebuild accepts the owner at the same time --------------------------------------------------------------------


def map_while_owners_are_checked(monkeypatch: pytest.MonkeyPatch, lake: Lake, *raw: str) -> None:
    """Give rejected owners their images after it was seen that they have none, and before the images are taken over."""

    def seen(*given: Any) -> set[str]:
        valid = with_image(*given)
        monkeypatch.setattr("transform.duplicates.with_image", with_image)
        for sha256 in raw:
            media_id = owner(lake, sha256)
            entry = {"media_id": media_id, "batch_id": "earlier", "status": "ok", "raw_sha256": sha256}
            lake.media_index.complete([entry])
        return valid

    monkeypatch.setattr("transform.duplicates.with_image", seen)


def test_owner_that_is_accepted_meanwhile_keeps_the_image(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = closed(lake, "earlier", Status.REJECTED)
    map_while_owners_are_checked(monkeypatch, lake, "same")
    rows = mark_duplicates([row(lake, "a"), row(lake, "b")], lake.media_index, lake.bucket)
    assert statuses(rows) == [("duplicate", earlier), ("duplicate", earlier)]
    assert owner(lake) == earlier


def test_only_the_accepted_one_of_two_owners_keeps_its_image(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    accepted, rejected = closed(lake, "one", Status.REJECTED, "1"), closed(lake, "two", Status.REJECTED, "2")
    map_while_owners_are_checked(monkeypatch, lake, "1")
    rows = mark_duplicates([row(lake, "a", "2"), row(lake, "b", "1")], lake.media_index, lake.bucket)
    assert statuses(rows) == [("ok", None), ("duplicate", accepted)]
    assert rejected not in (owner(lake, "1"), owner(lake, "2"))


def test_owner_that_takes_its_image_back_itself_is_the_owner(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rebuild of the other file sees that it is no longer the owner, and is tried again before this one ends."""
    earlier, own, calls = closed(lake, "earlier", Status.REJECTED), lake.media_index.own, []

    def owned(media_ids: Any, instead_of: Any = None) -> dict[str, str]:
        calls.append(media_ids)
        if len(calls) == 3:
            assert own({"same": earlier}, instead_of={"same": A}) == {"same": earlier}
        return own(media_ids, instead_of)

    map_while_owners_are_checked(monkeypatch, lake, "same")
    monkeypatch.setattr(lake.media_index, "own", owned)
    assert statuses(mark_duplicates([row(lake, "a")], lake.media_index, lake.bucket)) == [("duplicate", earlier)]
    assert owner(lake) == earlier
