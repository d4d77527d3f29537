"""Decisions: an item has one row, whatever its workers download, and every raw image has a row."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import Parts, StagedRow
from imagelake.lake.rows import Status, image_file
from imagelake.run.errors import StorageUnavailableError
from tests.support.factories import decide, item, plan, result
from tests.support.fake_lake import Lake
from transform.decisions import Decisions
from transform.results import Result

BATCH = plan(item("a"), item("b"), item("c")).batch
A, B, C = (item(name).media_id for name in "abc")


def downloaded(name: str, raw: bytes, status: Status = Status.OK) -> Result:
    """The result of an item with these bytes; its image has the same bytes, so that a test sees which one it is."""
    sha256 = hashlib.sha256(raw).hexdigest()
    values: dict[str, Any] = {
        "raw_key": object_keys.raw_image(sha256), "raw_sha256": sha256, "raw_bytes": len(raw),
        "image": image_file(item(name).media_id, raw) if status is Status.OK else None,
    }  # fmt: skip
    return Result(result(item(name), status, **values), raw)


def not_downloaded(name: str) -> Result:
    return Result(result(item(name), Status.FAILED), None)


def worker(lake: Lake) -> Decisions:
    return Decisions(lake.bucket, BATCH)


def images(lake: Lake, rows: Mapping[str, StagedRow]) -> dict[str, bytes | None]:
    """The image of each row by media id."""
    attached = Parts(lake.bucket, BATCH).attach_images(rows.values())
    return {row["media_id"]: row["image"] and row["image"]["bytes"] for row in attached}


def raw_images(lake: Lake) -> set[bytes]:
    """All raw images, each under the key of its bytes."""
    bodies = {key: lake.bucket.get(key) for key in lake.bucket.list("raw/images/")}
    assert all(key == object_keys.raw_image(hashlib.sha256(body).hexdigest()) for key, body in bodies.items())
    return set(bodies.values())


def dies_after_the_part(lake: Lake, *results: Result) -> list[StagedRow]:
    """Let a worker decide rows and die before it stores their raw images."""
    return decide(lake, BATCH, *(one.row for one in results))


def minutes_later(monkeypatch: pytest.MonkeyPatch, minutes: float) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(minutes=minutes)

    monkeypatch.setattr("transform.decisions.datetime", Later)


def test_rows_are_decided_and_their_raw_images_stored(lake: Lake) -> None:
    decisions = worker(lake)
    decisions.decide(0, [downloaded("a", b"one"), not_downloaded("b")])
    decisions.decide(1, [downloaded("c", b"three", Status.REJECTED)])
    assert list(decisions.rows) == [A, B, C]
    assert images(lake, decisions.rows) == {A: b"one", B: None, C: None}
    assert raw_images(lake) == {b"one", b"three"}


def test_raw_images_are_stored_after_the_part(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    put = Bucket.put_if_unchanged

    def note(bucket: Bucket, key: str, *arguments: Any) -> bool:
        written.append(key)
        return put(bucket, key, *arguments)

    monkeypatch.setattr(Bucket, "put_if_unchanged", note)
    worker(lake).decide(0, [downloaded("a", b"one"), downloaded("b", b"two")])
    part, *raw = written
    assert part == object_keys.part(BATCH, 0)
    assert sorted(raw) == lake.bucket.list("raw/images/")


def test_next_worker_knows_what_is_decided(lake: Lake) -> None:
    first = worker(lake)
    first.decide(0, [downloaded("a", b"one"), not_downloaded("b")])
    first.decide(3, [downloaded("c", b"three")])
    assert worker(lake).rows == first.rows


def test_second_worker_takes_the_rows_of_the_first_one(lake: Lake) -> None:
    first, second = worker(lake), worker(lake)
    first.decide(0, [downloaded("a", b"one"), downloaded("b", b"two"), not_downloaded("c")])
    second.decide(0, [downloaded("a", b"another"), not_downloaded("b"), downloaded("c", b"three")])
    assert second.rows == first.rows
    assert images(lake, second.rows) == {A: b"one", B: b"two", C: None}
    assert raw_images(lake) == {b"one", b"two"}, "no raw image is without a row"


def test_second_worker_writes_nothing_when_all_is_decided(lake: Lake) -> None:
    first, second = worker(lake), worker(lake)
    results = [downloaded("a", b"one"), downloaded("b", b"two")]
    first.decide(0, results)
    stored = lake.stored()
    second.decide(0, results)
    assert lake.stored() == stored


def test_part_grows_by_an_item_that_was_claimed_later(lake: Lake) -> None:
    first, second = worker(lake), worker(lake)
    first.decide(0, [downloaded("a", b"one")])
    second.decide(0, [downloaded("a", b"another"), downloaded("b", b"two")])
    assert second.rows[A] == first.rows[A]
    assert images(lake, second.rows) == {A: b"one", B: b"two"}
    assert images(lake, first.rows) == {A: b"one"}
    assert raw_images(lake) == {b"one", b"two"}


def test_part_grows_by_items_for_which_the_time_was_too_short(lake: Lake) -> None:
    worker(lake).decide(0, [downloaded("a", b"one")])
    later = worker(lake)
    later.decide(0, [downloaded("b", b"two")])
    assert images(lake, later.rows) == {A: b"one", B: b"two"}
    assert images(lake, worker(lake).rows) == {A: b"one", B: b"two"}


def test_same_bytes_of_two_items_are_stored_once(lake: Lake) -> None:
    decisions = worker(lake)
    decisions.decide(0, [downloaded("a", b"same"), downloaded("b", b"same")])
    assert images(lake, decisions.rows) == {A: b"same", B: b"same"}
    assert raw_images(lake) == {b"same"}


def test_many_workers_agree_on_the_rows(lake: Lake) -> None:
    def work(number: int) -> dict[str, StagedRow]:
        results = [downloaded(name, f"{name}{number}".encode()) for name in "abc"]
        # A worker that comes between the part of another one and its raw images tries again.
        for _ in range(100):
            try:
                decisions = worker(lake)
                decisions.decide(0, results)
                decisions.check_waiting()
                return decisions.rows
            except StorageUnavailableError:
                time.sleep(0.02)
        pytest.fail("the raw images never came")

    with ThreadPoolExecutor(6) as pool:
        first, *others = pool.map(work, range(6))
    assert all(rows == first for rows in others)
    assert raw_images(lake) == set(images(lake, first).values())


# A worker that died between its part and its raw images.


def test_row_without_its_raw_image_is_not_finished(lake: Lake) -> None:
    dies_after_the_part(lake, downloaded("a", b"one"), not_downloaded("b"))
    assert list(worker(lake).rows) == [B]


def test_raw_image_is_stored_when_its_bytes_come_again(lake: Lake) -> None:
    (row,) = dies_after_the_part(lake, downloaded("a", b"one"))
    later = worker(lake)
    later.decide(0, [downloaded("a", b"one")])
    assert images(lake, later.rows) == images(lake, {A: row}) == {A: b"one"}
    assert raw_images(lake) == {b"one"}
    assert worker(lake).rows == later.rows


OTHERS = pytest.mark.parametrize(
    "other", [downloaded("a", b"another"), downloaded("a", b"bad", Status.REJECTED), not_downloaded("a")],
    ids=["another image", "a rejected one", "a failure"],
)  # fmt: skip


@OTHERS
@pytest.mark.parametrize("minutes", [0, 15])
def test_row_waits_while_its_worker_may_be_alive(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, other: Result, minutes: float
) -> None:
    dies_after_the_part(lake, downloaded("a", b"one"))
    stored = lake.stored()
    minutes_later(monkeypatch, minutes)
    later = worker(lake)
    later.decide(0, [other])
    assert lake.stored() == stored
    found = lake.bucket.version(object_keys.part(BATCH, 0))
    assert found is not None
    dead_at = found.modified_at + timedelta(minutes=16)
    assert (later.rows, later.waiting) == ({}, {A: dead_at})
    with pytest.raises(
        StorageUnavailableError,
        match=rf"1 raw images are not stored yet, .* of {A}; .* can go on after {dead_at:%H:%M} UTC",
    ):
        later.check_waiting()


def test_no_row_waits_when_all_is_decided(lake: Lake) -> None:
    decisions = worker(lake)
    decisions.decide(0, [downloaded("a", b"one"), not_downloaded("b")])
    decisions.check_waiting()


@OTHERS
def test_row_is_replaced_when_its_worker_is_dead(lake: Lake, monkeypatch: pytest.MonkeyPatch, other: Result) -> None:
    dies_after_the_part(lake, downloaded("a", b"one"))
    minutes_later(monkeypatch, 16.1)
    later = worker(lake)
    later.decide(0, [other])
    assert later.rows[A]["raw_sha256"] == other.row["raw_sha256"]
    assert images(lake, later.rows) == {A: other.row["image"] and other.row["image"]["bytes"]}
    assert raw_images(lake) == ({other.raw} if other.raw else set())
    assert worker(lake).rows == later.rows


def test_other_rows_of_a_part_stay_when_one_is_replaced(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first = worker(lake)
    first.decide(0, [downloaded("a", b"one"), not_downloaded("b")])
    dies_after_the_part(lake, downloaded("c", b"three"))
    minutes_later(monkeypatch, 16.1)
    later = worker(lake)
    later.decide(0, [not_downloaded("c")])
    assert {media_id: row for media_id, row in later.rows.items() if media_id != C} == first.rows
    assert images(lake, later.rows) == {A: b"one", B: None, C: None}


def test_other_rows_are_decided_while_one_waits(lake: Lake) -> None:
    dies_after_the_part(lake, downloaded("a", b"one"), downloaded("b", b"two"))
    later = worker(lake)
    later.decide(0, [downloaded("a", b"one"), not_downloaded("b"), downloaded("c", b"three")])
    assert list(later.waiting) == [B]
    assert images(lake, later.rows) == {A: b"one", C: b"three"}
    assert raw_images(lake) == {b"one", b"three"}
    assert worker(lake).rows == later.rows


def test_row_waits_again_when_its_part_has_grown(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    dies_after_the_part(lake, downloaded("a", b"one"))
    worker(lake).decide(0, [downloaded("b", b"two")])
    later = worker(lake)
    minutes_later(monkeypatch, 15)
    later.decide(0, [not_downloaded("a"), not_downloaded("c")])
    assert later.waiting[A] > datetime.now(UTC) + timedelta(minutes=15 + 15)


def test_second_worker_waits_for_the_raw_images_of_the_first_one(lake: Lake) -> None:
    second = worker(lake)
    dies_after_the_part(lake, downloaded("a", b"one"))
    second.decide(0, [downloaded("a", b"another")])
    assert list(second.waiting) == [A]
    lake.bucket.put_once(object_keys.raw_image(hashlib.sha256(b"one").hexdigest()), b"one")
    again = worker(lake)
    again.decide(0, [downloaded("a", b"another")])
    assert images(lake, again.rows) == {A: b"one"}
    assert raw_images(lake) == {b"one"}


@pytest.mark.parametrize("late", [b"one", b"three"], ids=["the lost bytes", "other bytes"])
def test_row_of_a_dead_worker_is_replaced_once(lake: Lake, monkeypatch: pytest.MonkeyPatch, late: bytes) -> None:
    dies_after_the_part(lake, downloaded("a", b"one"))
    minutes_later(monkeypatch, 16.1)
    second, third = worker(lake), worker(lake)
    second.decide(0, [downloaded("a", b"two")])
    third.decide(0, [downloaded("a", late)])
    assert third.rows == second.rows
    assert raw_images(lake) == {b"two"}


def test_error_when_another_worker_is_always_first(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def lose(parts: Parts, number: int, *_: Any) -> None:
        tries.append(number)

    monkeypatch.setattr(Parts, "write", lose)
    decisions = worker(lake)
    with pytest.raises(StorageUnavailableError, match="part 4: 10 times another worker was first"):
        decisions.decide(4, [downloaded("a", b"one")])
    assert tries == [4] * 10
    assert raw_images(lake) == set()
    assert decisions.rows == {}


# Damage.


def test_damaged_row_is_made_again_and_the_others_stay(lake: Lake) -> None:
    first = worker(lake)
    first.decide(0, [downloaded("a", b"one"), downloaded("b", b"two")])
    key = object_keys.part(BATCH, 0)
    lake.bucket.put(key, b"0ne" + lake.bucket.get(key)[3:], "")
    later = worker(lake)
    assert (list(later.rows), later.damaged) == ([B], [first.rows[A]])
    later.decide(0, [downloaded("a", b"one")])
    assert later.rows[B] == first.rows[B]
    assert images(lake, later.rows) == {A: b"one", B: b"two"}
    assert worker(lake).damaged == []


def test_part_that_cannot_be_read_is_made_again(lake: Lake) -> None:
    lake.bucket.put(object_keys.part(BATCH, 0), b"damaged", "")
    decisions = worker(lake)
    assert (decisions.rows, decisions.damaged) == ({}, [])
    decisions.decide(0, [downloaded("a", b"one")])
    assert images(lake, worker(lake).rows) == {A: b"one"}
