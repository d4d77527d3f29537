"""A run that retries what failed in an earlier one: only that is asked for again, and killed anywhere it can go on."""

from __future__ import annotations

from typing import Any

import pytest

import map_keys.app
import transform.app
import write_parquet.app
from imagelake.lake.rows import Status
from imagelake.run.models import Batch
from tests.reliability.audit import problems, rows, unbalanced
from tests.reliability.kill_points import OPTIONS, finish_each, first_run
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.world import DAY, FEEDS, NEXT_DAY, World, new_lake, photo
from tests.support.factories import Context, event, item, keep_plan, keep_rows, plan, result
from tests.support.fake_lake import Lake
from tests.support.sample import full
from tests.support.web_server import WebServer

WRITES = ("Put", "Update", "Delete", "Transact")
RESTORED = "bluesky/alice/a2/0"
STEPS = {
    "transform": transform.app.handler,
    "write_parquet": write_parquet.app.handler,
    "map_keys": map_keys.app.handler,
}


def retry(lake: Lake, run_id: str = "retry-1", feeds: list[str] = FEEDS) -> dict[str, Any]:
    earlier = {"run_id": "run-1", "error_codes": ["not_found"]}
    return execute(lake, run_id, feeds, dt=NEXT_DAY, retry=earlier)


def test_only_what_failed_is_made_again(world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        stored, downloads = {row["media_id"]: row for row in rows(lake)}, world.downloads()
        world.restore()
        world.a_day_passes()
        assert retry(lake)["outcome"] == "ok"
        assert world.downloads()[len(downloads) :] == ["/media/a2.jpg"]
        found = {row["media_id"]: row for row in rows(lake)}
        assert found.keys() == stored.keys(), "a retry reads no new posts"
        assert [media_id for media_id in found if found[media_id] != stored[media_id]] == [RESTORED]
        # It is compared with what was there before it, its own batch's pictures as well.
        assert found[RESTORED]["duplicate_of"] == "bluesky/alice/a3/0"
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
        world.restore()
        assert execute(lake, "retry-2", FEEDS, dt=NEXT_DAY, retry={"run_id": "retry-1", "error_codes": ["not_found"]})
        assert [*problems(lake, world.expected), *unbalanced(lake, "retry-2")] == []


@pytest.mark.parametrize("states", [3, full(None)])
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
        world.restore()
        left = killer.kill(lambda: again(lake), after=True)
    # After a call that only reads, the lake is as it was before.
    writes = [(point, begin_with) for point, begin_with in left if point.operation.startswith(WRITES)]
    assert finish_each(writes, again, world, states) > 10


def take(batch: Batch, *steps: str) -> None:
    """Take a batch through some of its steps."""
    for name in steps:
        STEPS[name](event(name, batch=batch), Context())


def late_steps(lake: Lake) -> None:
    """Repeat the steps of the first run's batches, as a late worker or a redrive does."""
    for key in lake.bucket.list("work/lists/run-1/"):
        for batch in lake.bucket.get_models(key, Batch):
            take(batch, *STEPS)


def test_late_steps_of_the_first_run_change_nothing_after_a_retry(world: World) -> None:
    with new_lake() as lake:
        first_run(lake)
        world.restore()
        retry(lake)
        before = rows(lake), lake.mapping()
        late_steps(lake)
        assert (rows(lake), lake.mapping()) == before
        # The first run's own check, if it comes late, finds no contradiction either.
        assert execute(lake, "run-1", FEEDS, dt=DAY, **OPTIONS)["outcome"] == "ok"
        assert problems(lake, world.expected) == []


@pytest.mark.parametrize("states", [3, full(None)])
def test_late_steps_of_the_first_run_do_not_disturb_a_retry_at_work(
    killer: Killer, world: World, states: int | None
) -> None:
    with new_lake() as lake:
        first_run(lake)
        world.restore()
        left = killer.kill(lambda: retry(lake), after=True)

    def late_steps_and_next_day(lake: Lake) -> str:
        late_steps(lake)
        execute(lake, "run-2", FEEDS, dt=NEXT_DAY, **OPTIONS)
        # If the retry was killed before it opened the batch again, the item is retried now.
        retry(lake, "retry-2")
        return "retry-2"

    assert finish_each(left, late_steps_and_next_day, world, states) > 10


def test_batches_that_are_retried_side_by_side_have_one_owner(lake: Lake, website: WebServer, clients: None) -> None:
    url = website.put("/same", photo(1))
    retried = []
    for name in ("one", "two"):
        planned = plan(item(name, url), feed_id=name)
        keep_rows(lake, planned, result(planned.items[0], Status.FAILED))
        take(planned.batch, "write_parquet", "map_keys")
        batch = planned.batch.model_copy(update={"retried_by": "retry-1"})
        retried.append(keep_plan(lake, planned.model_copy(update={"batch": batch})).batch)
    for batch in retried:
        take(batch, "transform")
    for batch in retried:
        take(batch, "write_parquet", "map_keys")
    assert [row["status"] for row in rows(lake)] == ["ok", "duplicate"]
    assert problems(lake, {item("one").media_id: "ok", item("two").media_id: "duplicate"}) == []
