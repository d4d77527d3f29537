"""The stream: records put on Kinesis end as rows, each post once, and what is no post is kept with its reason.

``STREAM_RECORDS=10000`` makes the first test as large as that of the plan, which is a unit test.
"""

from __future__ import annotations

import base64
import io
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer
from local.stream import put_records, sample_records
from tests.stack.conftest import ACCOUNT, TEMPLATE, Stack

RECORDS = int(os.environ.get("STREAM_RECORDS", "400"))
DUPLICATES, POISON = RECORDS // 10, RECORDS // 100
PICTURES = 4


class Pictures(ThreadingHTTPServer):
    """Serves one of a few pictures at every address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        bodies = []
        for number in range(PICTURES):
            out = io.BytesIO()
            Image.linear_gradient("L").resize((64, 64 + number)).convert("RGB").save(out, "JPEG")
            bodies.append(out.getvalue())

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = bodies[int(self.path.rpartition("/")[2]) % PICTURES]
                self.send_response(200)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


def post(number: int, pictures: str) -> bytes:
    media = {"media_id": f"cms/{number}/0", "index": 0, "kind": "image", "url": f"{pictures}/{number}"}
    told = {"post_id": str(number), "author_id": "cms", "posted_at": "2026-11-20T08:00:00Z", "media": [media]}
    return json.dumps({"schema": "imagelake.post/1", "post": told}).encode()


def poison(number: int) -> bytes:
    kinds = [b"\xff\xfe%d", b'{"schema": "imagelake.post/2", "post": {}, "n": %d}', b"[%d]", b'{"n": %d', b'{"n": %d}']
    return kinds[number % len(kinds)] % number


@pytest.fixture(scope="module")
def pictures() -> Iterator[Pictures]:
    with Pictures() as server:
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory, pictures: Pictures) -> Iterator[Stack]:
    # AUTH, as in the stack of test_pipeline.py: each function may do what its role allows and nothing else.
    with Engine(tmp_path_factory.mktemp("engine"), settings={"AUTH": "true"}) as engine, FeedServer() as server:
        parameters = {
            "ScheduleState": "DISABLED",
            "StreamIngest": "ENABLED",
            "TrustedOrigins": f"{server.url},{pictures.url}",
        }
        yield Stack(engine, server, deploy(engine, TEMPLATE, parameters, without=["BucketPolicy"]), mailbox="")


def put_and_wait(stack: Stack, records: list[bytes]) -> list[str]:
    """Put records, wait until their windows are read, and return the statuses of all runs there were."""
    before = consumed(stack)
    put_records(stack.engine.client("kinesis"), stack.outputs["StreamName"], records)
    while consumed(stack) < before + len(records):
        time.sleep(0.2)
    states = stack.engine.client("stepfunctions")
    while True:
        pages = states.get_paginator("list_executions").paginate(stateMachineArn=stack.outputs["StateMachineArn"])
        runs = {run["name"]: run["status"] for page in pages for run in page["executions"]}
        windows = {Path(key).stem for key in stack.keys("work/stream/")}
        if windows <= runs.keys() and "RUNNING" not in runs.values():
            assert runs.keys() == windows
            return list(runs.values())
        time.sleep(0.5)


def consumed(stack: Stack) -> int:
    """How many records are in staged windows or among the rejects of the consumer."""
    staged = sum(len(json.loads(stack.read(key))) for key in stack.keys("work/stream/"))
    return staged + len(rejects(stack))


def rejects(stack: Stack) -> list[dict[str, Any]]:
    lines = [line for key in stack.keys("rejects/source=stream/") for line in stack.read(key).splitlines()]
    return [reject for reject in map(json.loads, lines) if reject["kind"] == "record"]


def test_lake_has_every_distinct_post_once_and_every_poison_record_is_retrievable(
    stream: Stack, pictures: Pictures
) -> None:
    shuffled = random.Random(6)
    numbers = list(range(RECORDS - DUPLICATES - POISON))
    again = shuffled.sample(numbers, DUPLICATES)
    bad = [poison(number) for number in range(POISON)]
    records = [post(number, pictures.url) for number in numbers + again] + bad
    shuffled.shuffle(records)

    statuses = put_and_wait(stream, records)

    assert set(statuses) == {"SUCCEEDED"}
    rows = stream.rows()
    assert Counter(row["post_id"] for row in rows) == Counter(str(number) for number in numbers)
    assert Counter(row["status"] for row in rows) == {"ok": PICTURES, "duplicate": len(numbers) - PICTURES}
    assert set(stream.mapping()) == {f"cms/{number}/0" for number in numbers}
    kept = [base64.b64decode(reject["raw"]["data_base64"]) for reject in rejects(stream)]
    assert sorted(kept) == sorted(bad)
    assert all(reject["reason"] for reject in rejects(stream))
    assert stream.keys("open/") == []


def test_same_posts_under_new_sequence_numbers_add_no_row(stream: Stack, pictures: Pictures) -> None:
    rows, runs = stream.rows(), len(stream.keys("reports/"))
    statuses = put_and_wait(stream, [post(number, pictures.url) for number in range(20)])
    assert set(statuses) == {"SUCCEEDED"}
    assert len(stream.keys("reports/")) > runs
    assert stream.rows() == rows


def test_sample_feed_through_the_stream_ends_as_it_does_when_it_is_polled(stream: Stack) -> None:
    before = {row["media_id"] for row in stream.rows()}
    statuses = put_and_wait(stream, list(sample_records(stream.server.url, ACCOUNT)))
    assert set(statuses) == {"SUCCEEDED"}
    new = [row for row in stream.rows() if row["media_id"] not in before]
    assert Counter(row["status"] for row in new) == {"ok": 31, "duplicate": 1, "rejected": 3, "failed": 1}
    assert all(row["media_id"].startswith("bluesky/") and row["source"] == "stream" for row in new)


def test_stack_without_the_stream_has_none(tmp_path: Path) -> None:
    """Nothing of it is made, so nothing of it is billed."""
    with Engine(tmp_path) as engine:
        outputs = deploy(engine, TEMPLATE, {"ScheduleState": "DISABLED"})
        assert "StreamName" not in outputs
        assert engine.client("kinesis").list_streams()["StreamNames"] == []
        names = [function["FunctionName"] for function in engine.client("lambda").list_functions()["Functions"]]
        assert names
        assert not [name for name in names if "IngestStream" in name or "RelayAlert" in name]
