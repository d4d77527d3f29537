"""A run that is killed before or after any of its calls of AWS is finished by another, with nothing lost or doubled.

A dead process leaves nothing but what is stored: where two points leave the same, it is finished once. The calls come
one after the other, so what is stored after one is what is stored before the next: to finish by the same execution
from the one side and by the next day's from the other meets every state of the lake with both.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reliability.audit import fingerprint, problems, rows, unbalanced
from tests.reliability.killer import KilledError, Killer, Point
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, World, new_lake
from tests.unit.functions.website import Website
from tests.unit.lake import Lake

# Every call but those that only a longer life brings is made by a first run of two feeds, three batches.
KINDS = {
    "BatchGetItem", "DeleteObject", "GetItem", "GetObject", "HeadObject", "ListObjectsV2", "PutItem", "PutObject",
    "UpdateItem",
}  # fmt: skip
# One picture of seven is gone.
OPTIONS = {"batch_size": 3, "failure_tolerance_percent": 30}


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


@pytest.fixture
def world(one_thread: None, clients: None, website: Website, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(website, monkeypatch)


def first_run(lake: Lake) -> None:
    execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)


def points(killer: Killer, *, after: bool) -> list[Point]:
    """One for every call that a whole run makes."""
    with new_lake() as lake, killer.watch():
        first_run(lake)
    assert set(killer.calls) == KINDS
    assert len(killer.calls) >= 100, "with both sides of each, 200 points"
    return [Point(number, after) for number in range(len(killer.calls))]


def finish_each(points: list[Point], finish: Callable[[Lake], str], killer: Killer, world: World) -> int:
    """Kill at every point, finish what was left, and look at the lake; returns how many states it was left in."""
    seen = set()
    for point in points:
        with new_lake() as lake:
            with pytest.raises(KilledError), killer.watch(point):
                first_run(lake)
            left = fingerprint(lake)
            if left not in seen:
                seen.add(left)
                run_id = finish(lake)
                wrong = [*problems(lake, world.expected), *unbalanced(lake, run_id)]
                assert wrong == [], (point, killer.calls[-1])
    return len(seen)


def test_run_killed_before_any_call_is_finished_by_the_same_execution(killer: Killer, world: World) -> None:
    def again(lake: Lake) -> str:
        first_run(lake)
        return "run-1"

    assert finish_each(points(killer, after=False), again, killer, world) > 40


def test_run_killed_after_any_call_is_finished_by_the_run_of_the_next_day(killer: Killer, world: World) -> None:
    def next_day(lake: Lake) -> str:
        execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **OPTIONS)
        return "run-2"

    killed_at = points(killer, after=True)
    world.a_day_passes()
    assert finish_each(killed_at, next_day, killer, world) > 40


def test_same_day_three_times_downloads_and_adds_nothing(clients: None, world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        stored, downloads = rows(lake), world.downloads()
        # The shared picture and the six others, each once; what is gone is not asked for again.
        assert sorted(downloads) == sorted(set(downloads))
        assert len(downloads) == len(world.expected) == len(stored)
        for run_id in ("run-2", "run-3"):
            execute(lake, run_id, FEEDS, dt=DAY, **OPTIONS)
            assert rows(lake) == stored
            assert world.downloads() == downloads
            assert [*problems(lake, world.expected), *unbalanced(lake, run_id)] == []


def test_audit_sees_what_is_wrong(world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        (first, *_) = lake.bucket.list("lake/")
        lake.bucket.put(first.replace(".parquet", "-again.parquet"), lake.bucket.get(first), "")
        lake.bucket.put("raw/images/00/00", b"", "")
        lake.bucket.put("open/feed/batch.json", b"", "")
        lost = {"bluesky/alice/none/0": "ok"}
        wrong = " ".join(problems(lake, world.expected | lost))
        for kind in (
            "lost: ",
            "2 rows of ",
            "differ: ",
            "raw file of no row: ",
            "file of no mapping: ",
            "still open: ",
        ):
            assert kind in wrong
