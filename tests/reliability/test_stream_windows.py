"""Two windows of a stream, whose runs take no lease, resume the same open batch of the day before at the same time."""

from __future__ import annotations

import random
from functools import partial

import pytest

from imagelake.lake import object_keys
from tests.reliability.audit import problems, unbalanced
from tests.reliability.killer import Killer
from tests.reliability.pipeline import execute
from tests.reliability.turns import Turns
from tests.reliability.world import DAY, NEXT_DAY, Stored, new_lake, photo
from tests.support.fake_lake import Lake
from tests.support.sample import full
from tests.support.web_server import Answer, WebServer

SEED = 2026
# Every window has a post that the window before has too.
WINDOWS = {"window-0": ("a", "once", "b"), "window-1": ("b", "c"), "window-2": ("c", "a", "d")}
ONCE = "camera/once"


@pytest.fixture
def turns(one_thread: None, clients: None, monkeypatch: pytest.MonkeyPatch) -> Turns:
    return Turns(monkeypatch)


def publish(website: WebServer) -> None:
    """Put the images on the server, which gives one of them only once."""
    for seed, name in enumerate("abcd"):
        website.put(f"/{name}", photo(seed))
    website.put("/once", photo(9), Answer(b"", 404))


def stage(lake: Lake, website: WebServer, window: str) -> None:
    """Store a window as Ingest Stream does."""
    records = []
    for name in WINDOWS[window]:
        image = {"media_id": f"camera/{name}", "index": 0, "kind": "image", "url": f"{website.origin}/{name}"}
        post = {"post_id": name, "author_id": "camera", "posted_at": f"{DAY}T10:00:00Z", "media": [image]}
        records.append({"schema": "imagelake.post/1", "post": post})
    lake.bucket.put_json(object_keys.staged_window(window), records)


def run(lake: Lake, window: str, dt: str) -> None:
    feed = {"source": "stream", "account": "cameras", "window": window}
    execute(lake, window, [feed], dt=dt, failure_tolerance_percent=100)


@pytest.fixture
def left_open(killer: Killer, website: WebServer) -> Stored:
    """The state that the first window's run leaves if it is killed right after it has opened its batch."""
    publish(website)
    with new_lake() as lake:
        stage(lake, website, "window-0")
        left = killer.kill(lambda: run(lake, "window-0", DAY), after=True)
    for _, state in left:
        with new_lake(state) as lake:
            if lake.bucket.list("open/"):
                return state
    raise AssertionError("the run opened no batch")


def meet(turns: Turns, website: WebServer, left_open: Stored, *calls: int) -> list[list[str]]:
    """Let the runs of two windows meet after so many calls of each, check the lake, and return the calls of both."""
    publish(website)
    windows = list(WINDOWS)[1:]
    with new_lake(left_open) as lake:
        for window in windows:
            stage(lake, website, window)
        turns.take([partial(run, lake, window, NEXT_DAY) for window in windows], calls)
        expected = {f"camera/{name}": "ok" for name in ("a", "b", "c", "d", "once")}
        assert problems(lake, expected, may_fail=True) == [], calls
        assert [line for window in windows for line in unbalanced(lake, window)] == [], calls
    return turns.operations


@pytest.mark.parametrize("number", [2, full(100)])
def test_overlapping_windows_leave_one_row_per_item(
    turns: Turns, website: WebServer, left_open: Stored, number: int
) -> None:
    first, second = (len(operations) for operations in meet(turns, website, left_open, 10**6))
    pairs = [(one, two) for one in range(1, first) for two in range(1, second)]
    for pair in random.Random(SEED).sample(pairs, number):
        meet(turns, website, left_open, *pair)
