"""Every Task of the deployed machines in AWS's own engine, with mocked results: TestState runs one state at no cost."""

from __future__ import annotations

import json

import pytest

from tests.support.asl import states
from tests.support.cloud_stack import Cloud
from tests.support.state_tests import StateTest, state_tests

pytestmark = pytest.mark.cloud


# The output of the stack that has the ARN of each state machine.
OUTPUTS = {"ImagePipeline": "StateMachineArn", "Erasure": "ErasureStateMachineArn", "Rebuild": "RebuildArn"}


@pytest.fixture(scope="module")
def definitions(cloud: Cloud) -> dict[tuple[str, str], str]:
    """The states as they are deployed, by workflow and name."""
    client = cloud.client("stepfunctions")
    machines = {
        workflow: client.describe_state_machine(stateMachineArn=cloud.outputs[output])["definition"]
        for workflow, output in OUTPUTS.items()
    }
    return {
        (workflow, name): json.dumps(state)
        for workflow, definition in machines.items()
        for name, state in states(json.loads(definition))
    }


@pytest.mark.parametrize("test", list(state_tests()), ids=lambda test: f"{test.workflow}-{test.name}")
def test_state_goes_where_the_definition_says(
    cloud: Cloud, definitions: dict[tuple[str, str], str], test: StateTest
) -> None:
    definition = definitions[test.workflow, test.state]
    answer = cloud.client("stepfunctions").test_state(**test.request(definition))
    assert {key: answer.get(key) for key in test.expected} == test.expected
