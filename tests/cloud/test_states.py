"""Every Task of the deployed machine in AWS's own engine, with mocked results: TestState runs one state at no cost."""

from __future__ import annotations

import json

import pytest

from tests.support.asl import states
from tests.support.cloud_stack import Cloud
from tests.support.state_tests import StateTest, state_tests

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def definitions(cloud: Cloud) -> dict[str, str]:
    """The states as they are deployed, by name."""
    machine = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=cloud.outputs["StateMachineArn"])
    return {name: json.dumps(state) for name, state in states(json.loads(machine["definition"]))}


@pytest.mark.parametrize("test", list(state_tests()), ids=lambda test: test.name)
def test_state_goes_where_the_definition_says(cloud: Cloud, definitions: dict[str, str], test: StateTest) -> None:
    name = test.name.split(":")[0]
    answer = cloud.client("stepfunctions").test_state(**test.request(definitions[name]))
    assert {key: answer.get(key) for key in test.expected} == test.expected
