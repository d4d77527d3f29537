"""A rebuild that is killed before or after any of its calls of AWS is finished by itself or by another one.

``make test`` finishes a sample of the states that it leaves; ``make test-all`` finishes all.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.reliability.audit import problems
from tests.reliability.kill_points import OPTIONS, SEED
from tests.reliability.killer import Killer, Point
from tests.reliability.pipeline import execute
from tests.reliability.rebuild import execute_rebuild
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, Stored, World, new_lake
from tests.support.fake_lake import Lake
from tests.support.sample import exhaustive, full

STATES = [2, full(3), exhaustive(None)]
# All images are too small for the first run, so the rebuild makes owners, duplicates and near duplicates.
TOO_SMALL = {"min_image_size": 100, "batch_size": 3, "failure_tolerance_percent": 100}
ACCEPTS = {"min_image_size": 8}
WITH_TENSORS = {"tensor": "uint8"}
CASES = [
    pytest.param(TOO_SMALL, ACCEPTS, id="accepted"),
    pytest.param(OPTIONS, WITH_TENSORS, id="tensors"),
]


def killed(killer: Killer, first: dict[str, Any], request: dict[str, Any], *, after: bool) -> dict[Stored, Point]:
    """Return what a rebuild leaves at each of its calls; where two leave the same, the first one counts."""
    with new_lake() as lake:
        execute(lake, "run-1", FEEDS, dt=DAY, **first)
        left = killer.kill(lambda: execute_rebuild(lake, "rebuild-1", **request), after=after)
    points: dict[Stored, Point] = {}
    for point, state in left:
        points.setdefault(state, point)
    assert len(points) >= 20
    return points


def drawn(points: dict[Stored, Point], number: int | None) -> list[tuple[Stored, Point]]:
    every = list(points.items())
    return every if number is None else sorted(random.Random(SEED).sample(every, number), key=lambda one: one[1].call)


def audit(lake: Lake, world: World, request: dict[str, Any]) -> list[str]:
    # The staging of the first run has images with its options; it expires.
    for key in lake.bucket.list("work/staged/"):
        lake.bucket.delete(key)
    return problems(lake, world.expected, tensor=request.get("tensor"))


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("first", "request_"), CASES)
def test_killed_rebuild_is_finished_by_itself(
    killer: Killer, world: World, first: dict[str, Any], request_: dict[str, Any], after: bool, states: int | None
) -> None:
    for state, point in drawn(killed(killer, first, request_, after=after), states):
        with new_lake(state) as lake:
            assert execute_rebuild(lake, "rebuild-1", **request_)["outcome"] == "ok", point
            assert audit(lake, world, request_) == [], point


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize(("first", "request_"), CASES)
def test_killed_rebuild_is_finished_by_another_one(
    killer: Killer, world: World, first: dict[str, Any], request_: dict[str, Any], states: int | None
) -> None:
    for state, point in drawn(killed(killer, first, request_, after=False), states):
        with new_lake(state) as lake:
            execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **OPTIONS | {"failure_tolerance_percent": 100})
            assert execute_rebuild(lake, "rebuild-2", **request_)["outcome"] == "ok", point
            assert audit(lake, world, request_) == [], point


@pytest.mark.parametrize("states", STATES)
def test_rebuild_that_takes_back_what_a_killed_one_has_accepted(
    killer: Killer, world: World, states: int | None
) -> None:
    """The killed rebuild has changed the media index, and the next one rejects the same images again."""
    for state, point in drawn(killed(killer, TOO_SMALL, ACCEPTS, after=False), states):
        with new_lake(state) as lake:
            # An image stays as long as others refer to it, so the last one of a chain goes in the third rebuild.
            for name in ("rebuild-2", "rebuild-3", "rebuild-4"):
                answer = execute_rebuild(lake, name, min_image_size=100)
            assert answer["outcome"] == "ok", point
            statuses = {entry["status"] for entry in lake.mapping().values()}
            assert statuses == {"rejected", "failed"}, point
            assert {entry["state"] for entry in lake.owners().values()} == {"rejected"}, point
