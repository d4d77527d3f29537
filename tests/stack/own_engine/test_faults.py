"""Faults on the wire: AWS throttles, refuses, breaks off and corrupts, and the run completes all the same."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections import Counter
from pathlib import Path

from PIL import Image

from local.deploy import deploy
from local.engine import Engine
from local.proxy import Answer, Call, EngineProxy
from tests.support.deployed_stack import TEMPLATE, Stack
from tests.support.wire.sample import SampleServer

# Of how many calls which are struck: 30 % of DynamoDB's, 20 % of S3's; of S3's bodies 5 % are cut, 5 % corrupted.
THROTTLED, UNAVAILABLE, CUT, CORRUPTED = (10, {0, 3, 6}), (5, {0}), (20, {2}), (20, {3})


class Weather:
    """Disturbs calls at fixed shares, in turn, so that no run is luckier than another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()

    def before(self, call: Call) -> Answer | None:
        if call.operation.startswith("DynamoDB") and self._strikes(THROTTLED, "throttled"):
            error = {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "Rate exceeded"}
            return Answer(400, json.dumps(error).encode(), {"Content-Type": "application/x-amz-json-1.0"})
        if _is_object(call) and self._strikes(UNAVAILABLE, "unavailable"):
            body = b"" if call.method == "HEAD" else b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>"
            return Answer(503, body, {"Content-Type": "application/xml"})
        return None

    def after(self, call: Call, answer: Answer) -> Answer:
        if not _is_object(call) or call.method != "GET" or len(answer.body) < 2:
            return answer
        if self._strikes(CUT, "cut"):
            return Answer(answer.status, answer.body, answer.headers, cut=len(answer.body) // 2)
        # Only what carries a checksum can be told from what was stored.
        if any("checksum" in name.lower() for name in answer.headers) and self._strikes(CORRUPTED, "corrupted"):
            place = len(answer.body) // 2
            damaged = answer.body[:place] + bytes([answer.body[place] ^ 1]) + answer.body[place + 1 :]
            return Answer(answer.status, damaged, answer.headers)
        return answer

    def _strikes(self, share: tuple[int, set[int]], name: str) -> bool:
        every, struck = share
        with self._lock:
            place = self._seen[name] % every
            self._seen[name] += 1
            self.struck[name] += place in struck
            return place in struck


def _is_object(call: Call) -> bool:
    return not call.operation and call.path.startswith("/imagelake")


def test_run_completes_when_aws_is_disturbed(tmp_path: Path) -> None:
    weather = Weather()
    with (
        SampleServer("sample") as server,
        EngineProxy(before=weather.before, after=weather.after) as proxy,
        Engine(tmp_path, settings={"AWS_ENDPOINT_URL": proxy.url, "SFN_WAIT_SCALE": "0"}) as engine,
    ):
        proxy.engine_port = engine.port
        outputs = deploy(engine, TEMPLATE, {"ScheduleState": "DISABLED", "TrustedOrigins": server.url})
        stack = Stack(engine, outputs)
        assert stack.bucket.startswith("imagelake-"), "the faults select requests by the bucket's name"
        execution = stack.run(feeds=[server.account], batch_size=12)

        assert execution["status"] == "SUCCEEDED", execution.get("cause")
        assert all(weather.struck[name] for name in ("throttled", "unavailable", "cut", "corrupted")), weather.struck
        assert [stack.read(key).decode() for key in stack.keys("work/failed-batches/")] == []
        totals = stack.report(execution["name"])["totals"]
        # What samples/README.md predicts of the sample feed, as without faults.
        assert totals == {"planned": 36, "shared": 0, "ok": 31, "duplicate": 1, "rejected": 3, "failed": 1, "erased": 0}
        rows = {row["media_id"]: row for row in stack.rows()}
        assert Counter(row["status"] for row in rows.values()) == {"ok": 31, "duplicate": 1, "rejected": 3, "failed": 1}
        assert {media_id: item["status"] for media_id, item in stack.mapping().items()} == {
            media_id: row["status"] for media_id, row in rows.items()
        }
        assert not stack.keys("open/")
        for key in stack.keys("raw/images/"):
            assert hashlib.sha256(stack.read(key)).hexdigest() == key.rpartition("/")[2]
        for row in rows.values():
            if row["status"] == "ok":
                with Image.open(io.BytesIO(row["image"]["bytes"])) as image:
                    image.load()
                    assert image.size == (row["width"], row["height"])
