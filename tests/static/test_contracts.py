"""State machine, models and README agree: what a state passes on is what the next function takes."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from check_input.run_input import RunInput
from imagelake.run.contracts import CONTRACTS, FeedResult
from imagelake.run.errors import TransientError
from imagelake.run.failures import CaughtError
from imagelake.run.models import Batch, Progress
from tests.support.asl import (
    MACHINE,
    REBUILD,
    ROOT,
    Json,
    lambda_tasks,
    package,
    reachable,
    retried_errors,
    scopes,
    states,
    tasks,
)

FEED, BATCH = "For Each Feed", "For Each Batch"
LAMBDA_TASKS = list(lambda_tasks(MACHINE))
TASKS = dict(tasks(MACHINE))
STATES = dict(states(MACHINE))
# A path into a state's input, as in ``$.feed.feed_id``; ``$$`` is the context object of Step Functions.
PATH = re.compile(r"(?<!\$)\$(?:\.[a-z_A-Z]+)+")
README = (ROOT / "README.md").read_text()


# ---- The type of every variable --------------------------------------------------------------------------------------


class Missing(Exception):  # noqa: N818
    """A path that leads to no field."""


def variables(scope: str) -> dict[str, Any]:
    """The top-level variables of a scope, each with its type: a model, or a dict of types."""
    match scope:
        case "":
            # Lambda writes the cause of a function's error.
            types_of: dict[str, Any] = {
                "input": RunInput,
                "results": list[FeedResult],
                "cause": {"json": {"errorMessage": str}},
            }
        case "For Each Feed":
            types_of = {"run": typed("", "$.run"), "feed": get_args(typed("", "$.feeds"))[0], "progress": Progress}
        case _:
            # Validate writes the list of batches that ItemReader reads.
            types_of = {"run": typed(FEED, "$.run"), "batch": Batch}
    for name, state in next(one.states for one in scopes(MACHINE) if one.name == scope).items():
        for catch in state.get("Catch", []):
            types_of |= assigned(catch["ResultPath"], CaughtError)
        if name in LAMBDA_TASKS:
            types_of |= assigned(state["ResultPath"], CONTRACTS[package(name)].result)
        elif "ResultSelector" in state:
            types_of |= assigned(state["ResultPath"], dict.fromkeys(keys(state["ResultSelector"]), str))
    return types_of


def assigned(result_path: str | None, kind: Any) -> dict[str, Any]:
    """The variables that a result becomes."""
    if result_path is None:
        return {}
    if result_path == "$":
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {result_path.removeprefix("$."): kind}


def typed(scope: str, path: str) -> Any:
    """The type of what a path leads to; raises ``Missing``."""
    kind: Any = variables(scope)
    for name in path.split(".")[1:]:
        kind = field_of(kind, name)
    return kind


def field_of(kind: Any, name: str) -> Any:
    kind = without_none(kind)
    if isinstance(kind, dict) and name in kind:
        return kind[name]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for field_name, field in kind.model_fields.items():
            if name == (field.alias or field_name):
                return field.annotation
    raise Missing(f"{name} is not a field of {kind}")


def without_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in get_args(kind) if part is not types.NoneType)
    return kind


def keys(parameters: Json) -> set[str]:
    return {key.removesuffix(".$") for key in parameters}


def paths(value: Any) -> Iterator[str]:
    """Every path in a part of a state, also inside intrinsic functions."""
    match value:
        case str():
            yield from PATH.findall(value)
        case dict():
            for key, inner in value.items():
                # The first two do not read the state's input; the states of a Map are checked by themselves.
                if key not in ("ResultSelector", "ResultPath", "ItemProcessor"):
                    yield from paths(inner)
        case list():
            for inner in value:
                yield from paths(inner)


class Place(NamedTuple):
    """A state and its scope."""

    scope: str
    name: str


PLACES = [Place(scope.name, name) for scope in scopes(MACHINE) for name in scope.states]


# ---- State machine and models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_every_path_leads_to_a_field(place: Place) -> None:
    for path in paths(STATES[place.name]):
        assert typed(place.scope, path)


@pytest.mark.parametrize("path", ["$.plan.batch", "$.progres.status", "$.reconciliation.counts.planned.x", "$.batch"])
def test_a_path_that_leads_nowhere_is_found(path: str) -> None:
    with pytest.raises(Missing):
        typed(FEED, path)


@pytest.mark.parametrize("name", LAMBDA_TASKS)
def test_state_passes_the_request_of_its_function(name: str) -> None:
    request = CONTRACTS[package(name)].request
    parameters = TASKS[name]["Parameters"]
    assert keys(parameters) == set(request.model_fields)
    (scope,) = (place.scope for place in PLACES if place.name == name)
    for key, value in parameters.items():
        expected = request.model_fields[key.removesuffix(".$")].annotation
        if isinstance(value, dict):
            assert keys(value) == set(without_none(expected).model_fields)
        elif isinstance(kind := typed(scope, value), dict):
            assert kind.keys() == without_none(expected).model_fields.keys()
        else:
            # Only the input of an execution is not checked yet.
            assert kind == (RunInput if expected is Any else expected)


def test_map_passes_the_variables_of_its_scope() -> None:
    for name in (FEED, BATCH):
        selected = keys(STATES[name]["ItemSelector"])
        assert selected <= variables(name).keys()
        assert all(typed(name, f"$.{key}") for key in selected)


def test_failure_before_the_report_has_what_the_next_states_read() -> None:
    described = keys(STATES["Describe Failure"]["Parameters"])
    after = reachable(next(scopes(MACHINE)), STATES["Describe Failure"]["Next"])
    assert described == {path.removeprefix("$.report.") for name in after for path in paths(STATES[name])}


def test_first_progress_is_that_of_the_model() -> None:
    assert Progress.model_validate(STATES[FEED]["ItemSelector"]["progress"]) == Progress()


@pytest.mark.parametrize(
    "name", [place.name for place in PLACES if place.scope == FEED and STATES[place.name].get("End")]
)
def test_feed_ends_in_a_feed_result(name: str) -> None:
    parameters = STATES[name]["Parameters"]
    assert keys(parameters) <= set(FeedResult.model_fields)
    TypeAdapter(FeedResult.model_fields["status"].annotation).validate_python(parameters["status"])
    for key, path in parameters.items():
        if key.endswith(".$"):
            assert without_none(FeedResult.model_fields[key.removesuffix(".$")].annotation) == typed(FEED, path)


@pytest.mark.parametrize("place", [place for place in PLACES if place.name.endswith("?")], ids=lambda place: place.name)
def test_choice_compares_with_values_that_occur(place: Place) -> None:
    for choice in STATES[place.name]["Choices"]:
        if "StringEquals" in choice:
            kind = typed(place.scope, choice["Variable"])
            assert get_origin(kind) is Literal
            assert choice["StringEquals"] in get_args(kind)


# ---- Errors ----------------------------------------------------------------------------------------------------------


def table() -> dict[str, list[str]]:
    """Cells of the README's table of states, by state."""
    lines = README.split("| state | does | raises (**bold**: retried) | then |\n|---|---|---|---|\n")[1].split("\n\n")[
        0
    ]
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines())
    return {name: cells for name, *cells in rows}


def raised(cell: str) -> tuple[set[str], set[str]]:
    """All error names of a cell, and those in bold; "storage errors" stands for those of the footnote."""
    (footnote,) = re.findall(r"^\[\^storage\]: (.+)$", README, re.MULTILINE)
    text = cell.replace("storage errors", footnote)
    return set(re.findall(r"`(\w+)`", text)), set(re.findall(r"\*\*`(\w+)`\*\*", text))


def test_readme_lists_every_task() -> None:
    assert sorted(table()) == sorted(TASKS)


@pytest.mark.parametrize("name", LAMBDA_TASKS)
def test_readme_lists_the_errors_of_the_function_and_of_the_retries(name: str) -> None:
    declared = CONTRACTS[package(name)].errors
    names, bold = raised(table()[name][1])
    assert names == {error.__name__ for error in declared}
    assert bold == {error.__name__ for error in declared if issubclass(error, TransientError)}
    assert bold == retried_errors(TASKS[name])


@pytest.mark.parametrize("name", TASKS)
def test_readme_names_the_state_after_an_error(name: str) -> None:
    (scope,) = (scope for scope in scopes(MACHINE) if name in scope.states)
    after = reachable(scope, TASKS[name]["Catch"][-1]["Next"])
    assert any(table()[name][2].startswith(state) for state in after)


# ---- Examples --------------------------------------------------------------------------------------------------------


def test_mocked_results_are_those_of_the_models() -> None:
    mocks = json.loads((ROOT / "tests" / "workflow" / "mocks.json").read_text())
    (cases,) = (machine["TestCases"] for machine in mocks["StateMachines"].values())
    checked = set()
    for state, response in {(state, name) for case in cases.values() for state, name in case.items()}:
        for call in mocks["MockedResponses"][response].values():
            if "Return" in call and state in LAMBDA_TASKS:
                CONTRACTS[package(state)].result.model_validate(call["Return"], extra="forbid")
                checked.add(state)
    assert checked == set(LAMBDA_TASKS)


@pytest.mark.parametrize("name", CONTRACTS)
def test_example_event_is_a_request(name: str) -> None:
    event = json.loads((ROOT / "tests" / "events" / f"{name}.json").read_text())
    CONTRACTS[name].request.model_validate(event, extra="forbid")


@pytest.mark.parametrize("name", ["run", "batch", "report"])
def test_event_with_an_unknown_field_is_found(name: str) -> None:
    event = json.loads((ROOT / "tests" / "events" / "transform.json").read_text())
    event[name] = {**event.get(name, {}), "unknown": 1}
    with pytest.raises(ValidationError, match="Extra inputs"):
        CONTRACTS["transform"].request.model_validate(event, extra="forbid")


def test_contracts_are_those_of_the_states() -> None:
    names = {*LAMBDA_TASKS, *lambda_tasks(REBUILD)}
    assert {package(name) for name in names} == set(CONTRACTS)


def test_example_events_are_those_of_all_functions() -> None:
    packages = {app.parent.name for app in Path(ROOT, "functions").glob("*/app.py")}
    assert {path.stem for path in Path(ROOT, "tests", "events").glob("*.json")} == packages
