"""Two executions that are started at once for the same feed: one makes the rows, the other says that it came second."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest

from tests.stack.conftest import Stack

ITEMS = 36
RUNS = ("at-once-1", "at-once-2")


@pytest.fixture(scope="module")
def executions(stack: Stack) -> dict[str, dict[str, Any]]:
    """Both to their ends, by name."""
    states = stack.engine.client("stepfunctions")
    given = json.dumps({"feeds": [stack.feed], "batch_size": 10, "dt": "2026-11-23"})
    arns = [
        states.start_execution(stateMachineArn=stack.outputs["StateMachineArn"], name=name, input=given)["executionArn"]
        for name in RUNS
    ]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [states.describe_execution(executionArn=arn) for arn in arns]
        if all(execution["status"] != "RUNNING" for execution in found):
            break
        time.sleep(0.1)
    return {execution["name"]: execution for execution in found}


def reports(stack: Stack) -> dict[str, dict[str, Any]]:
    return {name: json.loads(stack.read(f"reports/{name}/run.json")) for name in RUNS}


def test_both_end_and_one_of_them_came_second(stack: Stack, executions: dict[str, dict[str, Any]]) -> None:
    # A run that came second warns; nobody is woken for it.
    assert [execution["status"] for execution in executions.values()] == ["SUCCEEDED", "SUCCEEDED"]
    problems = {name: report["feeds"][0]["problem"] for name, report in reports(stack).items()}
    (second,) = [name for name, problem in problems.items() if problem is not None]
    (first,) = set(RUNS) - {second}
    assert problems[second]["error"] == "FeedBusyError"
    assert executions[first]["executionArn"] in problems[second]["message"]
    assert reports(stack)[second]["outcome"] == "partial"


def test_each_item_has_one_row_and_each_picture_is_asked_for_once(
    stack: Stack, executions: dict[str, dict[str, Any]]
) -> None:
    rows = stack.rows()
    assert len({row["media_id"] for row in rows}) == len(rows) == ITEMS
    assert sum(report["totals"]["planned"] for report in reports(stack).values()) == ITEMS
    asked = Counter(target for target in stack.server.requests if target.startswith("/img/"))
    assert asked
    assert set(asked.values()) == {1}
    assert stack.keys("open/") == []


def test_next_run_has_the_feed_to_itself(stack: Stack, executions: dict[str, dict[str, Any]]) -> None:
    stack.engine.client("sqs").purge_queue(QueueUrl=stack.mailbox)
    again = stack.run(feeds=[stack.feed], batch_size=10, dt="2026-11-23")
    assert again["status"] == "SUCCEEDED"
    report = json.loads(stack.read("reports/run-1/run.json"))
    assert [feed["status"] for feed in report["feeds"]] == ["up_to_date"]
