"""An erasure that is killed at any call of AWS and started again with the same request ends as if nobody had killed it.

What is stored after one call is what is stored before the next, so the states after the calls are both sides of all.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.reliability.erased_world import (
    ALICE,
    BOB,
    ErasedWorld,
    contents,
    erase,
    lake_of,
    of_author,
    request,
)
from tests.reliability.kill_points import drawn
from tests.reliability.killer import Killer, Point
from tests.reliability.world import Stored
from tests.support.sample import exhaustive, full

POSTS = [{"source": "bluesky", "author_id": ALICE, "post_id": name} for name in ("a1", "a-open", "page", "a-planned")]
POSTS += [{"source": "bluesky", "author_id": BOB, "post_id": "b1"}]
REQUESTS = {"author": of_author(ALICE), "posts": request(posts=POSTS)}


@pytest.fixture
def erased_world(one_thread: None, clients: None, website: Any, monkeypatch: pytest.MonkeyPatch) -> ErasedWorld:
    return ErasedWorld(website, monkeypatch)


@pytest.mark.parametrize("states", [2, full(4), exhaustive(None)])
@pytest.mark.parametrize("what", ["author", "posts"])
def test_erasure_killed_at_any_call_and_started_again_ends_in_the_same_state(
    killer: Killer, erased_world: ErasedWorld, what: str, states: int | None
) -> None:
    wanted = REQUESTS[what]
    with lake_of() as lake:
        erased_world.fill(lake)
        left = killer.kill(lambda: erase(lake, wanted), after=True)
        expected = contents()
    points: dict[Stored, Point] = {}
    for point, state in left:
        points.setdefault(state, point)
    assert len(points) > 200
    for state, point in drawn(list(points.items()), states):
        with lake_of(state) as lake:
            erase(lake, wanted, "erasure-2")
            assert differences(expected, contents()) == {}, point


def differences(expected: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    return {
        key: (expected.get(key), found.get(key))
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    }
