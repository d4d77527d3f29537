"""What a million pictures ask of AWS: the calls of one run of the stack, counted, times list prices.

    .venv/bin/python benchmarks/calls.py

The deployed stack runs over the sample feed on the local engine; the functions reach the engine through a proxy that
counts. Beside it stands the plain design: a Map over images with five functions each, a raw and a processed object an
image. Writes a table into ``docs/benchmarks.md``. Computing time is not a call; ``docs/costs.md`` has it.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import ROOT, publish, table

sys.path.insert(0, str(ROOT))

from local import costs
from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer
from local.proxy import Answer, Call, EngineProxy

# Names in the template of what an image's item is found by; a write of an item that holds one is a write of the index.
INDEX_KEYS = ("raw_sha256", "author_id")
_ZONE = re.compile(r"/[^/?]+/(?:\?.*prefix=)?(\w+)(?:/|%2F)(\w*)")
# What grows with the pictures; pages and reports are of a feed or a run.
_PER = {
    "raw/images": "image", "MediaIndex": "image",
    "work": "batch", "open": "batch", "lake": "batch", "HashLog": "batch",
}  # fmt: skip
ACCOUNT = "sample.imagelake.example"


class Bill:
    """Counts calls by what they are and what they are about."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def count(self, call: Call, answer: Answer) -> Answer:
        with self._lock:
            if call.operation.startswith("DynamoDB"):
                operation = call.operation.partition(".")[2]
                for table_name, units in _units(operation, json.loads(call.body), answer.body):
                    self.seen[f"DynamoDB {operation}, units", table_name] += units
            elif not call.operation and (zone := _ZONE.match(call.path)):
                # A listing is billed like a PUT.
                is_listing = urlsplit(call.path).query.startswith("list-type")
                name = "PUT" if is_listing else {"HEAD": "GET"}.get(call.method, call.method)
                self.seen[f"S3 {name}", "/".join(zone.groups()) if zone[1] == "raw" else zone[1]] += 1
        return answer


def _units(operation: str, request: dict[str, Any], answer: bytes) -> list[tuple[str, float]]:
    """Tables and request units, as DynamoDB bills them: 1 KB a write, 4 KB a read, half of it if not consistent."""
    if operation == "BatchGetItem":
        return [
            (name, len(wanted["Keys"]) * (1 if wanted.get("ConsistentRead") else 0.5))
            for name, wanted in request["RequestItems"].items()
        ]
    if operation in ("GetItem", "Query"):
        share = 1 if request.get("ConsistentRead") else 0.5
        return [(request["TableName"], max(1, ceil(len(answer) / 4096)) * share)]
    if operation == "TransactWriteItems":
        puts = [next(iter(action.values())) for action in request["TransactItems"]]
        return [(put["TableName"], 2 * _kilobytes(put)) for put in puts]
    item = request.get("Item", {})
    return [(request["TableName"], _kilobytes(request) * (1 + sum(key in item for key in INDEX_KEYS)))]


def _kilobytes(request: dict[str, Any]) -> int:
    return ceil(len(json.dumps(request.get("Item", {}))) / 1024) or 1


def count() -> tuple[Counter[tuple[str, str]], int, int]:
    """Calls of one run by kind and place, and its images and batches."""
    bill = Bill()
    with (
        tempfile.TemporaryDirectory() as folder,
        FeedServer() as server,
        EngineProxy(after=bill.count) as proxy,
        Engine(Path(folder), settings={"AWS_ENDPOINT_URL": proxy.url}) as engine,
    ):
        proxy.engine_port = engine.port
        outputs = deploy(engine, ROOT / "template.yaml", {"ScheduleState": "DISABLED", "TrustedOrigins": server.url})
        names = {outputs[name]: name.removesuffix("TableName") for name in outputs if name.endswith("TableName")}
        bill.seen.clear()
        given = {"feeds": [{"source": "bluesky", "account": ACCOUNT, "server": server.url}], "batch_size": 12}
        states = engine.client("stepfunctions")
        started = states.start_execution(stateMachineArn=outputs["StateMachineArn"], input=json.dumps(given))
        while (run := states.describe_execution(executionArn=started["executionArn"]))["status"] == "RUNNING":
            time.sleep(0.2)
        if run["status"] != "SUCCEEDED":
            raise SystemExit(f"the run ended as {run['status']}: {run.get('cause')}")
        report = f"reports/{run['name']}/run.json"
        said = json.loads(engine.client("s3").get_object(Bucket=outputs["BucketName"], Key=report)["Body"].read())
    seen = Counter({(kind, names.get(place, place)): number for (kind, place), number in bill.seen.items()})
    images = said["totals"]["planned"]
    return seen, images, ceil(images / given["batch_size"])


def main() -> None:
    seen, images, batches = count()
    prices = {
        "S3 PUT": costs.S3_PUT, "S3 GET": costs.S3_GET, "S3 DELETE": 0.0,
        "DynamoDB PutItem, units": costs.DYNAMO_WRITE, "DynamoDB UpdateItem, units": costs.DYNAMO_WRITE,
        "DynamoDB TransactWriteItems, units": costs.DYNAMO_WRITE, "DynamoDB BatchGetItem, units": costs.DYNAMO_READ,
        "DynamoDB GetItem, units": costs.DYNAMO_READ, "DynamoDB Query, units": costs.DYNAMO_READ,
    }  # fmt: skip
    rows, total = [], 0.0
    for (kind, place), number in sorted(seen.items(), key=lambda entry: (entry[0][0].split()[0], entry[0])):
        per = _PER.get(place)
        if per is None or not prices[kind]:
            continue
        each = number / (images if per == "image" else batches)
        usd = 1e6 * each * prices[kind] / (1 if per == "image" else costs.BATCH_SIZE)
        total += usd
        rows.append([kind, f"`{place}`", f"{each:.2f} per {per}", f"{usd:.2f}"])
    flow = 1e6 / costs.BATCH_SIZE * costs.TRANSITIONS_OF_A_BATCH * costs.TRANSITION
    calls = 1e6 / costs.BATCH_SIZE * costs.CALLS_OF_A_BATCH * costs.LAMBDA_REQUEST
    rows.append(["Step Functions transitions", "", f"{costs.TRANSITIONS_OF_A_BATCH} per batch", f"{flow:.2f}"])
    rows.append(["Lambda requests", "", f"{costs.CALLS_OF_A_BATCH} per batch", f"{calls:.2f}"])
    rows.append(["**together**", "", "", f"**{total + flow + calls:.2f}**"])
    # Each of five functions reads what the one before has written; the mapping is the same.
    plain = 1e6 * (5 * costs.TRANSITION + 5 * costs.LAMBDA_REQUEST + 2 * costs.S3_PUT + 4 * costs.S3_GET)
    plain += 1e6 * 3 * costs.DYNAMO_WRITE
    publish(
        "calls",
        f"{images} images in {batches} batches, counted; priced at batches of {costs.BATCH_SIZE}.\n\n"
        + table(["call", "on", "number", "USD per million images"], rows)
        + f"\n\nThe plain design, at the same prices: {plain:.2f}, {plain / (total + flow + calls):.0f} times as much.",
    )


if __name__ == "__main__":
    main()
