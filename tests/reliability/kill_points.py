"""Kills a run before or after each of its calls of AWS, has another finish it, and looks for what is lost or doubled.

A dead process leaves nothing but what is stored: where two points leave the same, it is finished once. The calls come
one after the other, so what is stored after one is what is stored before the next: to finish by the same execution
from the one side and by the next day's from the other meets every state of the lake with both.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.reliability.audit import problems, unbalanced
from tests.reliability.killer import Killer, Point
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, Stored, World, new_lake
from tests.support.fake_lake import Lake

# Every call but those that only a longer life brings is made by a first run of two feeds, three batches.
KINDS = {
    "BatchGetItem", "DeleteObject", "GetItem", "GetObject", "HeadObject", "ListObjectsV2", "PutItem", "PutObject",
    "Query", "TransactWriteItems", "UpdateItem",
}  # fmt: skip
# One picture of seven is gone.
OPTIONS = {"batch_size": 3, "failure_tolerance_percent": 30}


def first_run(lake: Lake) -> None:
    execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)


def killed(killer: Killer, *, after: bool) -> list[tuple[Point, Stored]]:
    """One for every call that a whole run makes."""
    with new_lake() as lake:
        left = killer.kill(lambda: first_run(lake), after=after)
    assert {point.operation for point, _ in left} == KINDS
    assert len(left) >= 100, "with both sides of each, 200 points"
    return left


def finish_each(left: list[tuple[Point, Stored]], finish: Callable[[Lake], str], world: World) -> int:
    """Finish what was left at every point, and look at the lake; returns how many states it was left in."""
    seen = set()
    for point, begin_with in left:
        if begin_with not in seen:
            seen.add(begin_with)
            with new_lake(begin_with) as lake:
                run_id = finish(lake)
                wrong = [*problems(lake, world.expected), *unbalanced(lake, run_id)]
                assert wrong == [], point
    return len(seen)
