"""SIGKILL of real workers: 25 of them die, each at a call of AWS, and no row is lost, doubled or left over."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import pytest

from imagelake.run import aws
from imagelake.sources import Feed, get_source
from imagelake.web.messages import Response
from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer
from local.proxy import Answer, Call, EngineProxy
from local.sample_feed import SampleFeed
from tests.reliability.audit import problems, unbalanced
from tests.stack.conftest import TEMPLATE, Stack
from tests.support.fake_lake import Lake

SEED = 1142
# How many workers of each function die, and among how many of its calls the next one to die at is drawn.
DEATHS = {
    "check_input": (1, 2),
    "fetch": (3, 8),
    "validate": (4, 12),
    "transform": (6, 30),
    "write_parquet": (4, 4),
    "map_keys": (3, 16),
    "reconcile": (2, 5),
    "report": (2, 8),
}
KILLS = 25
POSTS_A_DAY, DAYS = 10, 9
# What local/bootstrap has every call of a worker say: its handler and its process.
_WORKER = re.compile(r" app/(\w+)\.app\.handler\.(\d+)")


class Reaper:
    """Kills workers at calls drawn from ``seed``, told by function and number, before or after the call's effect."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self._points = {
            (function, number): chance.choice(["before", "after"])
            for function, (times, spread) in DEATHS.items()
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


@pytest.fixture
def disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stack, Reaper]]:
    """A stack whose workers die, and calls of this process that reach its engine."""
    reaper = Reaper(SEED)
    with (
        FeedServer(repeat=2) as server,
        EngineProxy(before=reaper.before, after=reaper.after) as proxy,
        Engine(tmp_path, settings={"AWS_ENDPOINT_URL": proxy.url, "SFN_WAIT_SCALE": "0", "AUTH": "true"}) as engine,
    ):
        proxy.engine_port = engine.port
        parameters = {"ScheduleState": "DISABLED", "TrustedOrigins": server.url}
        # The engine speaks plain HTTP, which that policy refuses.
        outputs = deploy(engine, TEMPLATE, parameters, without=["BucketPolicy"])
        mailbox = engine.client("sqs").create_queue(QueueName="mailbox")["QueueUrl"]
        for name, value in engine.environment().items():
            if name.startswith("AWS_") or name.lower() == "no_proxy":
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", engine.url)
        # Nothing is sent to the mailbox here.
        monkeypatch.setattr(Stack, "_notification", lambda stack: None)
        aws._client.cache_clear()
        yield Stack(engine, server, outputs, mailbox), reaper
        aws._client.cache_clear()


def test_nothing_is_lost_or_doubled_when_25_workers_are_killed(disturbed: tuple[Stack, Reaper]) -> None:
    stack, reaper = disturbed
    feed = stack.server.feed
    expected, entries = posted(feed, stack.server.url), feed.entries
    options = {"feeds": [stack.feed], "batch_size": 16, "failure_tolerance_percent": 100}
    # Every day has newer posts while there are any; some days' runs fail.
    for day in range(1, DAYS + 1):
        feed.entries = entries[-day * POSTS_A_DAY :]
        stack.run(**options, dt=f"2026-11-{day:02}")
        if len(reaper.killed) == KILLS:
            break
    assert Counter(reaper.killed) == {function: times for function, (times, _) in DEATHS.items()}
    died = re.findall(r"Lambda imagelake-[\w-]+: Runtime exited before", stack.engine.log.read_text())
    assert len(died) == KILLS, "each was at work when it died"

    # The last day's run goes on in peace.
    feed.entries = entries
    last = stack.run(**options, dt="2026-12-01")
    assert last["status"] == "SUCCEEDED", last.get("cause")
    lake = Lake.deployed(stack.outputs)
    assert [*problems(lake, expected), *unbalanced(lake, last["name"])] == []
