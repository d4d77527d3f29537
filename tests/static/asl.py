"""The state machine and the template as the static tests read them, and the rules a state machine has to keep.

A rule takes a machine and returns its breaches as sentences, so that a test can show it a sound one and a broken one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from imagelake.run.errors import TransientError
from local.package import read_template

ROOT = Path(__file__).parents[2]
DEFINITION = ROOT / "statemachine" / "image_pipeline.asl.json"

Json = dict[str, Any]
Rule = Callable[[Json], list[str]]

# STYLE: what it is, what it works on, what comes of it, what may go wrong, what is next.
KEY_ORDER = (
    "Comment", "Type", "Label", "MaxConcurrency", "ToleratedFailurePercentage", "ItemsPath", "ItemReader",
    "ItemSelector", "ItemProcessor", "ResultWriter", "Choices", "Default", "TimestampPath", "Resource", "Parameters",
    "ResultSelector", "ResultPath", "TimeoutSeconds", "Retry", "Catch", "Error", "ErrorPath", "CausePath",
    "Next", "End",
)  # fmt: skip
FUNCTION_ARN = re.compile(r"\$\{(\w+)FunctionArn\}")
SNS_PUBLISH = "arn:${Partition}:states:::sns:publish"


class Scope(NamedTuple):
    """One set of states that can name each other: the machine itself or the inside of a Map."""

    name: str
    start_at: str
    states: dict[str, Json]


def strict_json(text: str) -> Json:
    """Parse JSON that has no key twice and no NaN or Infinity."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        assert len(dict(pairs)) == len(pairs), f"a key twice in {[key for key, _ in pairs]}"
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    machine = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    assert isinstance(machine, dict)
    return machine


MACHINE = strict_json(DEFINITION.read_text())
TEMPLATE = read_template(ROOT / "template.yaml")
RESOURCES: dict[str, Json] = TEMPLATE["Resources"]


def scopes(machine: Json, name: str = "") -> Iterator[Scope]:
    """The machine and the inside of every Map in it, outermost first; the outermost has no name."""
    yield Scope(name, machine["StartAt"], machine["States"])
    for state_name, state in machine["States"].items():
        if state["Type"] == "Map":
            yield from scopes(state["ItemProcessor"], state_name)


def states(machine: Json) -> Iterator[tuple[str, Json]]:
    """Every state with its name, wherever it is."""
    for scope in scopes(machine):
        yield from scope.states.items()


def tasks(machine: Json) -> Iterator[tuple[str, Json]]:
    """Every Task with its name."""
    return ((name, state) for name, state in states(machine) if state["Type"] == "Task")


def lambda_tasks(machine: Json) -> dict[str, str]:
    """The name of every Task that calls a function, with the function's stem: ``Write Parquet`` -> ``WriteParquet``."""
    found = ((name, FUNCTION_ARN.fullmatch(state["Resource"])) for name, state in tasks(machine))
    return {name: match[1] for name, match in found if match}


def targets(state: Json) -> list[str]:
    """Where a state can go, its Catches included."""
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    catches = [catch["Next"] for catch in state.get("Catch", [])]
    return [*choices, *(state[key] for key in ("Default", "Next") if key in state), *catches]


def reachable(scope: Scope, start: str, without: frozenset[str] = frozenset()) -> set[str]:
    """``start`` and every state after it, not going through ``without``."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in without and name in scope.states:
            found.add(name)
            waiting += targets(scope.states[name])
    return found


def ends(scope: Scope, names: set[str]) -> set[str]:
    """Those of ``names`` where an execution, or an iteration, is over."""
    found = ((name, scope.states[name]) for name in names)
    return {name for name, state in found if state["Type"] in ("Succeed", "Fail") or state.get("End")}


# ---- The rules -------------------------------------------------------------------------------------------------------


def every_target_is_in_its_scope(machine: Json) -> list[str]:
    return [
        f"{name} goes to {target}, which is not there"
        for scope in scopes(machine)
        for name, names in [("StartAt", [scope.start_at]), *((name, targets(s)) for name, s in scope.states.items())]
        for target in names
        if target not in scope.states
    ]


def every_state_is_reached(machine: Json) -> list[str]:
    return [
        f"{name} is never reached"
        for scope in scopes(machine)
        for name in scope.states.keys() - reachable(scope, scope.start_at)
    ]


def every_path_ends(machine: Json) -> list[str]:
    return [
        f"{name} never comes to an end"
        for scope in scopes(machine)
        for name in scope.states
        if not ends(scope, reachable(scope, name))
    ]


def names_are_unique_and_say_what_they_are(machine: Json) -> list[str]:
    names = [name for name, _ in states(machine)]
    return [
        *(f"{name} is there twice" for name in set(names) if names.count(name) > 1),
        *(f"{name} is not in Title Case" for name in names if not all(word[0].isupper() for word in name.split())),
        *(
            f"{name}: only Choices ask a question, and all do"
            for name, state in states(machine)
            if (state["Type"] == "Choice") != name.endswith("?")
        ),
    ]


def keys_are_in_order(machine: Json) -> list[str]:
    return [
        f"{name}: {', '.join(state)}"
        for name, state in states(machine)
        if not set(state) <= set(KEY_ORDER) or list(state) != sorted(state, key=KEY_ORDER.index)
    ]


def every_task_is_limited_retried_and_caught(machine: Json) -> list[str]:
    return [
        f"{name} has no {key}"
        for name, state in tasks(machine)
        for key in ("TimeoutSeconds", "Retry", "Catch")
        if not state.get(key)
    ] + [f"{name} has no Catch" for name, state in states(machine) if state["Type"] == "Map" and not state.get("Catch")]


def every_retry_is_bounded(machine: Json) -> list[str]:
    return [
        f"{name}: a Retry without {key}"
        for name, state in states(machine)
        for retry in state.get("Retry", [])
        for key in ("IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy")
        if key not in retry
    ]


def nothing_retries_everything(machine: Json) -> list[str]:
    return [
        f"{name} retries {error}"
        for name, state in states(machine)
        for retry in state.get("Retry", [])
        for error in retry["ErrorEquals"]
        if error in ("States.ALL", "States.TaskFailed")
    ]


def the_last_catch_takes_the_rest(machine: Json) -> list[str]:
    return [
        f"{name}: States.ALL has to stand in the last Catch, alone and only there"
        for name, state in states(machine)
        for catches in [[catch["ErrorEquals"] for catch in state.get("Catch", [])]]
        if catches and (catches[-1] != ["States.ALL"] or any("States.ALL" in errors for errors in catches[:-1]))
    ]


def the_first_retry_names_our_transient_errors(machine: Json) -> list[str]:
    leaves = sorted(leaf.__name__ for leaf in TransientError.__subclasses__())
    return [
        f"{name} does not retry exactly {', '.join(leaves)} first"
        for name in lambda_tasks(machine)
        for state in [dict(tasks(machine))[name]]
        if not state.get("Retry") or sorted(state["Retry"][0]["ErrorEquals"]) != leaves
    ]


def no_failure_ends_as_success(machine: Json) -> list[str]:
    """What a Catch takes ends in Fail, told; within a feed in ``Feed Failed``, within a batch in ``Batch Failed``."""
    return [breach for scope in scopes(machine) for breach in _FAILURE_RULES[scope.name](scope)]


def _a_failed_run_is_told_and_fails(scope: Scope) -> Iterator[str]:
    notifications = frozenset(name for name, state in scope.states.items() if state.get("Resource") == SNS_PUBLISH)
    for name, state in scope.states.items():
        for catch in state.get("Catch", []):
            after = reachable(scope, catch["Next"])
            for end in sorted(ends(scope, after)):
                if scope.states[end]["Type"] != "Fail":
                    yield f"{name}: what it catches can end in {end}, which is a success"
            # A notification that fails cannot be told by a notification.
            if name not in notifications and ends(scope, reachable(scope, catch["Next"], notifications)):
                yield f"{name}: what it catches can end without a notification"


def _a_failed_feed_is_a_result(scope: Scope) -> Iterator[str]:
    for name, state in scope.states.items():
        for catch in state.get("Catch", []):
            # The bookmark is ahead already: there is nothing to commit, and the plan stands.
            ahead = name == "Commit Bookmark" and catch["ErrorEquals"] == ["DynamoDB.ConditionalCheckFailedException"]
            if catch["Next"] != (state["Next"] if ahead else "Feed Failed"):
                yield f"{name}: what it catches goes to {catch['Next']}"
    failed = scope.states.get("Feed Failed", {})
    result = failed.get("Parameters", {})
    if not failed.get("End") or result.get("status") != "failed" or "error.$" not in result:
        yield "Feed Failed does not say that the feed failed, and why"


def _a_failed_batch_fails(scope: Scope) -> Iterator[str]:
    for name, state in scope.states.items():
        for catch in state.get("Catch", []):
            if ends(scope, reachable(scope, catch["Next"])) != {"Batch Failed"}:
                yield f"{name}: what it catches does not end in Batch Failed"
    if scope.states.get("Batch Failed", {}).get("Type") != "Fail":
        yield "Batch Failed is not a Fail"


_FAILURE_RULES: dict[str, Callable[[Scope], Iterator[str]]] = {
    "": _a_failed_run_is_told_and_fails,
    "For Each Feed": _a_failed_feed_is_a_result,
    "For Each Batch": _a_failed_batch_fails,
}

RULES: tuple[Rule, ...] = (
    every_target_is_in_its_scope,
    every_state_is_reached,
    every_path_ends,
    names_are_unique_and_say_what_they_are,
    keys_are_in_order,
    every_task_is_limited_retried_and_caught,
    every_retry_is_bounded,
    nothing_retries_everything,
    the_last_catch_takes_the_rest,
    the_first_retry_names_our_transient_errors,
    no_failure_ends_as_success,
)


def broken(change: Callable[[dict[str, Json]], object], within: str = "") -> Json:
    """A copy of the machine with ``change`` made to the states of one scope."""
    machine = copy.deepcopy(MACHINE)
    change(next(scope.states for scope in scopes(machine) if scope.name == within))
    return machine
