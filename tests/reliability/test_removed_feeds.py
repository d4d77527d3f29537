"""A feed that died after it had claimed its images, and that is in no list any more: the next run finishes it."""

from __future__ import annotations

import json

import pytest

from tests.reliability import kill_points
from tests.reliability.audit import problems, unbalanced
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, World, new_lake
from tests.support.fake_lake import Lake

ALICE, BOB = FEEDS
OPTIONS = kill_points.OPTIONS | {"failure_tolerance_percent": 100}
PARAMETER = {"name": "/imagelake/feeds", "value": json.dumps([BOB])}


@pytest.fixture
def world(world: World) -> World:
    # Every post of alice is one of bob's too.
    world.repost("alice.example", "bob.example")
    return world


def run_without_alice(lake: Lake, name: str, dt: str) -> str:
    execute(lake, name, None, dt=dt, feeds_parameter=PARAMETER, **OPTIONS)
    return name


@pytest.mark.parametrize("states", kill_points.STATES)
def test_removed_feed_is_finished_by_the_next_run(killer: Killer, world: World, states: int | None) -> None:
    with new_lake() as lake:
        left = killer.kill(lambda: execute(lake, "run-1", [ALICE], dt=DAY, **OPTIONS), after=True)

    def next_day(lake: Lake) -> str:
        return run_without_alice(lake, "run-2", NEXT_DAY)

    assert kill_points.finish_each(left, next_day, world, states) > 20


def test_claims_of_a_batch_that_is_gone_are_claimed_again(world: World) -> None:
    with new_lake() as lake:
        execute(lake, "run-1", [ALICE], dt=DAY, **OPTIONS)
        mapping = lake.mapping()
    with new_lake() as lake:
        # What a fault of an earlier version left: claims without a batch.
        lake.media_index.claim(mapping, "gone")
        run_without_alice(lake, "run-2", NEXT_DAY)
        assert [*problems(lake, world.expected), *unbalanced(lake, "run-2")] == []
