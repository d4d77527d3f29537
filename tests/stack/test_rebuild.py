"""A rebuild on the deployed stack: each function has its own role, and no server of a network is asked."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.support.deployed_stack import Stack
from tests.support.servers import Servers


def rebuild(stack: Stack, name: str, **request: Any) -> dict[str, Any]:
    """Run a rebuild to its end; returns its report."""
    arn = stack.engine.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["RebuildArn"], name=name, input=json.dumps(request)
    )["executionArn"]
    execution = stack.wait(arn)
    assert execution["status"] == "SUCCEEDED", execution
    report: dict[str, Any] = json.loads(stack.read(f"reports/_rebuilds/{name}.json"))
    return report


def files(stack: Stack) -> dict[str, str]:
    return {key: hashlib.sha256(stack.read(key)).hexdigest() for key in stack.keys("lake/")}


@pytest.fixture(scope="module")
def closed(stack: Stack, servers: Servers, first_run: dict[str, Any]) -> dict[str, str]:
    """The files of the lake, and from here on a network that answers nobody."""
    return files(stack)


def test_same_versions_and_options_give_the_same_files(stack: Stack, servers: Servers, closed: dict[str, str]) -> None:
    asked = len(servers.sample.requests)
    report = rebuild(stack, "rebuild-same")
    assert report["outcome"] == "ok", report
    assert files(stack) == closed
    assert len(servers.sample.requests) == asked
    assert report["counts"]["changed"] == 0
    assert report["images"] == sum(report["counts"][name] for name in ("ok", "duplicate", "rejected"))


def test_dry_run_changes_no_file(stack: Stack, closed: dict[str, str]) -> None:
    report = rebuild(stack, "rebuild-dry", image_size=128, dry_run=True)
    assert files(stack) == closed
    assert report["estimate"]["usd"] > 0


def test_wrong_request_fails_with_its_field(stack: Stack) -> None:
    arn = stack.engine.client("stepfunctions").start_execution(
        stateMachineArn=stack.outputs["RebuildArn"], name="rebuild-wrong", input=json.dumps({"image_sise": 1})
    )["executionArn"]
    execution = stack.wait(arn)
    assert (execution["status"], execution["error"]) == ("FAILED", "BadInputError")
    assert "image_sise" in execution["cause"]
