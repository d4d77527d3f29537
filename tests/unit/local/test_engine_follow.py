"""Read the history of an execution as AWS writes it and as the local engine does."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from rich.console import Console

from local.follow import error_message, failure_message, follow, read_steps

STATE_MACHINES = Path(__file__).parents[3] / "statemachine"
FETCH = "arn:aws:lambda:us-east-1:000000000000:function:fetch"
DEFINITION = {
    "States": {
        "Check": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:check"},
        "Each": {
            "Type": "Map",
            "ItemProcessor": {
                "States": {
                    "Fetch": {
                        "Type": "Task",
                        "Resource": FETCH,
                        "Retry": [
                            {
                                "ErrorEquals": ["SourceUnavailableError"],
                                "IntervalSeconds": 5,
                                "MaxAttempts": 2,
                                "BackoffRate": 2.0,
                                "MaxDelaySeconds": 8,
                            },
                            {"ErrorEquals": ["Lambda.Unknown"], "MaxAttempts": 6},
                        ],
                    }
                }
            },
        },
    }
}
START = datetime(2026, 11, 23, 6, tzinfo=UTC)


def history(*events: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Make events that are a second apart."""
    return [
        {"type": kind, "timestamp": START + timedelta(seconds=second), **details}
        for second, (kind, details) in enumerate(events)
    ]


def entered(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateEntered", {"stateEnteredEventDetails": {"name": name}}


def exited(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    return f"{kind}StateExited", {"stateExitedEventDetails": {"name": name}}


def test_read_steps_counts_inner_states_when_aws_writes_their_events() -> None:
    steps = read_steps(
        history(
            ("ExecutionStarted", {}),
            entered("Map", "Each"),
            entered("Task", "Fetch"),
            ("LambdaFunctionFailed", {"lambdaFunctionFailedEventDetails": {"error": "SourceUnavailableError"}}),
            ("LambdaFunctionSucceeded", {}),
            exited("Task", "Fetch"),
            exited("Map", "Each"),
        ),
        DEFINITION,
    )
    assert [(step.name, step.error, dict(step.inner), step.exited) for step in steps] == [
        ("Each", None, {"Fetch": 1}, START + timedelta(seconds=6))
    ]


def test_read_steps_counts_inner_states_by_function_when_only_tasks_are_written() -> None:
    succeeded = ("TaskSucceeded", {"taskSucceededEventDetails": {"resource": FETCH}})
    steps = read_steps(history(entered("Map", "Each"), succeeded, succeeded), DEFINITION)
    assert [(step.name, dict(step.inner), step.exited) for step in steps] == [("Each", {"Fetch": 2}, None)]


def test_read_steps_forgets_an_error_when_the_retry_succeeds() -> None:
    failed = ("TaskFailed", {"taskFailedEventDetails": {"error": "States.Timeout", "resource": "check"}})
    succeeded = ("TaskSucceeded", {"taskSucceededEventDetails": {"resource": "check"}})
    events = [entered("Task", "Check"), failed, succeeded, exited("Task", "Check")]
    assert read_steps(history(*events), DEFINITION)[0].error is None
    assert read_steps(history(*events[:2], events[3]), DEFINITION)[0].error == "States.Timeout"


def test_read_steps_closes_the_last_step_when_the_execution_fails() -> None:
    failed = ("ExecutionFailed", {"executionFailedEventDetails": {"error": "BadInputError"}})
    step = read_steps(history(entered("Task", "Check"), failed), DEFINITION)[0]
    assert (step.exited, step.error) == (START + timedelta(seconds=1), "BadInputError")


def test_read_steps_names_the_feed_of_an_error() -> None:
    output = json.dumps({"feeds": [{"feed_id": "x-0a1b", "name": "x:a"}, {"feed_id": "x-2c3d", "name": "x:b"}]})
    read = ("TaskStateExited", {"stateExitedEventDetails": {"name": "Check Input", "output": output}})
    cause = json.dumps({"errorMessage": "x-2c3d: no answer"})
    failed = ("TaskFailed", {"taskFailedEventDetails": {"error": "SourceUnavailableError", "cause": cause}})
    (line,) = read_steps(history(entered("Map", "Each"), read, failed), DEFINITION)[0].retries
    assert line.startswith("x:b cannot be reached: no answer ")


def test_read_steps_when_the_input_is_wrong_finds_no_names() -> None:
    read = ("TaskStateExited", {"stateExitedEventDetails": {"name": "Check Input", "output": '{"error": {}}'}})
    assert [step.name for step in read_steps(history(entered("Map", "Each"), read), DEFINITION)] == ["Each"]


def test_read_steps_tells_of_each_try_of_each_feed() -> None:
    """AWS writes ``LambdaFunctionFailed`` for a Task whose resource is a function, the local engine ``TaskFailed``."""

    def failed(feed: str, prefix: str = "task", error: str = "SourceUnavailableError") -> tuple[str, dict[str, Any]]:
        kind, details = ("TaskFailed", "taskFailedEventDetails") if prefix == "task" else (
            "LambdaFunctionFailed", "lambdaFunctionFailedEventDetails",
        )  # fmt: skip
        cause = json.dumps({"errorMessage": f"{feed}: api.example has no IP address", "stackTrace": ["many", "lines"]})
        return kind, {details: {"error": error, "cause": cause}}

    events = history(
        entered("Map", "Each"),
        failed("x:a"),
        failed("x:b", "lambda"),
        failed("x:a"),
        failed("x:a"),
        failed("x:c", error="FeedNotFoundError"),
    )
    assert read_steps(events, DEFINITION)[0].retries == [
        "x:a cannot be reached: api.example has no IP address (try 1 of 3), trying again within 5 s",
        "x:b cannot be reached: api.example has no IP address (try 1 of 3), trying again within 5 s",
        "x:a cannot be reached: api.example has no IP address (try 2 of 3), trying again within 8 s",
        "x:a cannot be reached: api.example has no IP address (try 3 of 3), giving up",
    ]


@pytest.mark.parametrize("cause", ["", "no JSON", "[]", '{"other": 1}', "null"])
def test_error_without_a_sentence_is_shown_as_it_is(cause: str) -> None:
    assert error_message({"error": "Lambda.Unknown", "cause": cause}) == (cause or "Lambda.Unknown")


@pytest.mark.parametrize("name", ["Wait For Runs", "Wait For Index"])
def test_wait_says_how_long_it_waits_and_why(name: str) -> None:
    """The states are those of the state machine of erasures."""
    definition = json.loads((STATE_MACHINES / "erasure.asl.json").read_text())
    step, lines = entered("Wait", name), StringIO()
    (entered_step,) = read_steps(history(step), definition)
    comment = definition["States"][name]["Comment"]
    assert entered_step.note == f"waits 60 s: {comment}"
    follow(cast(Any, EndedExecution(history(step, exited("Wait", name)), definition)), "arn", Console(file=lines))
    assert lines.getvalue().splitlines() == [f" 1  {name} … waits 60 s: {comment}", f" 1  {name}  1.0 s"]


class FailedMaps:
    """The client of an execution with Map Runs, each with its status, its children and the second of its start."""

    def __init__(self, events: list[dict[str, Any]], *runs: tuple[str, dict[str, Any] | None, int]) -> None:
        self.events, self.runs = events, runs

    def get_paginator(self, _: str) -> FailedMaps:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"events": self.events}]

    def list_map_runs(self, **_: Any) -> dict[str, Any]:
        starts = [START + timedelta(seconds=second) for _, _, second in self.runs]
        return {"mapRuns": [{"mapRunArn": str(number), "startDate": start} for number, start in enumerate(starts)]}

    def describe_map_run(self, *, mapRunArn: str) -> dict[str, str]:  # noqa: N803
        return {"status": self.runs[int(mapRunArn)][0]}

    def list_executions(self, *, mapRunArn: str, statusFilter: str, maxResults: int) -> dict[str, Any]:  # noqa: N803
        assert statusFilter == "FAILED"
        if self.runs[int(mapRunArn)][1] is None:
            raise ClientError({"Error": {"Code": "ExecutionDoesNotExist", "Message": "no"}}, "ListExecutions")
        return {"executions": [{"executionArn": mapRunArn}]}

    def describe_execution(self, *, executionArn: str) -> dict[str, Any]:  # noqa: N803
        _, child, second = self.runs[int(executionArn)]
        return {"stopDate": START + timedelta(seconds=second), "error": "DamagedObjectError"} | (child or {})


CAUSE = json.dumps({"errorMessage": "it is damaged", "stackTrace": ["many", "lines"]})
CHILD = {
    "input": json.dumps({"batch": {"source": "rss", "dt": "2026-11-01", "batch_id": "ab"}}),
    # A Fail state has the whole error as its cause, as text.
    "cause": json.dumps({"Error": "DamagedObjectError", "Cause": CAUSE}),
}
OF_CHILD = "lake/images/source=rss/dt=2026-11-01/ab.parquet: DamagedObjectError: it is damaged"
NAMED = json.dumps({"errorMessage": OF_CHILD})
OF_TASK = ("TaskFailed", {"taskFailedEventDetails": {"error": "E", "cause": json.dumps({"errorMessage": "of a task"})}})


@pytest.mark.parametrize(
    ("client", "message"),
    [
        (FailedMaps([], ("FAILED", CHILD, 1)), OF_CHILD),
        (FailedMaps([], ("FAILED", CHILD | {"cause": CAUSE}, 1)), OF_CHILD),
        (FailedMaps(history(OF_TASK), ("SUCCEEDED", CHILD, 1), ("FAILED", CHILD, 2)), OF_CHILD),
        (FailedMaps(history(entered("Map", "M"), entered("Task", "T"), OF_TASK), ("FAILED", CHILD, 1)), "of a task"),
        (FailedMaps(history(OF_TASK), ("SUCCEEDED", CHILD, 1)), "of a task"),
        (FailedMaps(history(OF_TASK), ("FAILED", None, 1)), "of a task"),
        (FailedMaps([], ("FAILED", None, 1)), None),
        (FailedMaps([]), None),
        (FailedMaps([], ("FAILED", CHILD | {"cause": NAMED}, 1)), f"DamagedObjectError: {OF_CHILD}"),
        (
            FailedMaps([], ("FAILED", CHILD | {"input": "{}", "cause": ""}, 1)),
            "an item of a map: " + 2 * "DamagedObjectError: ",
        ),
    ],
)
def test_failure_in_a_child_of_a_map_has_its_message_and_its_item(client: FailedMaps, message: str | None) -> None:
    found = failure_message(cast(Any, client), "arn")
    assert found == (message.removesuffix(": ") if message else None)


class SlowExecution:
    """The client of an execution that stays in one state for a minute of a clock that ``sleep`` moves."""

    definition: dict[str, Any] = DEFINITION

    def __init__(self) -> None:
        self.seconds = 0.0
        self.events = history(entered("Task", "Check"))

    def __getattr__(self, name: str) -> Any:
        ended = self.seconds >= 59
        answers = {
            "describe_state_machine_for_execution": {"definition": json.dumps(self.definition)},
            "describe_execution": {"status": "SUCCEEDED" if ended else "RUNNING"},
            "list_map_runs": {"mapRuns": []},
        }
        return lambda **_: answers[name]

    def get_paginator(self, _: str) -> SlowExecution:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"events": self.events}]

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class EndedExecution(SlowExecution):
    """The client of an execution that has ended."""

    def __init__(self, events: list[dict[str, Any]], definition: dict[str, Any]) -> None:
        self.seconds, self.events, self.definition = 60.0, events, definition


def test_follow_prints_a_line_at_least_every_15_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, lines = SlowExecution(), StringIO()
    monkeypatch.setattr("local.follow.time.sleep", slow.sleep)
    monkeypatch.setattr("local.follow.time.monotonic", lambda: slow.seconds)
    monkeypatch.setattr("local.follow.time.time", lambda: START.timestamp() + slow.seconds)
    follow(cast(Any, slow), "arn", Console(file=lines))
    assert lines.getvalue().splitlines() == [f" 1  Check  {seconds} s so far" for seconds in (15, 30, 45)]


class TwoMaps(EndedExecution):
    """The client of an execution with two Distributed Maps."""

    def __getattr__(self, name: str) -> Any:
        if name == "list_map_runs":
            runs = [{"mapRunArn": f"arn:mapRun:machine/{label}:1", "startDate": START} for label in ("Files", "Days")]
            return lambda **_: {"mapRuns": runs}
        if name == "describe_map_run":
            counts = {"succeeded": 1, "failed": 0, "timedOut": 0, "aborted": 0, "total": 1}
            return lambda **_: {"itemCounts": counts}
        return super().__getattr__(name)


@pytest.mark.parametrize("order", [("Files", "Days"), ("Days", "Files")])
def test_progress_of_a_map_is_below_its_own_state(order: tuple[str, str]) -> None:
    definition = {"States": {f"Erase {label}": {"Type": "Map", "Label": label} for label in order}}
    events = [step for label in order for step in (entered("Map", f"Erase {label}"), exited("Map", f"Erase {label}"))]
    lines = StringIO()
    follow(cast(Any, TwoMaps(history(*events), definition)), "arn", Console(file=lines))
    assert lines.getvalue().splitlines() == [
        line
        for number, label in enumerate(order, 1)
        for line in (
            f" {number}  Erase {label} …", f"      {label}: 1 of 1 done", f" {number}  Erase {label}  1.0 s",
        )
    ]  # fmt: skip
