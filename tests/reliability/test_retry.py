"""A run that retries what failed in an earlier one: only that is asked for again, and killed anywhere it can go on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reliability.audit import problems, rows, unbalanced
from tests.reliability.kill_points import finish_each, first_run
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, World, new_lake
from tests.support.fake_lake import Lake

WRITES = ("Put", "Update", "Delete", "Transact")
MENDED = "bluesky/alice/a2/0"


def retry(lake: Lake, run_id: str = "retry-1", feeds: list[str] = FEEDS) -> dict[str, Any]:
    earlier = {"run_id": "run-1", "error_codes": ["not_found"]}
    return execute(lake, run_id, feeds, dt=NEXT_DAY, retry=earlier)


def test_only_what_failed_is_made_again(world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        stored, downloads = {row["media_id"]: row for row in rows(lake)}, world.downloads()
        world.mend()
        world.a_day_passes()
        assert retry(lake)["outcome"] == "ok"
        assert world.downloads()[len(downloads) :] == ["/media/a2.jpg"]
        found = {row["media_id"]: row for row in rows(lake)}
        assert found.keys() == stored.keys(), "a retry reads no new posts"
        assert [media_id for media_id in found if found[media_id] != stored[media_id]] == [MENDED]
        # It is compared with what was there before it, its own batch's pictures as well.
        assert found[MENDED]["duplicate_of"] == "bluesky/alice/a3/0"
        summary = lake.bucket.get_json("reports/retry-1/run.json")
        assert (summary["totals"]["planned"], summary["totals"]["ok"]) == (1, 1)
        del world.expected["bluesky/alice/a4/0"]
        assert [*problems(lake, world.expected), *unbalanced(lake, "retry-1")] == []

        assert retry(lake, "retry-2")["outcome"] == "ok"
        assert world.downloads()[len(downloads) :] == ["/media/a2.jpg"], "what has succeeded is not retried"
        assert rows(lake) == list(found.values())


def test_what_fails_again_is_a_warning_and_may_be_retried_again(world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        stored = rows(lake)
        assert retry(lake)["outcome"] == "partial"
        assert rows(lake) == stored
        world.mend()
        assert execute(lake, "retry-2", FEEDS, dt=NEXT_DAY, retry={"run_id": "retry-1", "error_codes": ["not_found"]})
        assert [*problems(lake, world.expected), *unbalanced(lake, "retry-2")] == []


@pytest.mark.parametrize("states", [pytest.param(6, id="6"), pytest.param(None, id="all", marks=pytest.mark.full)])
def test_retry_killed_after_any_write_is_finished_by_the_same_execution(
    killer: Killer, world: World, states: int | None
) -> None:
    alice = FEEDS[:1]
    for media_id in [name for name in world.expected if "/b" in name.removeprefix("bluesky/alice")]:
        del world.expected[media_id]

    def again(lake: Lake) -> str:
        retry(lake, feeds=alice)
        return "retry-1"

    with new_lake() as lake:
        execute(lake, "run-1", alice, dt=DAY, batch_size=4)
        world.mend()
        left = killer.kill(lambda: again(lake), after=True)
    # After a call that only reads, the lake is as it was before.
    writes = [(point, begin_with) for point, begin_with in left if point.operation.startswith(WRITES)]
    assert finish_each(writes, again, world, states) > 10
