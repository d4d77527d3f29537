"""The state machine of a rebuild keeps the rules of the first one, and no role of it reaches a network's secret."""

from __future__ import annotations

import copy
import json

import pytest

from imagelake.run.contracts import CONTRACTS, ReportRebuildRequest
from tests.support.asl import (
    REBUILD,
    REBUILD_DEFINITION,
    RESOURCES,
    RULES,
    Rule,
    keys_are_in_order,
    lambda_tasks,
    no_failure_ends_as_success,
    package,
    scopes,
    states,
    strict_json,
    tasks,
)
from tests.support.template_gate import plain

FUNCTIONS = lambda_tasks(REBUILD)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    assert rule(REBUILD) == []


def test_definition_is_strict_json() -> None:
    assert strict_json(REBUILD_DEFINITION.read_text()) == REBUILD


def test_failure_that_ends_as_success_is_found() -> None:
    machine = copy.deepcopy(REBUILD)
    machine["States"]["Report Rebuild"]["Catch"][0]["Next"] = "Rebuild Complete"
    assert no_failure_ends_as_success(machine)
    machine = copy.deepcopy(REBUILD)
    files = machine["States"]["For Each File"]["ItemProcessor"]["States"]
    files["Write Parquet"]["Catch"][-1]["Next"] = "File Unchanged"
    assert no_failure_ends_as_success(machine)
    assert keys_are_in_order(machine) == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_state_gives_what_its_function_takes(name: str) -> None:
    """The fields of the request that have no default are parameters, and every parameter is a field."""
    given = {key.removesuffix(".$") for key in dict(tasks(REBUILD))[name]["Parameters"]}
    fields = CONTRACTS[package(name)].request.model_fields
    assert {key for key, field in fields.items() if field.is_required()} <= given <= fields.keys()


def test_report_reads_the_whole_plan() -> None:
    given = {key.removesuffix(".$") for key in REBUILD["States"]["Report Rebuild"]["Parameters"]}
    assert given == set(ReportRebuildRequest.model_fields)


@pytest.mark.parametrize("stem", sorted(set(FUNCTIONS.values())))
def test_no_role_reaches_a_secret_of_a_network(stem: str) -> None:
    text = json.dumps(RESOURCES[f"{stem}Function"]["Properties"].get("Policies", []))
    assert ":secret:" not in text
    secrets = [
        plain(statement["Resource"])
        for policy in RESOURCES[f"{stem}Function"]["Properties"]["Policies"]
        for statement in policy["Statement"]
        if "secretsmanager" in str(statement["Action"])
    ]
    assert set(secrets) <= {"SuppressionKey.Id"}
    assert plain(RESOURCES["Rebuild"]["Properties"]["DefinitionSubstitutions"][f"{stem}FunctionArn"]) == (
        f"{stem}Function.Arn"
    )


def test_role_of_rebuild_images_writes_no_raw_image_and_no_file() -> None:
    (policy,) = RESOURCES["RebuildImagesFunction"]["Properties"]["Policies"]
    written = json.dumps([one["Resource"] for one in policy["Statement"] if "s3:PutObject" in str(one["Action"])])
    assert "raw/" not in written
    assert "lake/" not in written


def test_state_names_are_those_of_the_scopes() -> None:
    assert [scope.name for scope in scopes(REBUILD)] == ["", "For Each File"]
    assert len(dict(states(REBUILD))) == sum(len(scope.states) for scope in scopes(REBUILD))
