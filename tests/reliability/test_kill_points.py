"""A run that is killed before or after any of its calls of AWS is finished by another, with nothing lost or doubled.

The calls come one after the other, so what is stored after one is what is stored before the next: to finish by the
same execution from the one side and by the next day's from the other meets every state of the lake with both.
"""

from __future__ import annotations

import pytest

from tests.reliability.audit import problems, unbalanced
from tests.reliability.killer import KilledError, Killer, Point
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, World, new_lake
from tests.unit.functions.website import Website
from tests.unit.lake import Lake

# Every call but those that only the most of a feed's life brings is made by a first run of two feeds, three batches.
KINDS = {
    "BatchGetItem", "DeleteObject", "GetItem", "GetObject", "HeadObject", "ListObjectsV2", "PutItem", "PutObject",
    "UpdateItem",
}  # fmt: skip
# One picture of seven is gone.
OPTIONS = {"batch_size": 2, "failure_tolerance_percent": 30}


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


@pytest.fixture
def world(clients: None, website: Website, monkeypatch: pytest.MonkeyPatch) -> World:
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


def test_run_killed_before_any_call_is_finished_by_the_same_execution(killer: Killer, world: World) -> None:
    for point in points(killer, after=False):
        with new_lake() as lake:
            with pytest.raises(KilledError), killer.watch(point):
                first_run(lake)
            first_run(lake)
            assert [*problems(lake, world.expected), *unbalanced(lake, "run-1")] == [], (point, killer.calls[-1])


def test_run_killed_after_any_call_is_finished_by_the_run_of_the_next_day(killer: Killer, world: World) -> None:
    killed_at = points(killer, after=True)
    world.a_day_passes()
    for point in killed_at:
        with new_lake() as lake:
            with pytest.raises(KilledError), killer.watch(point):
                first_run(lake)
            execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **OPTIONS)
            assert [*problems(lake, world.expected), *unbalanced(lake, "run-2")] == [], (point, killer.calls[-1])
