"""Call one function with its example event, in this process: ``python -m tests.support.invoke transform``.

A debugger that starts this program stops at the breakpoints of the function. AWS is in memory, and a server on loopback
has a feed with one image. Functions that come earlier in a run are called first, so the lake holds what this one reads.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from typing import Any

import boto3

from imagelake.lake import object_keys
from imagelake.run.models import Batch
from tests.support.erasures import request_erasure
from tests.support.factories import Context, event, item, jpeg, keep_plan, plan
from tests.support.fake_lake import ENVIRONMENT, Lake, aws_in_memory
from tests.support.web_server import WebServer

ERASURE_STEPS = ["suppress", "find_erased", "erase_rows", "erase_images", "write_receipt"]
BATCH_STEPS = ["transform", "write_parquet", "map_keys", "reconcile", "report"]
REBUILD_STEPS = ["plan_rebuild", "unpack", "rebuild_images", "report_rebuild"]
SECRET, MACHINE = "imagelake/alerts", "ImagePipeline"
SETTINGS = ENVIRONMENT | {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "ALERT_WEBHOOK_SECRET": SECRET,
    "STATE_MACHINE_ARN": f"arn:aws:states:us-east-1:123456789012:stateMachine:{MACHINE}",
    # The only bus that AWS in memory has.
    "EVENT_BUS_NAME": "default",
}


def invoke(name: str, lake: Lake, website: WebServer) -> Any:
    """Prepare the lake for the example event of the function ``name``, call it, and return its result."""
    image = website.put("/one.jpg", jpeg())
    if name in ("fetch", "validate"):
        return _read_feed(name, image, website)
    if name == "ingest_stream":
        _create_machines()
    elif name == "relay_alert":
        secret = json.dumps({"url": website.put("/webhook", b"")})
        boto3.client("secretsmanager").create_secret(Name=SECRET, SecretString=secret)
    elif name in ("erase_pages", "erase_reports"):
        bob = {"source": "bluesky", "author_id": "did:plc:bob"}
        request_erasure(lake, authors=[bob], media_ids=["bluesky/bob/1/0"])
        lake.bucket.put_lines("rejects/source=bluesky/dt=2026-04-01/run-feed.jsonl", [{"post_id": "1", "raw": bob}])
        lake.bucket.put_lines("reports/daily-2026-04-01/failures/feed.jsonl", [{"media_id": "bluesky/bob/1/0"}])
    elif name == "check_erasure":
        lake.suppress()
    elif name in ERASURE_STEPS:
        _prepare_erasure(lake)
        for earlier in ERASURE_STEPS[: ERASURE_STEPS.index(name)]:
            _call(earlier, _erasure_event(lake, earlier))
        return _call(name, _erasure_event(lake, name))
    elif name in REBUILD_STEPS:
        invoke("map_keys", lake, website)
        return _call(name, _event_of_rebuild(name, lake))
    elif name in BATCH_STEPS:
        planned = keep_plan(lake, plan(item("one", image)))
        lake.bucket.put_json(event("reconcile")["plan"]["list_key"], [planned.batch.model_dump()])
        for earlier in BATCH_STEPS[: BATCH_STEPS.index(name)]:
            _call(earlier, event(earlier))
    return _call(name, event(name))


def _create_machines() -> None:
    definition = json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}})
    role = "arn:aws:iam::123456789012:role/ImagePipeline"
    for machine in (MACHINE, "Rebuild"):
        boto3.client("stepfunctions").create_state_machine(name=machine, definition=definition, roleArn=role)


def _prepare_erasure(lake: Lake) -> None:
    """Store the request of the example events, and an open batch with an item of its author."""
    _create_machines()
    lake.suppress()
    keep_plan(lake, plan(item("one")))
    request = object_keys.erasure_request(event("suppress")["erasure"]["erasure_id"])
    lake.bucket.put_json(request, event("check_erasure")["input"])


def _erasure_event(lake: Lake, name: str) -> dict[str, Any]:
    """Read the example event of a step; the number of a file is known when the search has found it."""
    example = event(name)
    if name == "erase_rows":
        (changes,) = lake.bucket.list(object_keys.erasure_files(example["erasure"]["erasure_id"]))
        example["number"] = int(changes.rpartition("/")[2].removesuffix(".json"))
    return example


def _read_feed(name: str, image: str, website: WebServer) -> Any:
    post = {"id": "one", "date_published": "2026-04-01T12:00:00Z", "content_text": "A cat", "image": image}
    feed = {"version": "https://jsonfeed.org/version/1.1", "title": "Cats", "items": [post]}
    config = {"source": "rss", "account": website.put("/feed.json", json.dumps(feed).encode())}
    entry = event("fetch")["feed"] | {"config": config}
    progress = _call("fetch", event("fetch", feed=entry))
    return progress if name == "fetch" else _call(name, event(name, feed=entry, progress=progress))


def _event_of_rebuild(name: str, lake: Lake) -> dict[str, Any]:
    """Store what earlier steps have made; return the example event, with the ETag that the file has here."""
    batch = Batch.model_validate(event("unpack")["batch"])
    lake.bucket.put_json(event("report_rebuild")["list_key"], [batch.model_dump()])
    if name == "rebuild_images":
        return event(name, batch=_call("unpack", event("unpack"))["batch"])
    if name == "report_rebuild":
        _call("unpack", event("unpack", rebuild={"dry_run": True}))
    return event(name)


def _call(name: str, example: dict[str, Any]) -> Any:
    return import_module(f"{name}.app").handler(example, Context())


def main(name: str) -> None:
    with WebServer() as website, aws_in_memory():
        os.environ |= SETTINGS | {"TRUSTED_ORIGINS": website.origin}
        result = invoke(name, Lake(), website)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(sys.argv[1])
