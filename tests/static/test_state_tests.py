"""The calls of TestState that ``make test-cloud`` makes: the model of the API accepts them, and no input is missing."""

from __future__ import annotations

import json
import re

import boto3
import pytest
from botocore.stub import Stubber

from tests.support.asl import MACHINES, tasks
from tests.support.state_tests import CONTEXT, state_input, state_tests


@pytest.mark.slow
def test_requests_are_valid() -> None:
    client = boto3.client("stepfunctions", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    for test in state_tests():
        with Stubber(client) as stubber:
            stubber.add_response("test_state", {"status": "SUCCEEDED"})
            assert client.test_state(**test.request(json.dumps(test.definition)))["status"] == "SUCCEEDED"


TASKS = [(workflow, name, state) for workflow, machine in MACHINES.items() for name, state in tasks(machine)]


@pytest.mark.parametrize(("name", "state"), [task[1:] for task in TASKS], ids=[f"{a}-{b}" for a, b, _ in TASKS])
def test_input_has_what_the_state_reads(name: str, state: dict[str, object]) -> None:
    paths = re.findall(r'\.\$": "(\$\$?)\.([\w.]+)"', json.dumps(state.get("Parameters", {})))
    for root, path in paths:
        value = CONTEXT if root == "$$" else state_input()
        for key in path.split("."):
            assert key in value, f"{name} reads {path}"
            value = value[key]


def test_every_task_and_every_error_is_tested() -> None:
    names = [(test.workflow, test.name) for test in state_tests()]
    assert len(names) == len(set(names))
    for workflow, name, state in TASKS:
        assert (workflow, f"{name}: ok") in names
        for retry in state["Retry"]:
            for error in retry["ErrorEquals"]:
                assert (workflow, f"{name}: {error} after 0 retries") in names
