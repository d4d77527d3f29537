"""The state machines and the template for the static tests, and rules for a state machine.

A rule takes a machine and returns its breaches as sentences, so that a test can apply it to a good one and a bad one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from imagelake.run.contracts import CONTRACTS
from imagelake.run.errors import TransientError
from local.package import read_template

ROOT = Path(__file__).parents[2]

Json = dict[str, Any]
Rule = Callable[[Json], list[str]]

# First the kind of state, then its input, its result, its errors and the next state.
KEY_ORDER = (
    "Comment", "Type", "Label", "MaxConcurrency", "ToleratedFailurePercentage", "ItemsPath", "ItemReader",
    "ItemSelector", "ItemProcessor", "ResultWriter", "Choices", "Default", "TimestampPath", "Seconds", "Resource",
    "Parameters", "ResultSelector", "ResultPath", "TimeoutSeconds", "Retry", "Catch", "Error", "ErrorPath", "CausePath",
    "Next", "End",
)  # fmt: skip
FUNCTION_ARN = re.compile(r"\$\{(\w+)FunctionArn\}")
SNS_PUBLISH = "arn:${Partition}:states:::sns:publish"


class Scope(NamedTuple):
    """States that can name each other: those of the machine itself, or those inside a Map."""

    name: str
    start_at: str
    states: dict[str, Json]


def strict_json(text: str) -> Json:
    """Parse JSON; refuse a repeated key, NaN and Infinity."""

    def unique(pairs: list[tuple[str, Any]]) -> Json:
        assert len(dict(pairs)) == len(pairs), f"a repeated key in {[key for key, _ in pairs]}"
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    machine = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    assert isinstance(machine, dict)
    return machine


# Every state machine, by its resource in the template: ImagePipeline for image_pipeline.asl.json.
DEFINITIONS = {
    "".join(map(str.title, path.name.split(".")[0].split("_"))): path
    for path in sorted((ROOT / "statemachine").glob("*.asl.json"))
}
MACHINES = {name: strict_json(path.read_text()) for name, path in DEFINITIONS.items()}
DEFINITION, MACHINE = DEFINITIONS["ImagePipeline"], MACHINES["ImagePipeline"]
TEMPLATE = read_template(ROOT / "template.yaml")
RESOURCES: dict[str, Json] = TEMPLATE["Resources"]


def scopes(machine: Json, name: str = "") -> Iterator[Scope]:
    """List the machine and the inside of every Map, outermost first; the outermost scope has no name."""
    yield Scope(name, machine["StartAt"], machine["States"])
    for state_name, state in machine["States"].items():
        if state["Type"] == "Map":
            yield from scopes(state["ItemProcessor"], state_name)


def states(machine: Json) -> Iterator[tuple[str, Json]]:
    """List every state of every scope with its name."""
    for scope in scopes(machine):
        yield from scope.states.items()


def tasks(machine: Json) -> Iterator[tuple[str, Json]]:
    """List every Task with its name."""
    return ((name, state) for name, state in states(machine) if state["Type"] == "Task")


def lambda_tasks(machine: Json) -> dict[str, str]:
    """Map every Task that calls a function to the stem of that function: ``Write Parquet`` to ``WriteParquet``."""
    matches = ((name, FUNCTION_ARN.fullmatch(state["Resource"])) for name, state in tasks(machine))
    return {name: match[1] for name, match in matches if match}


def packages(machine: Json) -> dict[str, str]:
    """Map every Task that calls a function to the package of that function: ``Write Parquet`` to ``write_parquet``."""
    return {name: package(stem) for name, stem in lambda_tasks(machine).items()}


def package(stem: str) -> str:
    """Name the package of a function: ``write_parquet`` for ``WriteParquet``."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", stem).lower()


def targets(state: Json) -> list[str]:
    """List the states that can follow a state, after an error too."""
    choices = [choice["Next"] for choice in state.get("Choices", [])]
    catches = [catch["Next"] for catch in state.get("Catch", [])]
    return [*choices, *(state[key] for key in ("Default", "Next") if key in state), *catches]


def reachable(scope: Scope, start: str, without: frozenset[str] = frozenset()) -> set[str]:
    """Find ``start`` and every state that can follow it on a path that avoids ``without``."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in reached and name not in without and name in scope.states:
            reached.add(name)
            waiting += targets(scope.states[name])
    return reached


def ends(scope: Scope, names: set[str]) -> set[str]:
    """Keep the names of states that end an execution or an iteration."""
    by_name = {name: scope.states[name] for name in names}
    return {name for name, state in by_name.items() if state["Type"] in ("Succeed", "Fail") or state.get("End")}


# ---- The rules -------------------------------------------------------------------------------------------------------


def every_target_is_in_its_scope(machine: Json) -> list[str]:
    return [
        f"{name} goes to {target}, which is not in its scope"
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
        f"{name} leads to no end"
        for scope in scopes(machine)
        for name in scope.states
        if not ends(scope, reachable(scope, name))
    ]


def names_are_unique_and_say_what_they_are(machine: Json) -> list[str]:
    names = [name for name, _ in states(machine)]
    return [
        *(f"{name} is the name of two states" for name in set(names) if names.count(name) > 1),
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
        f"{name}: only the last Catch may have States.ALL, and nothing else"
        for name, state in states(machine)
        for catches in [[catch["ErrorEquals"] for catch in state.get("Catch", [])]]
        if catches and (catches[-1] != ["States.ALL"] or any("States.ALL" in errors for errors in catches[:-1]))
    ]


def functions_are_retried_on_their_transient_errors(machine: Json) -> list[str]:
    breaches = []
    for name, function in packages(machine).items():
        declared = {error.__name__ for error in CONTRACTS[function].errors if issubclass(error, TransientError)}
        retried = retried_errors(dict(tasks(machine))[name])
        if retried != declared:
            breaches.append(f"{name} retries {sorted(retried)}, and its function can raise {sorted(declared)}")
    return breaches


def retried_errors(state: Json) -> set[str]:
    """Collect the names of our own errors that a state retries; names of the platform have a dot."""
    return {error for retry in state.get("Retry", []) for error in retry["ErrorEquals"] if "." not in error}


def no_failure_ends_as_success(machine: Json) -> list[str]:
    """Every caught error has to end in a notification and a Fail; in a feed in ``Feed Failed``, in the child of a
    Distributed Map in a Fail.
    """
    return [
        breach for scope in scopes(machine) for breach in _FAILURE_RULES.get(scope.name, _a_failed_child_fails)(scope)
    ]


def _a_failed_run_notifies_and_fails(scope: Scope) -> Iterator[str]:
    notifications = frozenset(name for name, state in scope.states.items() if state.get("Resource") == SNS_PUBLISH)
    for name, state in scope.states.items():
        for catch in state.get("Catch", []):
            after = reachable(scope, catch["Next"])
            for end in sorted(ends(scope, after)):
                if scope.states[end]["Type"] != "Fail":
                    yield f"{name}: a caught error can end in {end}, which is a success"
            # An error of the notification itself needs no notification.
            if name not in notifications and ends(scope, reachable(scope, catch["Next"], notifications)):
                yield f"{name}: a caught error can end without a notification"


def _a_failed_feed_is_a_result(scope: Scope) -> Iterator[str]:
    for name, state in scope.states.items():
        for catch in state.get("Catch", []):
            # Another run moved the bookmark further: there is nothing to commit, and the plan is good.
            is_ahead = name == "Commit Bookmark" and catch["ErrorEquals"] == [
                "DynamoDB.ConditionalCheckFailedException"
            ]
            if catch["Next"] != (state["Next"] if is_ahead else "Feed Failed"):
                yield f"{name}: a caught error goes to {catch['Next']}"
    failed = scope.states.get("Feed Failed", {})
    result = failed.get("Parameters", {})
    if not failed.get("End") or result.get("status") != "failed" or "error.$" not in result:
        yield "Feed Failed does not pass on the failure and its error"


def _a_failed_child_fails(scope: Scope) -> Iterator[str]:
    for name, state in scope.states.items():
        for catch in state.get("Catch", []):
            # The child begins again with the file as it is now.
            if catch["ErrorEquals"] == ["FileChangedError"] and catch["Next"] == scope.start_at:
                continue
            for end in sorted(ends(scope, reachable(scope, catch["Next"]))):
                if scope.states[end]["Type"] != "Fail":
                    yield f"{name}: a caught error can end in {end}, which is a success"


_FAILURE_RULES: dict[str, Callable[[Scope], Iterator[str]]] = {
    "": _a_failed_run_notifies_and_fails,
    "For Each Feed": _a_failed_feed_is_a_result,
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
    functions_are_retried_on_their_transient_errors,
    no_failure_ends_as_success,
)


def broken(change: Callable[[dict[str, Json]], object], within: str = "") -> Json:
    """Copy the machine and apply ``change`` to the states of one scope."""
    machine = copy.deepcopy(MACHINE)
    change(next(scope.states for scope in scopes(machine) if scope.name == within))
    return machine
