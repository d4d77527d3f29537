"""Two workers process one batch at once, as when a redrive runs beside another run: images and rows stay together.

The server gives one of the images only once, so the workers make different rows.
"""

from __future__ import annotations

import random
from itertools import count

import pytest

import map_keys.app
import reconcile.app
import transform.app
import write_parquet.app
from imagelake.run.models import PlannedBatch
from tests.reliability.audit import problems, rows
from tests.reliability.turns import Turns
from tests.reliability.world import new_lake, photo
from tests.support.factories import Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake
from tests.support.sample import full
from tests.support.web_server import Answer, WebServer

NAMES = ("first", "once", "second", "copy")
ONCE = "bluesky/alice/once/0"


@pytest.fixture
def turns(one_thread: None, clients: None, monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


def planned_in(lake: Lake, website: WebServer) -> PlannedBatch:
    """Plan four items: one of them can be downloaded once, one is a copy of another."""
    answers: dict[str, list[bytes | Answer]] = {
        "first": [photo(1)],
        "once": [photo(2), Answer(b"", 404)],
        "second": [photo(3)],
        "copy": [photo(1)],
    }
    made = plan(*(item(name, website.put(f"/{name}", *answers[name])) for name in NAMES))
    lake.bucket.put_json(event("reconcile")["plan"]["list_key"], [made.batch.model_dump()])
    return keep_plan(lake, made)


def worker(planned: PlannedBatch) -> None:
    """Take a batch through all of its steps."""
    for name, handler in (
        ("transform", transform.app.handler),
        ("write_parquet", write_parquet.app.handler),
        ("map_keys", map_keys.app.handler),
    ):
        handler(event(name, batch=planned.batch), Context())
    assert reconcile.app.handler(event("reconcile"), Context())["status"] != "incomplete"


def meet(turns: Turns, website: WebServer, *calls: int) -> list[list[str]]:
    """Let two workers meet after so many calls of each, check the lake, and return the calls of both."""
    with new_lake() as lake:
        planned = planned_in(lake, website)
        turns.take([lambda: worker(planned), lambda: worker(planned)], calls)
        status = {row["media_id"]: row["status"] for row in rows(lake)}[ONCE]
        assert status in {"ok", "failed"}
        statuses = ("ok", status, "ok", "duplicate")
        expected = {item(name).media_id: status for name, status in zip(NAMES, statuses, strict=True)}
        assert problems(lake, expected) == [], calls
    return turns.operations


@pytest.mark.parametrize("every", [9, full(1)])
def test_images_stay_with_their_rows_when_the_second_worker_passes_the_first(
    turns: Turns, website: WebServer, every: int
) -> None:
    # The first worker stops after some of its calls or each, the second one runs to its end, and the first one goes on.
    for calls in count(1, every):
        if len(meet(turns, website, calls)[0]) <= calls:
            break
    assert calls > 20


@pytest.mark.parametrize("number", [5, full(300)])
def test_images_stay_with_their_rows_when_both_workers_stop(turns: Turns, website: WebServer, number: int) -> None:
    first, second = (len(operations) for operations in meet(turns, website, 10**6))
    pairs = [(one, two) for one in range(1, first) for two in range(1, second)]
    for pair in random.Random(17).sample(pairs, number):
        meet(turns, website, *pair)
