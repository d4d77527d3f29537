"""Count the calls of an erasure, and price one that changes 1,000 dataset files of 500 images, one item in each.

    .venv/bin/python benchmarks/erasure.py

The real functions run in this process, in the order of the state machine, with AWS in memory. Two lakes of different
sizes are erased, and each number grows linearly with the files between them. The lakes have five feeds a day, each with
one batch and five pages. The result is written into ``docs/benchmarks.md``, beside the figure of Amazon S3 Find and
Forget for its job with 1,000 objects.
"""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import date, timedelta
from math import ceil
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
from bench import ROOT, machine, publish, table

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "functions"))

from calls import INDEX_KEYS

import erase_pages.app
import write_parquet.app
from imagelake.lake import object_keys
from imagelake.lake.hash_log import HASHES, Entry
from imagelake.lake.index_keys import author_key, post_key
from imagelake.lake.parts import Parts
from imagelake.lake.rows import image_file
from imagelake.lake.staging import Staging
from imagelake.lake.suppression import suppressions
from imagelake.run import prices
from imagelake.run.aws import client
from imagelake.run.models import Run
from imagelake.run.observability import logger
from tests.reliability.erasing import Execution
from tests.support.asl import FUNCTION_ARN, RESOURCES
from tests.support.factories import Context, event, item, keep_plan, media, plan, post, result
from tests.support.fake_lake import ENVIRONMENT, Lake, aws_in_memory
from tests.support.fake_network import Network, page
from tests.support.private_parts import calls_of_aws
from tools import costs

FILES, SIZES = 1_000, (10, 20)
IMAGES, FEEDS, PAGES = costs.BATCH_SIZE, costs.FEEDS, 5
ALICE, FIRST_DAY = "did:plc:alice", date(2026, 1, 1)
# Assumed, because AWS in memory has neither: the time that one call waits, and bytes of S3 in a second.
SECONDS_PER_CALL, BYTES_PER_SECOND = 0.02, 80e6
# With 3 seconds of 64 MB: https://aws.amazon.com/step-functions/pricing/
EXPRESS = 1e-6 + 3 / 16 * prices.LAMBDA_GB_SECOND
MOST_USD = 0.25
# Working objects of a batch expire, by the rule of the bucket.
WORK_DAYS = 14
# Scenario 2: 1,000 objects of 750 GB. Its 11.07 USD for Fargate are 50 tasks of 45 minutes.
FIND_AND_FORGET_USD = 11.14
FIND_AND_FORGET = "https://github.com/awslabs/amazon-s3-find-and-forget/blob/master/docs/COST_OVERVIEW.md#scenario-2"
_READS = {"BatchGetItem", "GetItem", "Query"}
_PRICES = {"LIST": prices.S3_PUT, "PUT": prices.S3_PUT, "GET": prices.S3_GET, "DELETE": 0.0}


class Bill:
    """USD of everything so far, and numbers of calls, by what is billed."""

    def __init__(self) -> None:
        self.usd: defaultdict[str, float] = defaultdict(float)
        self.number: defaultdict[str, float] = defaultdict(float)
        self.calls = 0
        self.bytes = 0

    def add(self, name: str, number: float, usd: float) -> None:
        self.number[name] += number
        self.usd[name] += number * usd

    def call(self, service: str, operation: str, request: dict[str, Any], answer: dict[str, Any]) -> None:
        self.calls += 1
        if service == "s3":
            kind = "LIST" if operation.startswith("List") else operation.removesuffix("Object").upper()
            self.add(f"S3 {kind.replace('HEAD', 'GET')}", 1, _PRICES[kind.replace("HEAD", "GET")])
            self.bytes += answer["ContentLength"] if operation == "GetObject" else 0
        elif service == "dynamodb" and operation in _READS:
            found = answer.get("Items") or [answer.get("Item")]
            asked = [len(tables["Keys"]) for tables in request.get("RequestItems", {}).values()]
            self.add("DynamoDB read units", sum(asked) or max(1, ceil(_bytes(found) / 4096)), prices.DYNAMO_READ)
        elif service == "dynamodb":
            actions = [next(iter(one.values())) for one in request.get("TransactItems", [])]
            # A transaction costs twice.
            units = sum(map(_units, actions)) * 2 or _units(request)
            self.add("DynamoDB write units", units, prices.DYNAMO_WRITE)


def _units(write: dict[str, Any]) -> int:
    """Units of a write: the KB of the item, and one for each index; this assumes that its size does not change."""
    key = str(write.get("Key", ""))
    is_indexed = write["TableName"] == ENVIRONMENT["IMAGE_KEYS_TABLE"] and "sha256/" not in key
    size = _bytes(write.get("Item")) + _bytes(write.get("ExpressionAttributeValues")) / 2
    return ceil(max(size, 1) / 1024) + is_indexed * len(INDEX_KEYS)


def _bytes(value: Any) -> int:
    """Count the bytes of all values inside a value."""
    if isinstance(value, dict):
        return sum(map(_bytes, value.values()))
    if isinstance(value, list):
        return sum(map(_bytes, value))
    return len(value.value if hasattr(value, "value") else value) if value and not isinstance(value, bool) else 0


class Priced(Execution):
    """An execution that counts its calls, its transitions and the time of its functions."""

    def __init__(self, lake: Lake, name: str, request: dict[str, Any], bill: Bill) -> None:
        super().__init__(lake, name, request)
        self._bill = bill

    def _call(self, resource: str, given: dict[str, Any]) -> Any:
        match = FUNCTION_ARN.fullmatch(resource)
        if match is None:
            return super()._call(resource, given)
        before, started = (self._bill.calls, self._bill.bytes), time.process_time()
        answer = super()._call(resource, given)
        seconds = time.process_time() - started
        seconds += (self._bill.calls - before[0]) * SECONDS_PER_CALL + (self._bill.bytes - before[1]) / BYTES_PER_SECOND
        memory = RESOURCES[f"{match[1]}Function"]["Properties"]["MemorySize"]
        self._bill.add("Lambda GB-seconds", seconds * memory / 1024, prices.LAMBDA_GB_SECOND)
        self._bill.add("Lambda requests", 1, prices.LAMBDA_REQUEST)
        return answer


def fill(lake: Lake, files: int) -> None:
    """Store batches of images with one item of the person in each, and the pages and reports of their runs."""
    chance = Random(1)
    for number in range(files):
        dt = f"{FIRST_DAY + timedelta(number // FEEDS):%Y-%m-%d}"
        run = Run.model_validate(event("validate")["run"] | {"run_id": f"run-{dt}", "dt": dt})
        feed_id = f"feed-{number % FEEDS}"
        items = [
            item(f"{number}-{place}", author_id=ALICE if place == 7 else f"did:plc:{place}") for place in range(IMAGES)
        ]
        planned = keep_plan(lake, plan(*items, run_id=run.run_id, dt=dt, feed_id=feed_id))
        lake.bucket.delete(object_keys.open_batch(planned.batch))
        fill_batch(lake, planned, chance)
        posts = [post(one.post_id, media(one.post_id), author_id=one.author_id, text="words " * 20) for one in items]
        for place in range(PAGES):
            body = page(*posts[place::PAGES])
            key = object_keys.raw_page(run, "bluesky", feed_id, place)
            lake.bucket.put(key, gzip.compress(body), "application/gzip", {"url": "https://x.example", "status": "200"})
        definition = object_keys.feed_definition("bluesky", dt, run.run_id, feed_id)
        lake.bucket.put_json(definition, f"bluesky:{feed_id}.example")
        feed = {"feed_id": feed_id, "name": f"bluesky:{feed_id}.example", "config": None, "plan": None}
        lake.bucket.put_json(object_keys.feed_reconciliation(run, feed_id), {"feed_id": feed_id, "problem": ""})
        lake.bucket.put_json(object_keys.run_summary(run.run_id), {"feeds": [feed], "totals": {}})
        lake.bucket.put(object_keys.html_report(run.run_id), b"<html></html>", "text/html")


def fill_batch(lake: Lake, planned: Any, chance: Random) -> None:
    """Store the parts, the staged rows and the dataset file of a batch, and entries of the person's item."""
    batch, rows = planned.batch, []
    parts = Parts(lake.bucket, batch)
    for start in range(0, IMAGES, prices.ITEMS_PER_PART):
        new = [
            result(one, dt=batch.dt, image=image_file(one.media_id, chance.randbytes(int(costs.PROCESSED_MB * 2**20))))
            for one in planned.items[start : start + prices.ITEMS_PER_PART]
        ]
        number = start // prices.ITEMS_PER_PART
        decided = parts.write(number, parts.read(number), new)
        assert decided is not None
        rows += [decided[row["media_id"]] for row in new]
    Staging(lake.bucket, batch).write(rows)
    with redirect_stdout(io.StringIO()):
        write_parquet.app.handler(event("write_parquet", batch=batch), Context())
    (number, one), *_ = [(at, one) for at, one in enumerate(planned.items) if one.author_id == ALICE]
    sha256 = str(rows[number]["raw_sha256"])
    lake.bucket.put_once(object_keys.raw_image(sha256), b"raw")
    lake.media_index.own({sha256: one.media_id})
    lake.media_index.claim([one.media_id], batch.batch_id)
    lake.media_index.complete(
        [
            {
                "media_id": one.media_id, "status": "ok", "batch_id": batch.batch_id, "row": number, "dt": batch.dt,
                "processed_key": object_keys.parquet(batch), "raw_key": object_keys.raw_image(sha256),
                "raw_sha256": sha256, "author": author_key("bluesky", ALICE), "post_id": post_key(one.post_id),
            }
        ]
    )  # fmt: skip
    hashes = np.ones((IMAGES, HASHES), np.uint64)
    seq = sum(1 for _ in lake.image_hashes.read(0, consistent=True)) + 1
    assert lake.image_hashes.append(Entry(seq, batch.batch_id, batch.dt, hashes), [o.media_id for o in planned.items])


@contextmanager
def counted(bill: Bill) -> Iterator[None]:
    """Count the calls of AWS."""
    client_class, method = calls_of_aws()
    make = getattr(client_class, method)

    def call(self: Any, operation: str, request: dict[str, Any]) -> Any:
        bill.bytes += len(request.get("Body", b""))
        answer = make(self, operation, request)
        bill.call(self.meta.service_model.service_name, operation, request, answer)
        return answer

    with patch.object(client_class, method, call):
        yield


def bill_of(files: int, *, has_expired: bool) -> Bill:
    """Erase the person from a lake with so many files; ``has_expired`` deletes the working objects before."""
    bill = Bill()
    with aws_in_memory():
        lake = Lake()
        client("s3").put_bucket_versioning(Bucket=lake.bucket.name, VersioningConfiguration={"Status": "Enabled"})
        client("secretsmanager").create_secret(Name=ENVIRONMENT["SUPPRESSION_KEY"], SecretString="a key")
        definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
        for name in ("ImagePipeline", "Rebuild"):
            client("stepfunctions").create_state_machine(
                name=name, definition=definition, roleArn="arn:aws:iam::123456789012:role/ImagePipeline"
            )
        fill(lake, files)
        if has_expired:
            lake.bucket.delete_folder("work/")
        suppressions.cache_clear()
        gc.collect()
        request = {"erase": {"authors": [{"source": "bluesky", "author_id": ALICE}]}, "reason": "author_request"}
        with counted(bill), patch.object(erase_pages.app, "get_source", lambda name: Network(None)):  # type: ignore[arg-type]
            execution = Priced(lake, "one", request | {"reference": "ticket 17"}, bill).run()
    express = sum(name in ("Erase Rows", "Erase Report") for name in execution.passed)
    days = execution.passed.count("Erase Day")
    # The start and the end of each child of a standard map are transitions too.
    bill.add("Step Functions transitions", len(execution.passed) - express + 2 * days, prices.TRANSITION)
    bill.add("Step Functions express executions", express, EXPRESS)
    return bill


def extrapolated(*, has_expired: bool) -> dict[str, tuple[float, float]]:
    """The number and the USD of each thing that is billed, for all files."""
    small, large = (bill_of(size, has_expired=has_expired) for size in SIZES)
    times = (FILES - SIZES[1]) / (SIZES[1] - SIZES[0])
    return {
        name: tuple(all_of[name] + times * (all_of[name] - few[name]) for few, all_of in pairs)  # type: ignore[misc]
        for pairs in [[(small.number, large.number), (small.usd, large.usd)]]
        for name in sorted(large.usd)
    }


def main() -> None:
    credentials = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    logger.setLevel("CRITICAL")
    os.environ |= ENVIRONMENT | dict.fromkeys(credentials, "testing") | {"AWS_DEFAULT_REGION": "us-east-1"}
    old, young = extrapolated(has_expired=True), extrapolated(has_expired=False)
    share = FEEDS * WORK_DAYS / FILES
    rows, total = [], 0.0
    for name in young:
        number, usd = ((1 - share) * one + share * other for one, other in zip(old[name], young[name], strict=True))
        total += usd
        rows.append([name, f"{number:,.0f}", f"{usd:.3f}"])
    rows.append(["**total**", "", f"**{total:.3f}**"])
    all_young = sum(usd for _, usd in young.values())
    publish(
        "erasure",
        f"{machine('pyarrow')}\n\n{table(['billed', 'number', 'USD'], rows)}\n\n"
        f"[Amazon S3 Find and Forget]({FIND_AND_FORGET}) states {FIND_AND_FORGET_USD} USD for 1,000 objects,"
        f" {FIND_AND_FORGET_USD / total:.0f} times as much. If all {FILES:,} files are younger than {WORK_DAYS} days,"
        f" the erasure costs {all_young:.2f} USD.",
    )
    if total > MOST_USD:
        raise SystemExit(f"an erasure of {FILES:,} files costs {total:.3f} USD, more than {MOST_USD}")


if __name__ == "__main__":
    main()
