"""Two erasures at once of the same files, and an erasure beside a run: both take effect, whatever call they meet at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from imagelake.run.aws import client
from tests.reliability.erased_world import (
    ALICE,
    BOB,
    DAYS,
    FEEDS,
    OPTIONS,
    ErasedWorld,
    erase,
    lake_of,
    of_author,
    request,
    wrong,
)
from tests.reliability.erasing import Execution
from tests.reliability.pipeline import execute
from tests.reliability.turns import Turns
from tests.reliability.world import Stored, photo, stored
from tests.support.fake_lake import ENVIRONMENT, Lake
from tests.support.private_parts import calls_of_aws, set_execution_status
from tests.support.sample import exhaustive, full
from tests.support.web_server import WebServer

# One of these posts owns an image that the other person shows: its new owner is erased at the same time.
POSTS = request(
    posts=[{"source": "bluesky", "author_id": ALICE, "post_id": name} for name in ("a1", "a-open", "a-planned", "lost")]
)
OF_ALICE = {f"bluesky/alice/{name}/0" for name in ("a1", "a-open", "a-planned", "lost")}


@pytest.fixture
def erased_world(
    one_thread: None, clients: None, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> tuple[ErasedWorld, Stored]:
    world = ErasedWorld(website, monkeypatch)
    with lake_of() as lake:
        world.fill(lake)
        return world, stored()


@pytest.fixture
def turns(erased_world: object, monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


def two_erasures(turns: Turns, world: ErasedWorld, state: Stored, *calls: int) -> list[int]:
    """Let two erasures meet after so many calls of each; return the calls of both."""
    with lake_of(state) as lake:
        turns.take([lambda: erase(lake, POSTS, "posts"), lambda: erase(lake, of_author(BOB), "bob")], calls)
        made = [len(operations) for operations in turns.operations]
        assert len([key for key in lake.bucket.list("erasures/") if key.endswith(".json")]) == 2
        assert wrong(lake, world, OF_ALICE | world.erased_with(BOB)) == [], calls
    return made


@pytest.mark.parametrize("number", [1, full(3), exhaustive(200)])
def test_both_erasures_of_the_same_files_take_effect(
    turns: Turns, erased_world: tuple[ErasedWorld, Stored], number: int
) -> None:
    first, second = two_erasures(turns, *erased_world, 10**6)
    chance = random.Random(7)
    for _ in range(number):
        two_erasures(turns, *erased_world, chance.randrange(1, first), chance.randrange(1, second))


def late_posts(world: ErasedWorld) -> None:
    world.post("alice", "a-late", ALICE, "ok", photo(7))
    world.post("bob", "b-late", BOB, "ok", photo(14))
    world.post("bob", "a-late-guest", ALICE, "ok", photo(8))


def run(lake: Lake) -> None:
    execute(lake, "run-4", FEEDS, dt=DAYS[4], **OPTIONS)


def start_run() -> str:
    """Start an execution in AWS in memory, for which an erasure waits; return its ARN."""
    pipeline = {"stateMachineArn": ENVIRONMENT["STATE_MACHINE_ARN"], "name": "run-4"}
    return client("stepfunctions").start_execution(**pipeline)["executionArn"]


def test_run_from_before_the_suppression_is_waited_for(
    erased_world: tuple[ErasedWorld, Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    beside_an_earlier_run(*erased_world, 40, monkeypatch)


@pytest.mark.full
@pytest.mark.exhaustive
def test_run_from_before_the_suppression_is_waited_for_at_every_call(
    erased_world: tuple[ErasedWorld, Stored], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, state = erased_world
    assert all(beside_an_earlier_run(world, state, call, monkeypatch) for call in range(1, 200, 10))


def beside_an_earlier_run(world: ErasedWorld, state: Stored, call: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Start an erasure at a call of a run; return if the run makes so many calls."""
    if "bluesky/alice/a-late/0" not in world.authors:
        late_posts(world)
    client_class, method = calls_of_aws()
    make, left, waiting = getattr(client_class, method), [call], list[Iterator[str]]()

    def call_or_erase(*made: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            steps = Execution(lake, "erasure-1", of_author(ALICE)).steps()
            assert next(steps) == "Wait For Runs"
            waiting.append(steps)
        return make(*made)

    with lake_of(state) as lake:
        arn = start_run()
        with monkeypatch.context() as patched:
            patched.setattr(client_class, method, call_or_erase)
            run(lake)
        set_execution_status(arn, "SUCCEEDED")
        for steps in waiting:
            assert len(list(steps)) < 5
        if waiting:
            assert wrong(lake, world, world.erased_with(ALICE)) == [], call
        return bool(waiting)


@pytest.mark.parametrize("number", [1, full(2), exhaustive(100)])
def test_run_from_after_the_suppression_and_an_erasure_do_not_disturb_each_other(
    turns: Turns, erased_world: tuple[ErasedWorld, Stored], number: int
) -> None:
    world, state = erased_world
    late_posts(world)

    def run_to_the_end(lake: Lake) -> None:
        arn = start_run()
        run(lake)
        set_execution_status(arn, "SUCCEEDED")

    def meet(*calls: int) -> list[int]:
        with lake_of(state) as lake:
            # A run from before all copies were on the list is waited for.
            erasure = partial(erase, lake, of_author(ALICE), wait=turns.wait_for_other)
            turns.take([erasure, lambda: run_to_the_end(lake)], calls)
            made = [len(operations) for operations in turns.operations]
            assert wrong(lake, world, world.erased_with(ALICE)) == [], calls
        return made

    first, second = meet(10**6)
    chance = random.Random(8)
    for _ in range(number):
        # By then, the request is on the list.
        meet(chance.randrange(10, first), chance.randrange(1, second))
