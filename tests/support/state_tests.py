"""Requests to TestState, which runs one state of the real machine on AWS with a mocked result.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_TestState.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagelake.run.contracts import CONTRACTS
from tests.support.asl import MACHINES, ROOT, Json, packages, states

# The context that states of the outermost scope read.
CONTEXT = {
    "Execution": {
        "Id": "arn:aws:states:us-east-1:123456789012:execution:ImagePipeline:test",
        "Name": "test",
        "StartTime": "2026-04-01T05:30:00.000Z",
        "Input": {},
    }
}
# An error that no Retry names, so that the last Catch takes it.
UNEXPECTED = "KeyError"


@dataclass(frozen=True)
class StateTest:
    """One call of TestState, and its expected answer; ``definition`` has the variables of the template."""

    workflow: str
    state: str
    name: str
    definition: Json
    mock: dict[str, Any]
    expected: dict[str, Any]
    tries: int = 0

    def request(self, definition: str) -> dict[str, Any]:
        """Make the arguments of the call; ``definition`` is the state without variables."""
        request = {"definition": definition, "input": json.dumps(state_input()), "context": json.dumps(CONTEXT)}
        configuration = {"stateConfiguration": {"retrierRetryCount": self.tries}} if "errorOutput" in self.mock else {}
        return request | {"mock": self.mock, "inspectionLevel": "DEBUG"} | configuration


def state_tests() -> Iterator[StateTest]:
    """Test the success of every Task, its first and its last retry for every error, and every Catch."""
    for workflow, machine in MACHINES.items():
        for name, state in states(machine):
            if state["Type"] == "Task":
                after = {"nextState": state["Next"]} if "Next" in state else {}
                result = _result(name, state)
                yield StateTest(workflow, name, f"{name}: ok", state, result, {"status": "SUCCEEDED", **after})
                yield from _failures(workflow, name, state)


def state_input() -> dict[str, Any]:
    """Join the example events, so that every state finds what it reads."""
    joined: dict[str, Any] = {"input": {}, "feeds_parameter": None}
    for function in CONTRACTS:
        joined |= json.loads((ROOT / "tests" / "events" / f"{function}.json").read_text())
    message = {"subject": "Subject", "message": "Message"}
    results = {"report": {"outcome": "partial", **message}, "receipt": message, "failure": message}
    return joined | results | {"alert": {}, "unpacked": {"status": "planned", "batch": joined["batch"]}}


def _failures(workflow: str, name: str, state: Json) -> Iterator[StateTest]:
    for retry in state["Retry"]:
        for error in retry["ErrorEquals"]:
            yield _failure(workflow, name, state, error, 0, {"status": "RETRIABLE"})
            yield _failure(workflow, name, state, error, retry["MaxAttempts"], _caught(state, error))
    functions = packages(MACHINES[workflow])
    known = CONTRACTS[functions[name]].errors if name in functions else frozenset()
    retried = {error for retry in state["Retry"] for error in retry["ErrorEquals"]}
    named = {error for catch in state["Catch"] for error in catch["ErrorEquals"]} - {"States.ALL"}
    for error in sorted(({one.__name__ for one in known} | named | {UNEXPECTED}) - retried):
        yield _failure(workflow, name, state, error, 0, _caught(state, error))


def _failure(workflow: str, name: str, state: Json, error: str, tries: int, expected: dict[str, Any]) -> StateTest:
    mock = {"errorOutput": {"error": error, "cause": json.dumps({"errorMessage": "mocked"})}}
    title = f"{name}: {error} after {tries} retries"
    return StateTest(workflow, name, title, state, mock, expected | {"error": error}, tries)


def _caught(state: Json, error: str) -> dict[str, Any]:
    catch = next(one for one in state["Catch"] if {error, "States.ALL"} & set(one["ErrorEquals"]))
    return {"status": "CAUGHT_ERROR", "nextState": catch["Next"]}


def _result(name: str, state: Json) -> dict[str, Any]:
    results: dict[str, Any] = {
        "ssm:getParameter": {"Parameter": {"Name": "feeds", "Value": "[]"}},
        "dynamodb:updateItem": {},
        "sns:publish": {"MessageId": "00000000-0000-0000-0000-000000000000"},
    }
    action = ":".join(state["Resource"].split(":")[-2:])
    return {"result": json.dumps(results.get(action, {"mocked": name}))}
