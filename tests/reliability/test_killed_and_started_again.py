"""A run that is killed before any of its calls of AWS is finished by the same execution, started again.

In a file of its own, so that the tests of the next day's run can go beside it.
"""

from __future__ import annotations

from tests.reliability.kill_points import finish_each, first_run, killed
from tests.reliability.killer import Killer
from tests.reliability.world import World
from tests.support.fake_lake import Lake


def test_run_killed_before_any_call_is_finished_by_the_same_execution(killer: Killer, world: World) -> None:
    def again(lake: Lake) -> str:
        first_run(lake)
        return "run-1"

    assert finish_each(killed(killer, after=False), again, world) > 40
