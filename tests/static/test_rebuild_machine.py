"""A failure of a rebuild never ends as a success, and no role of it reaches a network's secret."""

from __future__ import annotations

import copy
import json

import pytest

from tests.support.asl import MACHINES, RESOURCES, keys_are_in_order, lambda_tasks, no_failure_ends_as_success
from tests.support.template_gate import plain

REBUILD = MACHINES["Rebuild"]
FUNCTIONS = lambda_tasks(REBUILD)


def test_failure_that_ends_as_success_is_found() -> None:
    machine = copy.deepcopy(REBUILD)
    machine["States"]["Report Rebuild"]["Catch"][0]["Next"] = "Rebuild Complete"
    assert no_failure_ends_as_success(machine)
    machine = copy.deepcopy(REBUILD)
    files = machine["States"]["For Each File"]["ItemProcessor"]["States"]
    files["Write Parquet"]["Catch"][-1]["Next"] = "File Unchanged"
    assert no_failure_ends_as_success(machine)
    assert keys_are_in_order(machine) == []


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
