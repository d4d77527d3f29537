"""The stream: records put on Kinesis end as rows, each post once, and what is no post is kept with its reason.

``STREAM_RECORDS=10000`` makes the first test as large as that of the plan, which is a unit test.
"""

from __future__ import annotations

import base64
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

from local.stream import put_records, sample_records
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.images import COUNT

RECORDS = int(os.environ.get("STREAM_RECORDS", "400"))
DUPLICATES, POISON = RECORDS // 10, RECORDS // 100


def post(number: int, server: str) -> bytes:
    media = {"media_id": f"cms/{number}/0", "index": 0, "kind": "image", "url": f"{server}/{number}"}
    told = {"post_id": str(number), "author_id": "cms", "posted_at": "2026-11-20T08:00:00Z", "media": [media]}
    return json.dumps({"schema": "imagelake.post/1", "post": told}).encode()


def poison(number: int) -> bytes:
    kinds = [b"\xff\xfe%d", b'{"schema": "imagelake.post/2", "post": {}, "n": %d}', b"[%d]", b'{"n": %d', b'{"n": %d}']
    return kinds[number % len(kinds)] % number


def put_and_wait(stack: Stack, records: list[bytes]) -> list[str]:
    """Put records, wait until their windows are read, and return the statuses of the runs that this started."""
    before, others = consumed(stack), stack.executions()
    put_records(stack.engine.client("kinesis"), stack.outputs["StreamName"], records)
    while consumed(stack) < before + len(records):
        time.sleep(0.1)
    while True:
        runs = {name: status for name, status in stack.executions().items() if name not in others}
        windows = {Path(key).stem for key in stack.keys("work/stream/")} - others.keys()
        if windows <= runs.keys() and "RUNNING" not in runs.values():
            assert runs.keys() == windows
            return list(runs.values())
        time.sleep(0.1)


def consumed(stack: Stack) -> int:
    """Count the records in staged windows and among the rejects of the consumer."""
    staged = sum(len(json.loads(stack.read(key))) for key in stack.keys("work/stream/"))
    return staged + len(rejects(stack))


def rejects(stack: Stack) -> list[dict[str, Any]]:
    lines = [line for key in stack.keys("rejects/source=stream/") for line in stack.read(key).splitlines()]
    return [reject for reject in map(json.loads, lines) if reject["kind"] == "record"]


def test_lake_has_every_distinct_post_once_and_every_poison_record_is_retrievable(
    stack: Stack, servers: Servers
) -> None:
    shuffled = random.Random(6)
    numbers = list(range(RECORDS - DUPLICATES - POISON))
    again = shuffled.sample(numbers, DUPLICATES)
    bad = [poison(number) for number in range(POISON)]
    records = [post(number, servers.images.url) for number in numbers + again] + bad
    shuffled.shuffle(records)

    statuses = put_and_wait(stack, records)

    assert set(statuses) == {"SUCCEEDED"}
    rows = stack.rows(servers.images.url)
    assert Counter(row["post_id"] for row in rows) == Counter(str(number) for number in numbers)
    assert Counter(row["status"] for row in rows) == {"ok": COUNT, "duplicate": len(numbers) - COUNT}
    mapped = {media_id for media_id in stack.mapping() if media_id.startswith("cms/")}
    assert mapped == {f"cms/{number}/0" for number in numbers}
    kept = [base64.b64decode(reject["raw"]["data_base64"]) for reject in rejects(stack)]
    assert sorted(kept) == sorted(bad)
    assert all(reject["reason"] for reject in rejects(stack))
    assert stack.keys("open/") == []


def test_same_posts_under_new_sequence_numbers_add_no_row(stack: Stack, servers: Servers) -> None:
    rows, runs = stack.rows(), len(stack.keys("reports/"))
    statuses = put_and_wait(stack, [post(number, servers.images.url) for number in range(20)])
    assert set(statuses) == {"SUCCEEDED"}
    assert len(stack.keys("reports/")) > runs
    assert stack.rows() == rows


def test_sample_feed_through_the_stream_ends_as_it_does_when_it_is_polled(stack: Stack, servers: Servers) -> None:
    server = servers.sample_of_stream
    statuses = put_and_wait(stack, list(sample_records(server.url, server.account["account"])))
    assert set(statuses) == {"SUCCEEDED"}
    rows = stack.rows(server.url)
    assert Counter(row["status"] for row in rows) == {"ok": 31, "duplicate": 1, "rejected": 3, "failed": 1}
    assert all(row["media_id"].startswith("bluesky/") and row["source"] == "stream" for row in rows)
