"""Results: they come part by part in the order of the plan, with a limit of the bytes that wait."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from imagelake.lake import object_keys
from imagelake.lake.rows import Status
from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from tests.support.factories import item, jpeg, plan, result
from transform.results import ITEMS_PER_PART, SECONDS_PER_ITEM, Result, make_results

IMAGE = jpeg()


def planned(number: int) -> PlannedBatch:
    return plan(*(item(f"p{number:03d}") for number in range(number)))


def number_of(one: Item) -> int:
    return int(one.post_id[1:])


def make(
    batch: PlannedBatch,
    media_ids: Iterable[str] | None = None,
    download: Callable[[Item], bytes] = lambda one: IMAGE,
    seconds_left: Callable[[], float] = lambda: 300.0,
) -> list[tuple[int, list[Result]]]:
    """All parts; without media ids, the results of all items."""
    wanted = {one.media_id for one in batch.items} if media_ids is None else set(media_ids)
    return list(make_results(batch, wanted, download, seconds_left))


def names(parts: list[tuple[int, list[Result]]]) -> list[tuple[int, list[str]]]:
    return [(number, [one.row["post_id"] for one in part]) for number, part in parts]


@pytest.mark.slow
def test_parts_have_their_items_in_the_order_of_the_plan() -> None:
    batch = planned(2 * ITEMS_PER_PART + 1)
    posts = [one.post_id for one in batch.items]
    first, second = posts[:ITEMS_PER_PART], posts[ITEMS_PER_PART : 2 * ITEMS_PER_PART]
    assert names(make(batch)) == [(0, first), (1, second), (2, posts[-1:])]


def test_number_of_a_part_depends_on_the_plan_alone() -> None:
    batch = planned(3 * ITEMS_PER_PART)
    remaining = [batch.items[index] for index in (0, ITEMS_PER_PART - 1, 2 * ITEMS_PER_PART)]
    assert names(make(batch, (one.media_id for one in remaining))) == [
        (0, [remaining[0].post_id, remaining[1].post_id]),
        (2, [remaining[2].post_id]),
    ]


def test_there_are_no_parts_without_items() -> None:
    assert make(planned(3), []) == []


def test_result_of_an_image() -> None:
    ((_, (made,)),) = make(planned(1))
    sha256 = hashlib.sha256(IMAGE).hexdigest()
    assert made.raw == IMAGE
    assert (made.row["status"], made.row["raw_sha256"], made.row["raw_key"], made.row["raw_bytes"]) == (
        "ok", sha256, object_keys.raw_image(sha256), len(IMAGE)
    )  # fmt: skip
    assert made.row["image"] is not None


def test_same_bytes_of_two_items_are_two_images() -> None:
    ((_, made),) = make(planned(2))
    assert [one.row["status"] for one in made] == ["ok", "ok"]
    assert all(one.row["image"] and one.raw == IMAGE for one in made)


def test_result_of_a_refused_image_has_its_bytes() -> None:
    ((_, (made,)),) = make(planned(1), download=lambda one: b"<html>")
    assert (made.row["status"], made.row["error_code"], made.raw) == ("rejected", "not_an_image", b"<html>")
    assert made.row["raw_sha256"] == hashlib.sha256(b"<html>").hexdigest()
    assert (made.row["image"], made.row["phash"]) == (None, None)


def test_result_of_a_failed_download_has_no_bytes() -> None:
    def fail(one: Item) -> bytes:
        raise DownloadError(ErrorCode.NOT_FOUND, "cdn.test answered 404")

    ((_, (made,)),) = make(planned(1), download=fail)
    assert (made.row["status"], made.row["error_code"], made.raw) == ("failed", "not_found", None)
    assert made.row["raw_key"] is made.row["raw_sha256"] is None


def test_size_counts_all_bytes_that_wait() -> None:
    row = result(item("a"), image={"bytes": b"12345", "path": "a.jpg"}, tensor=b"123")
    assert Result(row, b"1234567").size == 15
    assert Result(result(item("a"), Status.REJECTED), b"1234567").size == 7
    assert Result(result(item("a"), Status.FAILED), None).size == 0


def test_items_without_enough_time_are_left_out() -> None:
    batch = planned(2 * ITEMS_PER_PART)
    seconds = iter([SECONDS_PER_ITEM] * 30 + [SECONDS_PER_ITEM - 0.1] * 20)
    lock = threading.Lock()

    def seconds_left() -> float:
        with lock:
            return next(seconds)

    made = make(batch, seconds_left=seconds_left)
    assert sum(len(part) for _, part in made) == 30


def test_part_is_left_out_when_the_time_is_too_short_for_all_its_items() -> None:
    assert make(planned(3), seconds_left=lambda: SECONDS_PER_ITEM - 1) == []


class Slow:
    """Downloads for two threads, which take two items per part; those of ``held`` wait until ``go`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *held: int) -> None:
        monkeypatch.setattr("transform.results.THREADS", 2)
        monkeypatch.setattr("transform.results.ITEMS_PER_PART", 2)
        self.asked: set[int] = set()
        self.go = threading.Event()
        self._held = held

    def __call__(self, one: Item) -> bytes:
        number = number_of(one)
        self.asked.add(number)
        assert number not in self._held or self.go.wait(10)
        return IMAGE

    def results(self, items: int) -> Generator[tuple[int, list[Result]]]:
        batch = planned(items)
        return make_results(batch, {one.media_id for one in batch.items}, self, lambda: 300.0)

    def asked_after_a_while(self, expected: set[int]) -> set[int]:
        """Wait until these are asked for, and then a little longer, because no other may follow."""
        deadline = time.monotonic() + 10
        while not expected <= set(self.asked) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        return set(self.asked)


def test_later_downloads_wait_while_too_many_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transform.results._BACKLOG_BYTES", 1)
    slow = Slow(monkeypatch, 0)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(lambda: list(slow.results(8)))
        assert slow.asked_after_a_while({0, 1}) == {0, 1}
        slow.go.set()
        assert [number for number, _ in made.result(10)] == [0, 1, 2, 3]


def test_downloads_run_ahead_while_few_bytes_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, 0)
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(lambda: list(slow.results(8)))
        assert slow.asked_after_a_while(set(range(8))) == set(range(8))
        slow.go.set()
        assert len(made.result(10)) == 4


def test_bytes_wait_until_their_part_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transform.results._BACKLOG_BYTES", 1)
    slow = Slow(monkeypatch)
    with closing(slow.results(8)) as made:
        next(made)
        assert slow.asked_after_a_while({0, 1, 2}) == {0, 1, 2}, "the next item goes on"
        next(made)
        assert slow.asked_after_a_while({0, 1, 2, 3, 4}) == {0, 1, 2, 3, 4}
        assert len(list(made)) == 2
    assert slow.asked == set(range(8))


def test_downloads_stop_when_the_results_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, *range(2, 40))
    made = slow.results(40)
    next(made)
    threading.Timer(0.2, slow.go.set).start()
    made.close()
    assert slow.asked <= {0, 1, 2, 3}


def test_error_of_a_download_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, *range(1, 40))

    def fail(one: Item) -> bytes:
        if number_of(one) == 0:
            raise RuntimeError("no download error")
        return slow(one)

    threading.Timer(0.2, slow.go.set).start()
    with pytest.raises(RuntimeError, match="no download error"):
        make(planned(40), download=fail)
    assert slow.asked <= {1, 2}


@pytest.mark.slow
def test_number_of_a_part_stays_when_items_before_are_erased() -> None:
    batch = planned(2 * ITEMS_PER_PART)
    kept = batch.without({batch.items[number].media_id for number in (0, 3)})
    assert names(make(kept)) == names(make(batch, (one.media_id for one in kept.items)))
