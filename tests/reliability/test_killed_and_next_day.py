"""A run that is killed after any of its calls of AWS is finished by the next day's, which finds new posts as well."""

from __future__ import annotations

import pytest

from tests.reliability.kill_points import OPTIONS, STATES, finish_each, killed
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import FEEDS, NEXT_DAY, World
from tests.support.fake_lake import Lake


@pytest.mark.parametrize("states", STATES)
def test_run_killed_after_any_call_is_finished_by_the_run_of_the_next_day(
    killer: Killer, world: World, states: int | None
) -> None:
    def next_day(lake: Lake) -> str:
        execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **OPTIONS)
        return "run-2"

    left = killed(killer, after=True)
    world.a_day_passes()
    assert finish_each(left, next_day, world, states) > 40
