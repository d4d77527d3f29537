"""An image that ends every worker that decodes it: its batch is complete on the first day, and it is a row as well."""

from __future__ import annotations

import random

import pytest

from tests.reliability.audit import problems, rows, unbalanced
from tests.reliability.kill_points import OPTIONS, STATES, finish_each
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, World, new_lake, photo
from tests.support.crashing_decoder import WorkerDiedError, breaking, dying_worker
from tests.support.factories import Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake
from tests.support.part_bombs import part_bombs
from tests.support.web_server import WebServer
from transform.app import handler

WAYS = ("SIGSEGV", "SIGKILL", "memory", "loop")
BOMBS = ("GIF of small blocks", "PNG of broken texts", "AVIF of small units", "AVIF of references")


@pytest.fixture(autouse=True)
def dying(monkeypatch: pytest.MonkeyPatch) -> None:
    dying_worker(monkeypatch)


def test_batch_with_the_worst_images_is_complete_on_the_first_day(lake: Lake, website: WebServer) -> None:
    bodies = {f"good-{number}": photo(number) for number in range(60)}
    bodies |= {f"bad-{how}": breaking(photo(100 + number), how) for number, how in enumerate(WAYS)}
    made = part_bombs()
    bodies |= {f"bad-{name.replace(' ', '-')}": made[name][0]() for name in BOMBS}
    names = list(bodies)
    random.Random(5).shuffle(names)
    planned = keep_plan(lake, plan(*(item(name, website.put(f"/{name}", bodies[name])) for name in names)))
    with pytest.raises(WorkerDiedError):
        handler(event("transform", batch=planned.batch), Context())
    # Step Functions calls the function again.
    assert handler(event("transform", batch=planned.batch), Context()) == {
        "ok": 60, "duplicate": 0, "rejected": 8, "failed": 0, "erased": 0,
    }  # fmt: skip


@pytest.mark.parametrize("states", STATES)
def test_worker_that_is_killed_in_the_careful_way_loses_nothing(
    world: World, killer: Killer, monkeypatch: pytest.MonkeyPatch, states: int | None
) -> None:
    # One call of AWS after the other.
    monkeypatch.setattr("transform.careful._DOWNLOADS_AHEAD", 1)
    world.break_decoder("SIGSEGV")

    def run(lake: Lake) -> str:
        execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)
        return "run-1"

    with new_lake() as lake:
        with pytest.raises(WorkerDiedError):
            run(lake)
        left = killer.kill(lambda: run(lake), after=True)
        assert [*problems(lake, world.expected), *unbalanced(lake, "run-1")] == []
        broken = [row for row in rows(lake) if row["error_code"] == "decoder_failed"]
        assert [row["status"] for row in broken] == ["rejected"]
        assert lake.bucket.exists(broken[0]["raw_key"])
    careful = [(point, state) for point, state in left if "attempts" in state.contents]
    assert finish_each(careful, run, world, states) > 40
