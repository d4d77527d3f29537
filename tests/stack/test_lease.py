"""Two executions that are started at once for the same feed: one makes the rows, the other says that it came second."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.support.deployed_stack import Stack
from tests.support.servers import Servers
from tests.support.wire.sample import SampleServer

ITEMS = 36
RUNS = ("at-once-1", "at-once-2")


@pytest.fixture(scope="module")
def sample(servers: Servers) -> SampleServer:
    return servers.sample_of_lease


@pytest.fixture(scope="module")
def executions(stack: Stack, sample: SampleServer) -> dict[str, dict[str, Any]]:
    """Both to their ends, by name."""
    options = {"feeds": [sample.account], "batch_size": 10, "dt": "2026-11-23"}
    arns = [stack.start(name, options) for name in RUNS]
    return {name: stack.wait(arn) for name, arn in zip(RUNS, arns, strict=True)}


def test_both_end_and_one_of_them_came_second(stack: Stack, executions: dict[str, dict[str, Any]]) -> None:
    # A run that came second warns; nobody is woken for it.
    assert [execution["status"] for execution in executions.values()] == ["SUCCEEDED", "SUCCEEDED"]
    problems = {name: stack.report(name)["feeds"][0]["problem"] for name in RUNS}
    (second,) = [name for name, problem in problems.items() if problem is not None]
    (first,) = set(RUNS) - {second}
    assert problems[second]["error"] == "FeedBusyError"
    assert executions[first]["executionArn"] in problems[second]["message"]
    assert stack.report(second)["outcome"] == "partial"


def test_each_item_has_one_row_and_each_picture_is_asked_for_once(
    stack: Stack, sample: SampleServer, executions: dict[str, dict[str, Any]]
) -> None:
    rows = stack.rows(sample.url)
    assert len({row["media_id"] for row in rows}) == len(rows) == ITEMS
    assert sum(stack.report(name)["totals"]["planned"] for name in RUNS) == ITEMS
    asked = Counter(target for target in sample.requests if target.startswith("/img/"))
    assert asked
    assert set(asked.values()) == {1}
    assert stack.keys("open/") == []


def test_next_run_has_the_feed_to_itself(
    stack: Stack, sample: SampleServer, executions: dict[str, dict[str, Any]]
) -> None:
    again = stack.run(feeds=[sample.account], batch_size=10, dt="2026-11-23")
    assert again["status"] == "SUCCEEDED"
    assert [feed["status"] for feed in stack.report(again["name"])["feeds"]] == ["up_to_date"]
