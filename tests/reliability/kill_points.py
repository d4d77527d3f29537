"""Kills a run before or after each of its calls of AWS, has another finish it, and looks for what is lost or doubled.

A dead process leaves nothing but what is stored: where two points leave the same, it is finished once. The calls come
one after the other, so what is stored after one is what is stored before the next: to finish by the same execution
from the one side and by the next day's from the other meets every state of the lake with both.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.reliability.audit import fingerprint, problems, unbalanced
from tests.reliability.killer import KilledError, Killer, Point
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, World, forget, new_lake
from tests.unit.lake import Lake

# Every call but those that only a longer life brings is made by a first run of two feeds, three batches.
KINDS = {
    "BatchGetItem", "DeleteObject", "GetItem", "GetObject", "HeadObject", "ListObjectsV2", "PutItem", "PutObject",
    "Query", "TransactWriteItems", "UpdateItem",
}  # fmt: skip
# One picture of seven is gone.
OPTIONS = {"batch_size": 3, "failure_tolerance_percent": 30}


def first_run(lake: Lake) -> None:
    execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)


def points(killer: Killer, *, after: bool) -> list[Point]:
    """One for every call that a whole run makes."""
    with new_lake() as lake, killer.watch():
        first_run(lake)
    assert set(killer.calls) == KINDS
    assert len(killer.calls) >= 100, "with both sides of each, 200 points"
    return [Point(number, after) for number in range(len(killer.calls))]


def finish_each(
    points: list[Point],
    finish: Callable[[Lake], str],
    killer: Killer,
    world: World,
    run: Callable[[Lake], object] = first_run,
    before: Callable[[Lake], object] = lambda lake: None,
) -> int:
    """Kill a run at every point, finish what was left, and look at the lake; returns how many states it was left in.

    What is to be there ``before`` the run is not killed.
    """
    seen = set()
    for point in points:
        with new_lake() as lake:
            before(lake)
            with pytest.raises(KilledError), killer.watch(point):
                run(lake)
            forget()
            left = fingerprint(lake)
            if left not in seen:
                seen.add(left)
                run_id = finish(lake)
                wrong = [*problems(lake, world.expected), *unbalanced(lake, run_id)]
                assert wrong == [], (point, killer.calls[-1])
    return len(seen)
