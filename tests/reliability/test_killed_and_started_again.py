"""A run that is killed before any of its calls of AWS is finished by the same execution, started again."""

from __future__ import annotations

import pytest

from tests.reliability.kill_points import STATES, finish_each, first_run, killed
from tests.reliability.killer import Killer
from tests.reliability.world import World
from tests.support.fake_lake import Lake


@pytest.mark.parametrize("states", STATES)
def test_run_killed_before_any_call_is_finished_by_the_same_execution(
    killer: Killer, world: World, states: int | None
) -> None:
    def again(lake: Lake) -> str:
        first_run(lake)
        return "run-1"

    assert finish_each(killed(killer, after=False), again, world, states) > 40
