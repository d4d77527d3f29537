"""Read the history of an execution as AWS writes it and as the local engine does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from local.follow import read_steps

FETCH = "arn:aws:lambda:us-east-1:000000000000:function:fetch"
DEFINITION = {
    "States": {
        "Check": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:check"},
        "Each": {"Type": "Map", "ItemProcessor": {"States": {"Fetch": {"Type": "Task", "Resource": FETCH}}}},
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
