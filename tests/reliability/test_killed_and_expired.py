"""A run is killed, and after that no image can be downloaded again: everything that was stored is in a row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.reliability.kill_points import OPTIONS, STATES, finish_each, killed
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, World
from tests.support.fake_lake import Lake

ALL_MAY_FAIL = OPTIONS | {"failure_tolerance_percent": 100}


def again(lake: Lake) -> str:
    execute(lake, "run-1", FEEDS, dt=DAY, **ALL_MAY_FAIL)
    return "run-1"


def next_day(lake: Lake) -> str:
    execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **ALL_MAY_FAIL)
    return "run-2"


@pytest.mark.parametrize("states", STATES)
@pytest.mark.parametrize("finish", [again, next_day])
def test_images_that_were_stored_are_in_rows(
    killer: Killer, world: World, monkeypatch: pytest.MonkeyPatch, finish: Callable[[Lake], str], states: int | None
) -> None:
    left = killed(killer, after=True)
    world.expire()
    # The run is finished so late that the killed worker is surely dead.
    monkeypatch.setattr("transform.decisions._LONGEST_LIFE", timedelta(0))
    assert finish_each(left, finish, world, states, may_fail=True) > 40
