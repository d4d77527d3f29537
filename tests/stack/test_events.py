"""Events and alerts of the deployed stack: what a run tells the bus and a webhook, and that neither can harm it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagelake.run.events import EVENTS
from local.deploy import deploy
from local.engine import Engine
from local.feed_server import FeedServer
from tests.stack.conftest import TEMPLATE, Stack

DOCUMENT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
SECRET_PATH = "/hooks/s3cret"
DAY = "2026-11-23"


class Hook(ThreadingHTTPServer):
    """A webhook that answers with ``status``, ``seconds`` after it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status, self.seconds = 200, 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == SECRET_PATH
                hook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                time.sleep(hook.seconds)
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """What came, once ``count`` alerts have: SNS delivers after the run has ended."""
        until = time.monotonic() + 20
        while len(self.got) < count and time.monotonic() < until:
            time.sleep(0.05)
        return self.got


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with Hook() as hook:
        yield hook
        hook.shutdown()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, hook: Hook) -> Iterator[Stack]:
    # AUTH, as in the stack of test_pipeline.py: each function may do what its role allows and nothing else.
    with Engine(tmp_path_factory.mktemp("engine"), settings={"AUTH": "true"}) as engine, FeedServer() as server:
        secret = json.dumps({"url": hook.url + SECRET_PATH, "format": "slack"})
        engine.client("secretsmanager").create_secret(Name="alerts", SecretString=secret)
        parameters = {
            "ScheduleState": "DISABLED",
            "AlertWebhookSecret": "alerts",
            "TrustedOrigins": f"{server.url},{hook.url}",
        }
        outputs = deploy(engine, TEMPLATE, parameters, without=["BucketPolicy"])
        mailbox, arn = queue(engine, "mailbox")
        # In place of the mail address, which the engine cannot write to.
        engine.client("sns").subscribe(TopicArn=outputs["TopicArn"], Protocol="sqs", Endpoint=arn)
        yield Stack(engine, server, outputs, mailbox)


def queue(engine: Engine, name: str) -> tuple[str, str]:
    sqs = engine.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return url, arn


def listen(stack: Stack, name: str, pattern: dict[str, Any]) -> str:
    """Send what matches ``pattern`` on the stack's bus to a queue; the engine cannot deliver to a log."""
    url, arn = queue(stack.engine, name)
    events, bus = stack.engine.client("events"), stack.outputs["EventBusName"]
    events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "Queue", "Arn": arn}])
    return url


def received(stack: Stack, url: str) -> list[dict[str, Any]]:
    """Everything in a queue, which is empty after it."""
    sqs, found = stack.engine.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(json.loads(message["Body"]))
    return found


def patterns(stack: Stack) -> list[dict[str, Any]]:
    rules = stack.engine.client("events").list_rules(EventBusName=stack.outputs["EventBusName"])["Rules"]
    return [json.loads(rule["EventPattern"]) for rule in rules]


def test_run_tells_the_bus_as_documented(told: Stack, hook: Hook) -> None:
    (deployed,) = patterns(told)
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    (example,) = yaml.safe_load(text.replace("!GetAtt ", "")).values()
    all_of_it = listen(told, "as-the-log", deployed)
    documented = listen(told, "as-documented", example["Properties"]["EventPattern"])

    unknown = told.feed | {"account": "nobody.imagelake.example"}
    assert told.run(feeds=[told.feed, unknown], batch_size=10, dt=DAY)["status"] == "SUCCEEDED"

    events = received(told, all_of_it)
    batches = len(told.keys("lake/images/"))
    assert Counter(event["detail-type"] for event in events) == {
        "Run Started": 1, "Batch Written": batches, "Feed Failed": 1, "Run Finished": 1,
    }  # fmt: skip
    kinds = {kind.detail_type: kind for kind in EVENTS}
    for event in events:
        assert event["source"] == "imagelake"
        kind = kinds[event["detail-type"]]
        assert json.loads(kind.model_validate(event["detail"]).model_dump_json()) == event["detail"]
    written = [event["detail"] for event in received(told, documented)]
    assert {detail["key"] for detail in written} == set(told.keys("lake/images/"))
    assert sum(detail["rows"] for detail in written) == len(told.rows())
    assert len({event["detail"]["event_id"] for event in events}) == len(events)


def test_webhook_gets_the_digest_of_the_run_once(told: Stack, hook: Hook) -> None:
    (got,) = hook.wait_for(1)
    (first,) = told.runs
    assert first["notification"]["Subject"] in got["text"]
    assert "nobody.imagelake.example" in got["blocks"][1]["text"]["text"]
    assert first["executionArn"] in got["blocks"][2]["text"]["text"]


def test_feed_that_fails_again_on_the_day_is_one_alert(told: Stack, hook: Hook) -> None:
    unknown = told.feed | {"account": "nobody.imagelake.example"}
    again = told.run(feeds=[told.feed, unknown], dt=DAY)
    assert (again["status"], again["notification"]) == ("SUCCEEDED", None)
    assert len(hook.got) == 1
    next_day = told.run(feeds=[told.feed, unknown], dt="2026-11-24")
    assert f"since {DAY}" in next_day["notification"]["Message"]
    assert len(hook.wait_for(2)) == 2


@pytest.mark.parametrize(("status", "seconds"), [(400, 0.0), (429, 0.0), (503, 0.0), (200, 12.0)])
def test_run_and_mail_are_the_same_whatever_the_webhook_does(
    told: Stack, hook: Hook, status: int, seconds: float
) -> None:
    hook.status, hook.seconds = status, seconds
    before, number = len(hook.got), len(told.runs)
    run = told.run(feeds=[told.feed, f"nosuch:{number}"])
    assert run["status"] == "SUCCEEDED"
    assert f"nosuch:{number}" in run["notification"]["Message"]
    assert len(hook.wait_for(before + 1)) > before


def test_run_and_mail_are_the_same_when_webhook_and_bus_are_gone(told: Stack, hook: Hook) -> None:
    hook.shutdown()
    hook.server_close()
    events, bus = told.engine.client("events"), told.outputs["EventBusName"]
    for rule in events.list_rules(EventBusName=bus)["Rules"]:
        targets = events.list_targets_by_rule(Rule=rule["Name"], EventBusName=bus)["Targets"]
        events.remove_targets(Rule=rule["Name"], EventBusName=bus, Ids=[target["Id"] for target in targets])
        events.delete_rule(Name=rule["Name"], EventBusName=bus)
    events.delete_event_bus(Name=bus)
    run = told.run(feeds=[told.feed, "nosuch:gone"])
    assert run["status"] == "SUCCEEDED"
    assert "nosuch:gone" in run["notification"]["Message"]


def test_address_of_the_webhook_is_in_no_log(told: Stack) -> None:
    logs = told.engine.client("logs")
    groups = [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]]
    lines = [
        event["message"]
        for group in groups
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        for event in page["events"]
    ]
    assert [line for line in lines if "AlertNotSentError" in line], "the refusals are told"
    assert not [line for line in lines if "s3cret" in line]
    assert "s3cret" not in told.engine.log.read_text()
