"""Kills a run before or after each of its calls of AWS, has another finish it, and looks for what is lost or doubled.

A dead process leaves nothing but what is stored: where two points leave the same, it is finished once. The calls come
one after the other, so what is stored after one is what is stored before the next: to finish by the same execution
from the one side and by the next day's from the other meets every state of the lake with both.

``make test`` finishes a sample of these states, drawn from all parts of the run; ``make test-all`` finishes all.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from tests.reliability.audit import problems, unbalanced
from tests.reliability.killer import Killer, Point
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, Stored, World, new_lake
from tests.support.fake_lake import Lake
from tests.support.sample import full

# Every call but those that only a longer life brings is made by a first run of two feeds, three batches.
KINDS = {
    "BatchGetItem", "DeleteObject", "GetItem", "GetObject", "HeadObject", "ListObjectsV2", "PutItem", "PutObject",
    "Query", "TransactWriteItems", "UpdateItem",
}  # fmt: skip
# How many of the states are finished.
STATES = [4, full(None)]
SEED = 2026
Drawn = TypeVar("Drawn")
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


def finish_each(
    left: list[tuple[Point, Stored]],
    finish: Callable[[Lake], str],
    world: World,
    states: int | None,
    *,
    may_fail: bool = False,
) -> int:
    """Finish what was left at every point, or a sample of ``states``; returns in how many states the lake was left.

    With ``may_fail``, an image that was lost before it was stored is a failed row.
    """
    points: dict[Stored, Point] = {}
    for point, state in left:
        points.setdefault(state, point)
    for begin_with, point in drawn(list(points.items()), states):
        with new_lake(begin_with) as lake:
            run_id = finish(lake)
            wrong = [*problems(lake, world.expected, may_fail=may_fail), *unbalanced(lake, run_id)]
            assert wrong == [], point
    return len(points)


def drawn(points: list[Drawn], number: int | None) -> list[Drawn]:
    """One from each of ``number`` equal parts, by chance."""
    if number is None:
        return points
    chance, ends = random.Random(SEED), [len(points) * part // number for part in range(number + 1)]
    return [chance.choice(points[start:end]) for start, end in pairwise(ends)]
