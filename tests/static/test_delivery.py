"""Delivery: the workflows hold no key and no needless permission, and the environments are configured."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.support.asl import ROOT, TEMPLATE

WORKFLOWS = {file.stem: yaml.safe_load(file.read_text()) for file in (ROOT / ".github" / "workflows").glob("*.yml")}
SAMCONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_may_only_read_by_default(name: str) -> None:
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    for job in WORKFLOWS[name]["jobs"].values():
        assert job.get("permissions", {}).keys() <= {"contents", "id-token"}
        # A job may ask for a token only in an environment, whose rules protect it.
        assert ("id-token" in job.get("permissions", {})) == ("environment" in job)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_uses_no_stored_key(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    assert "secrets." not in text
    assert not re.search(r"AKIA|aws-access-key-id|aws-secret-access-key", text)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_to_commits(name: str) -> None:
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    # A workflow of this repository is used by its path, and is of the same commit anyway.
    used = [action for action in re.findall(r"uses: (.+)$", text, re.MULTILINE) if not action.startswith("./")]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)


def test_an_action_has_the_same_commit_everywhere() -> None:
    pins = {
        pin
        for file in (ROOT / ".github" / "workflows").glob("*.yml")
        for pin in re.findall(r"uses: ([\w/-]+)@(.+)$", file.read_text(), re.MULTILINE)
    }
    assert len({action for action, _ in pins}) == len(pins)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_expression_is_pasted_into_a_shell(name: str) -> None:
    assert not [step["run"] for step in steps(WORKFLOWS[name]) if "${{" in step.get("run", "")]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_make_targets_exist(name: str) -> None:
    runs = " ".join(step.get("run", "") for step in steps(WORKFLOWS[name]))
    assert set(re.findall(r"\bmake ([a-z-]+)", runs)) <= TARGETS


def test_every_deployed_environment_is_configured() -> None:
    environments = WORKFLOWS["deploy"]["jobs"]["deploy"]["strategy"]["matrix"]["environment"]
    assert set(environments) <= SAMCONFIG.keys()
    names = [SAMCONFIG[environment]["global"]["parameters"]["stack_name"] for environment in ("default", *environments)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("environment", [name for name in SAMCONFIG if name != "version"])
def test_environment_sets_only_parameters_of_the_template(environment: str) -> None:
    overrides = SAMCONFIG[environment]["deploy"]["parameters"].get("parameter_overrides", "")
    parameters = dict(pair.split("=") for pair in overrides.split())
    assert parameters.keys() <= TEMPLATE["Parameters"].keys()


def test_job_lasts_longer_than_the_gradual_deployment() -> None:
    job = WORKFLOWS["deploy"]["jobs"]["deploy"]
    overrides = SAMCONFIG["prod"]["deploy"]["parameters"]["parameter_overrides"]
    minutes = int(dict(pair.split("=") for pair in overrides.split())["GradualDeploymentMinutes"])
    (credentials,) = (step["with"] for step in job["steps"] if "role-to-assume" in step.get("with", {}))
    assert minutes < job["timeout-minutes"] <= credentials["role-duration-seconds"] / 60
