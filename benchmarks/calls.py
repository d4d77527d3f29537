"""Count the calls of AWS that one run makes, and price a million images by them.

    .venv/bin/python benchmarks/calls.py

The deployed stack reads the sample feed on the local engine; the functions reach the engine through a proxy that counts
their calls. The result is compared with a plain design: a Map over images with five functions for each, and one raw and
one processed object per image. It is written as a table into ``docs/benchmarks.md``. Compute time is not a call:
``docs/costs.md`` has its price.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import ROOT, publish, table

sys.path.insert(0, str(ROOT))

from imagelake.run import prices
from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer
from local.proxy import Answer, Call, EngineProxy
from tools import costs

# Attributes that the media index is also indexed by: a write of an item with one of them is also a write of that index.
INDEX_KEYS = ("author", "duplicate_of")
_OBJECT = re.compile(r"/[^/?]+(?:/|/?\?.*prefix=)(\w+)(?:/|%2F)(\w*)")
# Prefixes and tables whose calls grow with the images; those of pages and reports grow with feeds and runs.
_COUNTED_PER = {
    "raw/images": "image", "ImageKeys": "image",
    "work/parts": "part", "work": "batch", "open": "batch", "lake": "batch", "ImageHashes": "batch",
    "Suppression": "batch",
}  # fmt: skip
# The batches of the counted run have one part each.
_PRICED_IMAGES = {"image": 1, "part": prices.ITEMS_PER_PART, "batch": costs.BATCH_SIZE}
_PRICES = {
    "S3 PUT": prices.S3_PUT, "S3 LIST": prices.S3_PUT, "S3 GET": prices.S3_GET, "S3 DELETE": 0.0,
    "DynamoDB PutItem, units": prices.DYNAMO_WRITE, "DynamoDB UpdateItem, units": prices.DYNAMO_WRITE,
    "DynamoDB TransactWriteItems, units": prices.DYNAMO_WRITE, "DynamoDB BatchGetItem, units": prices.DYNAMO_READ,
    "DynamoDB GetItem, units": prices.DYNAMO_READ, "DynamoDB Query, units": prices.DYNAMO_READ,
}  # fmt: skip
# Each of the five functions reads the object that the one before has written; the mapping is the same as ours.
_PLAIN_DESIGN_USD = 1e6 * (
    5 * prices.TRANSITION + 5 * prices.LAMBDA_REQUEST + 2 * prices.S3_PUT + 4 * prices.S3_GET + 3 * prices.DYNAMO_WRITE
)
ACCOUNT = "sample.imagelake.example"
BATCH_SIZE = 12
Calls = dict[tuple[str, str], float]


class Bill:
    """Counts calls by their kind and by the prefix or table that they are about."""

    def __init__(self) -> None:
        self.calls: defaultdict[tuple[str, str], float] = defaultdict(float)
        self._lock = threading.Lock()

    def count(self, call: Call, answer: Answer) -> Answer:
        with self._lock:
            if call.operation.startswith("DynamoDB"):
                operation = call.operation.partition(".")[2]
                for table_name, units in _units(operation, json.loads(call.body), answer.body):
                    self.calls[f"DynamoDB {operation}, units", table_name] += units
            elif not call.operation and (match := _OBJECT.match(call.path)):
                is_listing = urlsplit(call.path).query.startswith("list-type")
                name = "LIST" if is_listing else {"HEAD": "GET"}.get(call.method, call.method)
                folder = "/".join(match.groups())
                is_counted = folder in _COUNTED_PER and not is_listing
                self.calls[f"S3 {name}", folder if is_counted else match[1]] += 1
        return answer


def _units(operation: str, request: dict[str, Any], answer: bytes) -> list[tuple[str, float]]:
    """Tables and the request units that DynamoDB bills: one per 1 KB written or 4 KB read, half for eventual reads."""
    if operation == "BatchGetItem":
        return [
            (name, len(asked["Keys"]) * (1 if asked.get("ConsistentRead") else 0.5))
            for name, asked in request["RequestItems"].items()
        ]
    if operation in ("GetItem", "Query"):
        factor = 1 if request.get("ConsistentRead") else 0.5
        return [(request["TableName"], max(1, ceil(len(answer) / 4096)) * factor)]
    if operation == "TransactWriteItems":
        puts = [next(iter(action.values())) for action in request["TransactItems"]]
        return [(put["TableName"], 2 * _kilobytes(put)) for put in puts]
    item = request.get("Item", {})
    return [(request["TableName"], _kilobytes(request) * (1 + sum(key in item for key in INDEX_KEYS)))]


def _kilobytes(request: dict[str, Any]) -> int:
    return ceil(len(json.dumps(request.get("Item", {}))) / 1024) or 1


@contextmanager
def stack_with_a_run(bill: Bill) -> Iterator[tuple[Engine, dict[str, str], dict[str, Any]]]:
    """A stack after one run over the sample feed, its outputs, and the report of the run; ``bill`` counts its calls."""
    with (
        tempfile.TemporaryDirectory() as folder,
        FeedServer() as server,
        EngineProxy(after=bill.count) as proxy,
        Engine(Path(folder), settings={"AWS_ENDPOINT_URL": proxy.url}) as engine,
    ):
        proxy.engine_port = engine.port
        outputs = deploy(engine, ROOT / "template.yaml", {"ScheduleState": "DISABLED", "TrustedOrigins": server.url})
        bill.calls.clear()
        feed = {"source": "bluesky", "account": ACCOUNT, "server": server.url}
        name = execute(engine, outputs["StateMachineArn"], {"feeds": [feed], "batch_size": BATCH_SIZE})
        key = f"reports/{name}/run.json"
        report = json.loads(engine.client("s3").get_object(Bucket=outputs["BucketName"], Key=key)["Body"].read())
        yield engine, outputs, report


def execute(engine: Engine, machine: str, given: dict[str, Any]) -> str:
    """Run an execution to its end; return its name."""
    states = engine.client("stepfunctions")
    started = states.start_execution(stateMachineArn=machine, input=json.dumps(given))
    while (run := states.describe_execution(executionArn=started["executionArn"]))["status"] == "RUNNING":
        time.sleep(0.2)
    if run["status"] != "SUCCEEDED":
        raise SystemExit(f"the execution ended as {run['status']}: {run.get('cause')}")
    return str(run["name"])


def named(bill: Bill, outputs: dict[str, str]) -> Calls:
    """Return the calls by kind and by prefix or name of the table."""
    names = {outputs[name]: name.removesuffix("TableName") for name in outputs if name.endswith("TableName")}
    return {(kind, names.get(place, place)): number for (kind, place), number in bill.calls.items()}


def count() -> tuple[Calls, int, int]:
    """Calls of one run by kind and by prefix or table, and the run's images and batches."""
    bill = Bill()
    with stack_with_a_run(bill) as (_, outputs, report):
        calls = named(bill, outputs)
    images = report["totals"]["planned"]
    return calls, images, ceil(images / BATCH_SIZE)


def priced(calls: Calls, images: int, batches: int) -> tuple[list[list[str]], float]:
    """The rows of the table, and USD per million images."""
    rows, total = [], 0.0
    for (kind, place), number in sorted(calls.items(), key=lambda entry: (entry[0][0].split()[0], entry[0])):
        per = _COUNTED_PER.get(place)
        if per is None or not _PRICES[kind]:
            continue
        each = number / (images if per == "image" else batches)
        usd = 1e6 * each * _PRICES[kind] / _PRICED_IMAGES[per]
        total += usd
        rows.append([kind, f"`{place}`", f"{each:.2f} per {per}", f"{usd:.2f}"])
    for kind, number, price in (
        ("Step Functions transitions", prices.TRANSITIONS_PER_BATCH, prices.TRANSITION),
        ("Lambda requests", prices.CALLS_PER_BATCH, prices.LAMBDA_REQUEST),
    ):
        usd = 1e6 / costs.BATCH_SIZE * number * price
        total += usd
        rows.append([kind, "", f"{number} per batch", f"{usd:.2f}"])
    return rows, total


def main() -> None:
    calls, images, batches = count()
    rows, total = priced(calls, images, batches)
    rows.append(["**total**", "", "", f"**{total:.2f}**"])
    publish(
        "calls",
        f"{images} images in {batches} batches, counted; priced at batches of {costs.BATCH_SIZE}.\n\n"
        + table(["call", "on", "number", "USD per million images"], rows)
        + f"\n\nThe plain design costs {_PLAIN_DESIGN_USD:.2f} by the same prices,"
        f" {_PLAIN_DESIGN_USD / total:.0f} times as much.",
    )


if __name__ == "__main__":
    main()
