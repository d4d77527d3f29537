"""SIGKILL of real workers: they die at calls of AWS, and no row is lost, doubled or left over."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, cycle
from pathlib import Path

import pytest

from imagelake.run import aws
from imagelake.sources import Feed, get_source
from imagelake.web.messages import Response
from local.deploy import ONLY_WITH_TLS, deploy
from local.engine import Engine
from local.feed_server import FeedServer
from local.proxy import Answer, Call, EngineProxy
from local.sample_feed import SampleFeed
from tests.reliability.audit import problems, unbalanced
from tests.support.deployed_stack import TEMPLATE, Stack
from tests.support.fake_lake import Lake
from tests.support.sample import full

SEED = 1142
# How many workers of each function die, and among how many of its calls the next one to die at is drawn.
Deaths = dict[str, tuple[int, int]]
SAMPLE: Deaths = {
    "check_input": (1, 2),
    "fetch": (1, 8),
    "validate": (2, 12),
    "transform": (2, 30),
    "write_parquet": (2, 4),
    "map_keys": (2, 16),
    "reconcile": (1, 5),
    "report": (1, 8),
}
FULL: Deaths = {
    "check_input": (1, 2),
    "fetch": (3, 8),
    "validate": (4, 12),
    "transform": (6, 30),
    "write_parquet": (4, 4),
    "map_keys": (3, 16),
    "reconcile": (2, 5),
    "report": (2, 8),
}
POSTS_A_DAY, DAYS = 10, 9
# What local/bootstrap has every call of a worker say: its handler and its process.
_WORKER = re.compile(r" app/(\w+)\.app\.handler\.(\d+)")


class Reaper:
    """Kills workers at calls drawn by chance, in turn before a call has its effect and after it."""

    def __init__(self, deaths: Deaths) -> None:
        chance, sides = random.Random(SEED), cycle(["before", "after"])
        self.deaths = deaths
        self._points = {
            (function, number): next(sides)
            for function, (times, spread) in deaths.items()
            for number in accumulate(chance.randint(1, spread) for _ in range(times))
        }
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._doomed: set[int] = set()
        self._after: dict[int, tuple[str, int]] = {}
        self.killed: list[str] = []

    def before(self, call: Call) -> Answer | None:
        found = _WORKER.search(call.headers.get("User-Agent", ""))
        if found is None:
            return None
        function, process = found[1], int(found[2])
        with self._lock:
            # What other threads of a dying worker have on the way is not counted.
            if process in self._doomed:
                return None
            self._calls[function] += 1
            side = self._points.get((function, self._calls[function]))
            if side is None:
                return None
            self._doomed.add(process)
        if side == "before":
            return self._kill(function, process)
        self._after[id(call)] = function, process
        return None

    def after(self, call: Call, answer: Answer) -> Answer:
        worker = self._after.pop(id(call), None)
        return answer if worker is None else self._kill(*worker)

    def _kill(self, function: str, process: int) -> Answer:
        os.kill(process, signal.SIGKILL)
        self.killed.append(function)
        # Nobody is there to read it.
        return Answer(500)


def posted(feed: SampleFeed, origin: str) -> dict[str, str]:
    """The status that each picture of the feed comes to, by media id."""
    whole = [entry for entry in feed.entries if not entry.post.keys() & {"without", "repost"}]
    body = json.dumps({"feed": [feed.view(entry, origin) for entry in whole]}).encode()
    page = get_source("bluesky").parse(Feed.of("bluesky:" + feed.author["handle"]), Response(200, {}, body, origin))
    pictures = [image for entry in whole for image in entry.post.get("images", entry.post.get("gallery", []))]
    media = [one for post in page.posts for one in post.media if one.kind == "image"]
    return {
        one.media_id: image.get("outcome", "ok").partition(" ")[0] for one, image in zip(media, pictures, strict=True)
    }


@pytest.fixture(params=[SAMPLE, full(FULL)], ids=["12", "25"])
def disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Stack, FeedServer, Reaper]]:
    """A stack whose workers die, its network, and calls of this process that reach its engine."""
    reaper = Reaper(request.param)
    with (
        FeedServer(repeat=2) as server,
        EngineProxy(before=reaper.before, after=reaper.after) as proxy,
        Engine(tmp_path, settings={"AWS_ENDPOINT_URL": proxy.url, "SFN_WAIT_SCALE": "0", "AUTH": "true"}) as engine,
    ):
        proxy.engine_port = engine.port
        parameters = {"ScheduleState": "DISABLED", "TrustedOrigins": server.url}
        outputs = deploy(engine, TEMPLATE, parameters, without=ONLY_WITH_TLS)
        for name, value in engine.environment().items():
            if name.startswith("AWS_") or name.lower() == "no_proxy":
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", engine.url)
        aws._client.cache_clear()
        yield Stack(engine, outputs), server, reaper
        aws._client.cache_clear()


def test_nothing_is_lost_or_doubled_when_workers_are_killed(disturbed: tuple[Stack, FeedServer, Reaper]) -> None:
    stack, server, reaper = disturbed
    feed, kills = server.feed, {function: times for function, (times, _) in reaper.deaths.items()}
    expected, entries = posted(feed, server.url), feed.entries
    account = {"source": "bluesky", "account": feed.author["handle"], "server": server.url}
    options = {"feeds": [account], "batch_size": 16, "failure_tolerance_percent": 100}
    # Every day has newer posts while there are any; some days' runs fail.
    for day in range(1, DAYS + 1):
        feed.entries = entries[-day * POSTS_A_DAY :]
        stack.run(**options, dt=f"2026-10-{day:02}")
        if len(reaper.killed) == sum(kills.values()):
            break
    assert Counter(reaper.killed) == kills
    died = re.findall(r"Lambda imagelake-[\w-]+: Runtime exited before", stack.engine.log.read_text())
    assert len(died) == sum(kills.values()), "each was at work when it died"

    # The last day's run goes on in peace.
    feed.entries = entries
    last = stack.run(**options, dt="2026-11-01")
    assert last["status"] == "SUCCEEDED", last.get("cause")
    lake = Lake.deployed(stack.outputs)
    assert [*problems(lake, expected), *unbalanced(lake, last["name"])] == []
