"""Events and alerts of the deployed stack: what a run tells the bus and a webhook, and that neither can harm it."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagelake.run.events import EVENTS
from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.sample import SampleServer
from tests.support.wire.webhook import Webhook

DOCUMENT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
NOBODY = "nobody.events.example"
DAY = "2026-11-23"


@pytest.fixture(scope="module")
def sample(servers: Servers) -> SampleServer:
    return servers.sample_of_events


@pytest.fixture
def webhook(servers: Servers) -> Iterator[Webhook]:
    yield servers.webhook
    servers.webhook.status, servers.webhook.seconds = 200, 0.0


@pytest.fixture(scope="module")
def feeds(sample: SampleServer) -> list[dict[str, str]]:
    """A feed that there is, and one that there is not."""
    return [sample.account, sample.account | {"account": NOBODY}]


def rules(stack: Stack) -> list[dict[str, Any]]:
    events: Any = stack.engine.client("events")
    return list(events.list_rules(EventBusName=stack.outputs["EventBusName"])["Rules"])


@pytest.fixture(scope="module")
def told(stack: Stack, sample: SampleServer, feeds: list[dict[str, str]]) -> dict[str, Any]:
    """A run with what it told the bus, by the pattern of the log's rule and by that of the documentation's example."""
    (deployed,) = rules(stack)
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    (example,) = yaml.safe_load(text.replace("!GetAtt ", "")).values()
    before = set(stack.keys("lake/images/"))
    with (
        stack.listen("everything", {"source": ["imagelake"]}) as events,
        stack.listen("as-the-log", json.loads(deployed["EventPattern"])) as logged,
        stack.listen("as-documented", example["Properties"]["EventPattern"]) as documented,
    ):
        run = stack.run(feeds=feeds, batch_size=10, dt=DAY)
        return run | {
            "events": events(), "logged": logged(), "documented": documented(),
            "files": set(stack.keys("lake/images/")) - before,
        }  # fmt: skip


def test_run_tells_the_bus_as_documented(stack: Stack, sample: SampleServer, told: dict[str, Any]) -> None:
    assert told["status"] == "SUCCEEDED"
    events = told["events"]
    assert Counter(event["detail-type"] for event in events) == {
        "Run Started": 1, "Batch Written": len(told["files"]), "Feed Failed": 1, "Run Finished": 1,
    }  # fmt: skip
    kinds = {kind.detail_type: kind for kind in EVENTS}
    for event in events:
        assert event["source"] == "imagelake"
        kind = kinds[event["detail-type"]]
        assert json.loads(kind.model_validate(event["detail"]).model_dump_json()) == event["detail"]
    written = [event["detail"] for event in told["documented"]]
    assert {detail["key"] for detail in written} == told["files"]
    assert sum(detail["rows"] for detail in written) == len(stack.rows(sample.url))
    assert len({event["detail"]["event_id"] for event in events}) == len(events)


def test_log_gets_the_events_that_name_no_feed(sample: SampleServer, told: dict[str, Any]) -> None:
    names = (NOBODY, sample.account["account"])
    with_names = [event for event in told["events"] if any(name in json.dumps(event["detail"]) for name in names)]
    assert {event["detail-type"] for event in with_names} == {"Run Started", "Feed Failed"}
    assert [event["detail"]["event_id"] for event in told["logged"]] == [
        event["detail"]["event_id"] for event in told["events"] if event not in with_names
    ]


def test_webhook_gets_the_digest_of_the_run_once(told: dict[str, Any], webhook: Webhook) -> None:
    (alert,) = webhook.wait_for(NOBODY)
    assert told["notification"]["Subject"] in alert["text"]
    assert NOBODY in alert["blocks"][1]["text"]["text"]
    # A stack on this machine has no console.
    assert f"Execution: {told['executionArn']}" in alert["blocks"][1]["text"]["text"]
    assert len(alert["blocks"]) == 2


def test_feed_that_fails_again_on_the_day_is_one_alert(
    stack: Stack, told: dict[str, Any], feeds: list[dict[str, str]], webhook: Webhook
) -> None:
    # A run that somebody starts by hand always sends its result.
    by_schedule = {"feeds": feeds, "scheduled_time": f"{DAY}T06:00:00Z"}
    again = stack.run(**by_schedule)
    assert (again["status"], again["notification"]) == ("SUCCEEDED", None)
    assert len(webhook.wait_for(NOBODY)) == 1
    next_day = stack.run(**by_schedule, dt="2026-11-24")
    assert f"since {DAY}" in next_day["notification"]["Message"]
    assert len(webhook.wait_for(NOBODY, 2)) == 2


def test_run_that_somebody_stopped_is_notified_without_advice_to_redrive(stack: Stack, feeds: list[Any]) -> None:
    # The engine may let a stopped run go on. The feed has no new posts, so the run itself sends nothing.
    arn = stack.start("stopped", {"feeds": feeds[:1], "scheduled_time": f"{DAY}T07:00:00Z"})
    stack.notification()
    stack.engine.client("stepfunctions").stop_execution(executionArn=arn)
    notification = stack.notification()
    assert notification is not None
    lines = [line.strip('"') for line in notification["Message"].splitlines()]
    assert lines[0] == "Imagelake run stopped was stopped by hand before its report."
    link = f"https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/{arn}"
    assert f"  Execution: {link}" in lines
    assert "redrive" not in notification["Message"]


@pytest.mark.parametrize(("status", "seconds"), [(400, 0.0), (429, 0.0), (503, 0.0), (200, 12.0)])
def test_run_and_mail_are_the_same_whatever_the_webhook_does(
    stack: Stack, sample: SampleServer, webhook: Webhook, status: int, seconds: float
) -> None:
    webhook.status, webhook.seconds = status, seconds
    unknown = f"nosuch:webhook-{status}"
    run = stack.run(feeds=[sample.account, unknown])
    assert run["status"] == "SUCCEEDED"
    assert unknown in run["notification"]["Message"]
    assert webhook.wait_for(unknown)


@pytest.fixture
def neither_webhook_nor_bus(stack: Stack, webhook: Webhook) -> Iterator[None]:
    events, bus = stack.engine.client("events"), stack.outputs["EventBusName"]
    (rule,) = rules(stack)
    on_bus = {"Rule": rule["Name"], "EventBusName": bus}
    targets = events.list_targets_by_rule(**on_bus)["Targets"]
    webhook.close()
    events.remove_targets(**on_bus, Ids=[target["Id"] for target in targets])
    events.delete_rule(Name=rule["Name"], EventBusName=bus)
    events.delete_event_bus(Name=bus)
    yield
    webhook.listen()
    events.create_event_bus(Name=bus)
    events.put_rule(Name=rule["Name"], EventBusName=bus, EventPattern=rule["EventPattern"])
    events.put_targets(**on_bus, Targets=targets)


@pytest.mark.usefixtures("neither_webhook_nor_bus")
def test_run_and_mail_are_the_same_when_webhook_and_bus_are_gone(stack: Stack, sample: SampleServer) -> None:
    run = stack.run(feeds=[sample.account, "nosuch:gone"])
    assert run["status"] == "SUCCEEDED"
    assert "nosuch:gone" in run["notification"]["Message"]


def test_address_of_the_webhook_is_in_no_log(stack: Stack) -> None:
    # The last refusal may be logged after its run has ended.
    deadline = time.monotonic() + 60
    while not stack.log_lines("AlertNotSentError"):
        assert time.monotonic() < deadline, "no refusal is in the log"
        time.sleep(0.5)
    assert not stack.log_lines("s3cret")
    assert "s3cret" not in stack.engine.log.read_text()
