"""The schedules of the deployed stack: what each starts a run with, and feeds edited without deploying."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.deployed_stack import Stack

# No such network: the run says so at once, and under which name.
FEEDS = {"daily": ["nosuch:of-the-day"], "frequent": ["nosuch:of-the-hour"]}


def schedules(stack: Stack) -> list[dict[str, Any]]:
    scheduler = stack.engine.client("scheduler")
    return [scheduler.get_schedule(Name=entry["Name"]) for entry in scheduler.list_schedules()["Schedules"]]


def edit_feeds(stack: Stack, feeds: Any) -> None:
    name = stack.outputs["FeedsParameterName"]
    stack.engine.client("ssm").put_parameter(Name=name, Value=json.dumps(feeds), Type="String", Overwrite=True)


def run(stack: Stack, schedule: dict[str, Any], name: str) -> dict[str, Any]:
    """Start what ``schedule`` starts, and return its ``run.json``."""
    text = schedule["Target"]["Input"].replace("<aws.scheduler.scheduled-time>", "2026-03-31T22:30:00Z")
    stack.wait(stack.start(name, json.loads(text)))
    return stack.report(name)


def test_schedules_are_paused_by_one_parameter(stack: Stack) -> None:
    found = schedules(stack)
    assert sorted(schedule["ScheduleExpression"] for schedule in found) == ["cron(30 5 * * ? *)", "rate(6 hours)"]
    assert {schedule["State"] for schedule in found} == {"DISABLED"}
    assert {schedule["Target"]["Arn"] for schedule in found} == {stack.outputs["StateMachineArn"]}


@pytest.mark.parametrize(("expression", "feed"), [("cron(", "nosuch:of-the-day"), ("rate(", "nosuch:of-the-hour")])
def test_run_reads_the_feeds_of_its_schedule(stack: Stack, expression: str, feed: str) -> None:
    edit_feeds(stack, FEEDS)
    (schedule,) = [one for one in schedules(stack) if one["ScheduleExpression"].startswith(expression)]
    report = run(stack, schedule, f"run-of-the-{feed.rsplit('-', 1)[1]}")
    assert [one["name"] for one in report["feeds"]] == [feed]
    # The day in Berlin, not in Greenwich.
    assert report["run"]["dt"] == "2026-04-01"


def test_edited_feeds_are_read_without_deploying(stack: Stack) -> None:
    edit_feeds(stack, ["nosuch:another"])
    report = run(stack, schedules(stack)[0], "run-edited")
    assert [one["name"] for one in report["feeds"]] == ["nosuch:another"]


def test_paused_stack_raises_no_alarm_for_missing_runs(stack: Stack) -> None:
    alarms = stack.engine.client("cloudwatch").describe_alarms()["MetricAlarms"]
    (alarm,) = [one for one in alarms if one["MetricName"] == "ExecutionsSucceeded"]
    assert (alarm["EvaluationPeriods"], alarm["Threshold"], alarm["TreatMissingData"]) == (1, 0, "notBreaching")
