"""The real handlers in the state machine's order, in this process; Commit Bookmark is the state machine's own call."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from operator import getitem
from typing import Any

from botocore.exceptions import ClientError

import check_input.app
import fetch.app
import map_keys.app
import reconcile.app
import record_failure.app
import report.app
import transform.app
import validate.app
import write_parquet.app
from imagelake.run.aws import client
from imagelake.run.errors import PermanentError
from tests.support.asl import MACHINE
from tests.support.factories import Context
from tests.support.fake_lake import BOOKMARKS, Lake

ARN = "arn:aws:states:us-east-1:123456789012:execution:ImagePipeline:"
Event = dict[str, Any]
_EACH_FEED = MACHINE["States"]["For Each Feed"]
_COMMIT = _EACH_FEED["ItemProcessor"]["States"]["Commit Bookmark"]["Parameters"]


def execute(
    lake: Lake, name: str, feeds: list[Any] | None, *, dt: str, feeds_parameter: Any = None, **options: Any
) -> Event:
    """Run one execution to its end and return what Report says; ``None`` takes the feeds from ``feeds_parameter``.

    The feeds go side by side, step by step, as the Map lets them: what one has planned, the other meets.
    """
    execution = {"arn": ARN + name, "name": name, "started_at": f"{dt}T05:30:00Z"}
    given = {"dt": dt, **options} | ({} if feeds is None else {"feeds": feeds})
    run = check_input.app.handler(
        {"input": given, "feeds_parameter": feeds_parameter, "execution": execution}, Context()
    )
    states = [_Feed(lake, run["run"], feed) for feed in run["feeds"]]
    for step in (_Feed.fetch, _Feed.validate, _Feed.commit_bookmark, _Feed.for_each_batch, _Feed.reconcile):
        for state in states:
            state.take(step)
    reported: Event = report.app.handler(
        {"run": run["run"], "results": [state.result() for state in states]}, Context()
    )
    return reported


class _Feed:
    """One iteration of For Each Feed."""

    def __init__(self, lake: Lake, run: Event, feed: Event) -> None:
        self._lake = lake
        self._state: Event = {"run": run, "feed": feed, "progress": _EACH_FEED["ItemSelector"]["progress"]}

    def take(self, step: Callable[[_Feed], None]) -> None:
        if "error" not in self._state:
            try:
                step(self)
            except PermanentError as error:
                self._state["error"] = _caught(error)

    def fetch(self) -> None:
        while self._state["progress"]["status"] == "more":
            self._state["progress"] = fetch.app.handler(self._given("progress"), Context())
        assert self._state["progress"]["status"] == "done", "no feed of these tests is rate limited"

    def validate(self) -> None:
        self._state["plan"] = validate.app.handler(self._given("progress"), Context())

    def commit_bookmark(self) -> None:
        values = _COMMIT["ExpressionAttributeValues"]
        try:
            client("dynamodb").update_item(
                TableName=BOOKMARKS,
                Key={name: self._filled(value) for name, value in _COMMIT["Key"].items()},
                UpdateExpression=_COMMIT["UpdateExpression"],
                ConditionExpression=_COMMIT["ConditionExpression"],
                ExpressionAttributeValues={name: self._filled(value) for name, value in values.items()},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def for_each_batch(self) -> None:
        if not self._state["plan"]["batches"]:
            return
        for batch in self._lake.bucket.get_json(self._state["plan"]["list_key"]):
            event = {"run": self._state["run"], "batch": batch}
            try:
                for handler in (transform.app.handler, write_parquet.app.handler, map_keys.app.handler):
                    handler(event, Context())
            except PermanentError as error:
                record_failure.app.handler(event | {"error": _caught(error)}, Context())

    def reconcile(self) -> None:
        if self._state["plan"]["batches"]:
            self._state["reconciliation"] = reconcile.app.handler(self._given("plan"), Context())

    def result(self) -> Event:
        """Make the result of this feed as For Each Feed does, from the Parameters of its outcome."""
        if "error" in self._state:
            outcome = "Feed Failed"
        elif not self._state["plan"]["batches"]:
            outcome = "Feed Up To Date"
        else:
            verdicts = {"complete": "Feed Complete", "incomplete": "Feed Incomplete"}
            outcome = verdicts.get(self._state["reconciliation"]["status"], "Too Many Failures")
        parameters = _EACH_FEED["ItemProcessor"]["States"][outcome]["Parameters"]
        return {
            name.removesuffix(".$"): reduce(getitem, value.split(".")[1:], self._state)
            if name.endswith(".$")
            else value
            for name, value in parameters.items()
        }

    def _read(self, path: str) -> Any:
        """Return what a path such as ``$.progress.calls`` leads to."""
        return reduce(getitem, path.split(".")[1:], self._state)

    def _given(self, more: str) -> Event:
        # As JSON, because that is all a state can carry.
        given: Event = json.loads(json.dumps({name: self._state[name] for name in ("run", "feed", more)}))
        return given

    def _filled(self, value: dict[str, str]) -> dict[str, str]:
        """A typed value with its path, such as ``{"S.$": "$.feed.feed_id"}``, as DynamoDB takes it."""
        ((kind, path),) = value.items()
        found: Any = self._state
        for part in path.removeprefix("$.").split("."):
            found = found[part]
        return {kind.removesuffix(".$"): found}


def _caught(error: PermanentError) -> Event:
    return {"Error": type(error).__name__, "Cause": json.dumps({"errorMessage": str(error)})}


def notified(report: Event) -> list[str]:
    """The states that send a notification, on the way from Report's outcome to the end of the execution."""
    choice = MACHINE["States"]["Any Failures?"]
    name = next((one["Next"] for one in choice["Choices"] if _holds(one, report)), choice["Default"])
    passed = []
    while "Next" in MACHINE["States"][name]:
        passed.append(name)
        name = MACHINE["States"][name]["Next"]
    return [name for name in passed if MACHINE["States"][name]["Resource"].endswith(":sns:publish")]


def _holds(rule: Event, report: Event) -> bool:
    """Tell if a rule of a Choice holds for the result of Report."""
    if "And" in rule:
        return all(_holds(part, report) for part in rule["And"])
    value = report[rule["Variable"].removeprefix("$.report.")]
    return bool(value == rule.get("StringEquals", rule.get("BooleanEquals")))
