"""The schedules of the deployed stack: what each starts a run with, and feeds edited without deploying."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.deploy import deploy
from local.engine import Engine

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
# No such network: the run says so at once, and under which name.
FEEDS = {"daily": ["nosuch:of-the-day"], "frequent": ["nosuch:of-the-hour"]}


class Scheduled:
    """A stack with both schedules, paused; its runs are started here, with what a schedule would give."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.outputs = deploy(
            engine,
            TEMPLATE,
            {
                "ScheduleState": "DISABLED",
                "FrequentScheduleExpression": "rate(6 hours)",
                "ScheduleTimeZone": "Europe/Berlin",
                "Feeds": json.dumps(FEEDS),
            },
        )

    def schedules(self) -> list[dict[str, Any]]:
        scheduler = self._engine.client("scheduler")
        return [scheduler.get_schedule(Name=entry["Name"]) for entry in scheduler.list_schedules()["Schedules"]]

    def edit_feeds(self, feeds: Any) -> None:
        name = self.outputs["FeedsParameterName"]
        self._engine.client("ssm").put_parameter(Name=name, Value=json.dumps(feeds), Type="String", Overwrite=True)

    def run(self, schedule: dict[str, Any], name: str) -> dict[str, Any]:
        """Start what ``schedule`` starts, and return its ``run.json``."""
        given = schedule["Target"]["Input"].replace("<aws.scheduler.scheduled-time>", "2026-03-31T22:30:00Z")
        states = self._engine.client("stepfunctions")
        arn = states.start_execution(stateMachineArn=schedule["Target"]["Arn"], name=name, input=given)["executionArn"]
        while states.describe_execution(executionArn=arn)["status"] == "RUNNING":
            time.sleep(0.1)
        s3, bucket = self._engine.client("s3"), self.outputs["BucketName"]
        found: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=f"reports/{name}/run.json")["Body"].read())
        return found


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduled]:
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield Scheduled(engine)


def test_schedules_are_paused_by_one_parameter(stack: Scheduled) -> None:
    found = stack.schedules()
    assert sorted(schedule["ScheduleExpression"] for schedule in found) == ["cron(30 5 * * ? *)", "rate(6 hours)"]
    assert {schedule["State"] for schedule in found} == {"DISABLED"}
    assert {schedule["Target"]["Arn"] for schedule in found} == {stack.outputs["StateMachineArn"]}


@pytest.mark.parametrize(("expression", "feed"), [("cron(", "nosuch:of-the-day"), ("rate(", "nosuch:of-the-hour")])
def test_run_reads_the_feeds_of_its_schedule(stack: Scheduled, expression: str, feed: str) -> None:
    stack.edit_feeds(FEEDS)
    (schedule,) = [one for one in stack.schedules() if one["ScheduleExpression"].startswith(expression)]
    run = stack.run(schedule, f"run-{feed.rsplit('-', 1)[1]}")
    assert [one["name"] for one in run["feeds"]] == [feed]
    # The day in Berlin, not in Greenwich.
    assert run["run"]["dt"] == "2026-04-01"


def test_edited_feeds_are_read_without_deploying(stack: Scheduled) -> None:
    stack.edit_feeds(["nosuch:another"])
    run = stack.run(stack.schedules()[0], "run-edited")
    assert [one["name"] for one in run["feeds"]] == ["nosuch:another"]
