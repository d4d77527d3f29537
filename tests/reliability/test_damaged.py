"""Objects of unfinished batches are damaged: the next run makes them again from what is stored, or from the network."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

import pytest

from tests.reliability.audit import problems, unbalanced
from tests.reliability.kill_points import OPTIONS, SEED, first_run
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import FEEDS, NEXT_DAY, Stored, World, new_lake
from tests.support.fake_lake import Lake
from tests.support.sample import full

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda body: b"",
    "cut": lambda body: body[: len(body) // 2],
    "one bit": lambda body: body[: len(body) // 3] + bytes([body[len(body) // 3] ^ 1]) + body[len(body) // 3 + 1 :],
    "longer": lambda body: body + b"x",
}


def unfinished(lake: Lake) -> list[str]:
    """The objects under ``work/`` of batches that are open."""
    still_open = [key.rpartition("/")[2].removesuffix(".json") for key in lake.bucket.list("open/")]
    return [key for key in lake.bucket.list("work/") if any(batch_id in key for batch_id in still_open)]


@pytest.fixture
def states(killer: Killer, world: World) -> list[Stored]:
    """The states that a killed run leaves after each object that it writes, and after it closes a batch."""
    with new_lake() as lake:
        left = killer.kill(lambda: first_run(lake), after=True)
    return list(dict.fromkeys(state for point, state in left if point.operation in ("PutObject", "DeleteObject")))


@pytest.mark.parametrize("number", [3, full(150)])
def test_damaged_object_is_made_again(world: World, states: list[Stored], number: int) -> None:
    cases = []
    for state in states:
        with new_lake(state) as lake:
            cases += [(state, key, name) for key, name in product(unfinished(lake), DAMAGES)]
    for state, key, name in random.Random(SEED).sample(cases, number):
        with new_lake(state) as lake:
            lake.bucket.put(key, DAMAGES[name](lake.bucket.get(key)), "application/octet-stream")
            execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **OPTIONS)
            assert [*problems(lake, world.expected), *unbalanced(lake, "run-2")] == [], (key, name)
