"""State machine, models and README agree: what a state passes on is what the next function takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError

from check_input.run_input import RunInput
from imagelake.run.contracts import CONTRACTS, FeedResult
from imagelake.run.erasure_models import ErasedDay, ErasedReport
from imagelake.run.errors import TransientError
from imagelake.run.models import Batch, FeedEntry, Progress
from tests.support.asl import MACHINES, ROOT, reachable, retried_errors, scopes
from tests.support.asl_types import Missing, Place, Workflow, keys, paths, without_none

FEED, BATCH = "For Each Feed", "For Each Batch"
README = (ROOT / "README.md").read_text()
# Lambda writes the cause of a function's error.
CAUSE = {"cause": {"json": {"errorMessage": str}}}
PIPELINE = Workflow(
    "ImagePipeline",
    MACHINES["ImagePipeline"],
    # Validate writes the list of batches that For Each Batch reads.
    {"": {"input": RunInput, "results": list[FeedResult], **CAUSE}, FEED: {"progress": Progress}},
    {FEED: FeedEntry, BATCH: Batch},
)
ERASURE = Workflow(
    "Erasure",
    MACHINES["Erasure"],
    {"": {"input": dict, "failure": dict.fromkeys(("error", "subject", "message"), str), **CAUSE}},
    {
        "Promote Duplicates": {"number": int},
        "Rewrite Files": {"number": int},
        "Erase Pages": ErasedDay,
        "Erase Reports": ErasedReport,
    },
)
REBUILD = Workflow(
    "Rebuild",
    MACHINES["Rebuild"],
    {"": {"input": dict, **CAUSE}},
    # Plan Rebuild writes the list of batches.
    {"For Each File": Batch},
)
WORKFLOWS = {workflow.name: workflow for workflow in (PIPELINE, ERASURE, REBUILD)}
PLACES = [place for workflow in WORKFLOWS.values() for place in workflow.places]
TASKS = [place for place in PLACES if place.name in WORKFLOWS[place.workflow].tasks]
LAMBDA_TASKS = [place for place in TASKS if place.name in WORKFLOWS[place.workflow].packages]


def name_of(place: Place) -> str:
    return place.name


# ---- State machine and models ----------------------------------------------------------------------------------------


def test_every_state_machine_is_checked() -> None:
    assert WORKFLOWS.keys() == MACHINES.keys()


@pytest.mark.parametrize("place", PLACES, ids=name_of)
def test_every_path_leads_to_a_field(place: Place) -> None:
    workflow = WORKFLOWS[place.workflow]
    for path in paths(workflow.states[place.name]):
        assert workflow.typed(place.scope, path)


@pytest.mark.parametrize("path", ["$.plan.batch", "$.progres.status", "$.reconciliation.counts.planned.x", "$.batch"])
def test_a_path_that_leads_nowhere_is_found(path: str) -> None:
    with pytest.raises(Missing):
        PIPELINE.typed(FEED, path)


@pytest.mark.parametrize("place", LAMBDA_TASKS, ids=name_of)
def test_state_passes_the_request_of_its_function(place: Place) -> None:
    workflow = WORKFLOWS[place.workflow]
    request = CONTRACTS[workflow.packages[place.name]].request
    parameters = workflow.tasks[place.name]["Parameters"]
    assert keys(parameters) == set(request.model_fields)
    for key, value in parameters.items():
        expected = request.model_fields[key.removesuffix(".$")].annotation
        if isinstance(value, dict):
            assert keys(value) == set(without_none(expected).model_fields)
        elif not key.endswith(".$"):
            TypeAdapter(expected).validate_python(value)
        elif isinstance(kind := workflow.typed(place.scope, value), dict):
            assert kind.keys() == without_none(expected).model_fields.keys()
        else:
            # Only the input of an execution is not checked yet.
            assert expected in (kind, Any)


def test_map_passes_the_variables_of_its_scope() -> None:
    for workflow in WORKFLOWS.values():
        for name in [name for name, state in workflow.states.items() if state["Type"] == "Map"]:
            selected = keys(workflow.states[name]["ItemSelector"])
            assert selected <= workflow.variables(name).keys()
            assert all(workflow.typed(name, f"$.{key}") for key in selected)


@pytest.mark.parametrize(
    ("workflow", "result"), [(PIPELINE, "report"), (ERASURE, "failure"), (REBUILD, "report")], ids=WORKFLOWS
)
def test_failure_before_the_result_has_what_the_next_states_read(workflow: Workflow, result: str) -> None:
    described = keys(workflow.states["Describe Failure"]["Parameters"])
    after = reachable(next(scopes(workflow.machine)), workflow.states["Describe Failure"]["Next"])
    read = {path for name in after for path in paths(workflow.states[name])}
    assert described == {path.removeprefix(f"$.{result}.") for path in read}


def test_first_progress_is_that_of_the_model() -> None:
    assert Progress.model_validate(PIPELINE.states[FEED]["ItemSelector"]["progress"]) == Progress()


@pytest.mark.parametrize(
    "name", [place.name for place in PIPELINE.places if place.scope == FEED and PIPELINE.states[place.name].get("End")]
)
def test_feed_ends_in_a_feed_result(name: str) -> None:
    parameters = PIPELINE.states[name]["Parameters"]
    assert keys(parameters) <= set(FeedResult.model_fields)
    TypeAdapter(FeedResult.model_fields["status"].annotation).validate_python(parameters["status"])
    for key, path in parameters.items():
        if key.endswith(".$"):
            assert without_none(FeedResult.model_fields[key.removesuffix(".$")].annotation) == PIPELINE.typed(
                FEED, path
            )


@pytest.mark.parametrize("place", [place for place in PLACES if place.name.endswith("?")], ids=name_of)
def test_choice_compares_with_values_that_occur(place: Place) -> None:
    workflow = WORKFLOWS[place.workflow]
    for choice in workflow.states[place.name]["Choices"]:
        if "StringEquals" in choice:
            kind = workflow.typed(place.scope, choice["Variable"])
            assert get_origin(kind) is Literal
            assert choice["StringEquals"] in get_args(kind)


# ---- Errors ----------------------------------------------------------------------------------------------------------


def table(workflow: str) -> dict[str, list[str]]:
    """Cells of the table of a workflow's states, by state."""
    page = README if workflow == "ImagePipeline" else (ROOT / "docs" / f"{workflow.lower()}.md").read_text()
    header = "| state | does | raises (**bold**: retried) | then |\n|---|---|---|---|\n"
    lines = page.split(header)[1].split("\n\n")[0]
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines())
    return {name: cells for name, *cells in rows}


def raised(cell: str) -> tuple[set[str], set[str]]:
    """All error names of a cell, and those in bold; "storage errors" stands for those of the footnote."""
    (footnote,) = re.findall(r"^\[\^storage\]: (.+)$", README, re.MULTILINE)
    text = cell.replace("storage errors", footnote)
    return set(re.findall(r"`(\w+)`", text)), set(re.findall(r"\*\*`(\w+)`\*\*", text))


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_table_has_every_task(workflow: Workflow) -> None:
    assert sorted(table(workflow.name)) == sorted(workflow.tasks)


@pytest.mark.parametrize("place", LAMBDA_TASKS, ids=name_of)
def test_table_has_the_errors_of_the_function_and_of_the_retries(place: Place) -> None:
    workflow = WORKFLOWS[place.workflow]
    declared = CONTRACTS[workflow.packages[place.name]].errors
    names, bold = raised(table(workflow.name)[place.name][1])
    assert names == {error.__name__ for error in declared}
    assert bold == {error.__name__ for error in declared if issubclass(error, TransientError)}
    assert bold == retried_errors(workflow.tasks[place.name])


@pytest.mark.parametrize("place", TASKS, ids=name_of)
def test_table_names_the_state_after_an_error(place: Place) -> None:
    workflow = WORKFLOWS[place.workflow]
    (scope,) = (scope for scope in scopes(workflow.machine) if place.name in scope.states)
    after = reachable(scope, workflow.tasks[place.name]["Catch"][-1]["Next"])
    assert any(table(workflow.name)[place.name][2].startswith(state) for state in after)


# ---- Examples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workflow", WORKFLOWS.values(), ids=WORKFLOWS)
def test_mocked_results_are_those_of_the_models(workflow: Workflow) -> None:
    mocks = json.loads((ROOT / "tests" / "workflow" / "mocks.json").read_text())
    cases = mocks["StateMachines"][workflow.name]["TestCases"]
    checked = set()
    for state, response in {(state, name) for case in cases.values() for state, name in case.items()}:
        for call in mocks["MockedResponses"][response].values():
            if "Return" in call and state in workflow.packages:
                CONTRACTS[workflow.packages[state]].result.model_validate(call["Return"], extra="forbid")
                checked.add(state)
    children = {
        name
        for scope in scopes(workflow.machine)
        if scope.name and workflow.states[scope.name]["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
        for name in scope.states
    }
    # The function of these tests answers for the children of the erasure's Maps.
    assert checked == workflow.packages.keys() - (children if workflow is ERASURE else set())


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
    assert {name for workflow in WORKFLOWS.values() for name in workflow.packages.values()} == set(CONTRACTS)


def test_example_events_are_those_of_all_functions() -> None:
    packages = {app.parent.name for app in Path(ROOT, "functions").glob("*/app.py")}
    assert {path.stem for path in Path(ROOT, "tests", "events").glob("*.json")} == packages
