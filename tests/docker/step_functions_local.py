"""The state machine as AWS's Step Functions Local can run it, and its container.

The image is unsupported and behind Step Functions, so the machine is told in the oldest words that mean the same. Two
things it cannot do: a Distributed Map, for which a Task stands in, under the same name and with the same Retry, Catch
and Next, while the Map's own workflow is a machine of its own; and waiting in no time, so every pause becomes a second.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.support.asl import DEFINITION, Json, scopes, states, tasks

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

IMAGE = "amazon/aws-stepfunctions-local"
RUN, BATCH = "ImagePipeline", "ForEachBatch"
MAP = "For Each Batch"
START_SECONDS = 90

_LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:mocked"
_ROLE = "arn:aws:iam::123456789012:role/mocked"
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": "us-east-1"}
# Here the embedded engine's own step decides, or a fault of its own; neither is here.
ENGINES_OWN = frozenset({"SourceComesBack", "OneFeedFails", "OneBatchFails", "IterationBreaks"})
# What the engine's tests call for real has to be mocked here: nothing else is started.
_SERVICES = {
    "Load Feeds": {"Return": {"Parameter": {"Name": "feeds", "Value": '["bluesky:alice.example"]'}}},
    "Commit Bookmark": {"Return": {}},
    MAP: {"Return": {}},
    "Notify Success": {"Return": {"MessageId": "1"}},
    "Notify Warning": {"Return": {"MessageId": "1"}},
    "Notify Failure": {"Return": {"MessageId": "1"}},
}
_AHEAD = {"Error": "DynamoDB.ConditionalCheckFailedException", "Cause": "ahead"}
_ANSWERS_OF_A_CASE = {
    "BookmarkAhead": {"Commit Bookmark": {"Throw": _AHEAD}},
    "BatchListMissing": {MAP: {"Throw": {"Error": "States.ItemReaderFailed", "Cause": "no such key"}}},
}


def run_machine() -> Json:
    """The whole machine, with a Task in place of the Distributed Map."""
    machine = _filled()
    for scope in scopes(machine):
        if MAP in scope.states:
            kept = {key: scope.states[MAP][key] for key in ("Comment", "ResultPath", "Retry", "Catch", "Next")}
            scope.states[MAP] = {"Type": "Task", "Resource": _LAMBDA, **kept}
            break
    return _in_old_words(machine)


def batch_machine() -> Json:
    """The workflow of one batch."""
    inner = dict(states(_filled()))[MAP]["ItemProcessor"]
    return _in_old_words({"StartAt": inner["StartAt"], "States": inner["States"]})


def mocks(shared: Json) -> Json:
    """``tests/workflow/mocks.json`` for the two machines, with the services' answers added."""
    in_batch = {name for name, _ in tasks(batch_machine())}
    responses = dict(shared["MockedResponses"])
    of_run: dict[str, Json] = {}
    of_batch: dict[str, Json] = {}
    for name, case in shared["StateMachines"][RUN]["TestCases"].items():
        if name in ENGINES_OWN:
            continue
        services = {state: f"{name}: {state}" for state in _SERVICES}
        for state, answer in (_SERVICES | _ANSWERS_OF_A_CASE.get(name, {})).items():
            responses[services[state]] = {"0-99": answer}
        of_run[name] = services | {state: answer for state, answer in case.items() if state not in in_batch}
        if in_batch <= case.keys():
            of_batch[name] = {state: case[state] for state in in_batch}
    cases = {RUN: of_run, BATCH: of_batch}
    return {
        "StateMachines": {machine: {"TestCases": found} for machine, found in cases.items()},
        "MockedResponses": responses,
    }


def _filled() -> Json:
    values = {"Region": "us-east-1", "Partition": "aws", "TopicArn": "arn:aws:sns:us-east-1:123456789012:topic"}
    fill = dict.fromkeys(re.findall(r"\$\{(\w+FunctionArn)\}", DEFINITION.read_text()), _LAMBDA) | values
    machine = json.loads(re.sub(r"\$\{(\w+)\}", lambda match: fill.get(match[1], match[1]), DEFINITION.read_text()))
    assert isinstance(machine, dict)
    return machine


def _in_old_words(machine: Json) -> Json:
    machine = copy.deepcopy(machine)
    for name, state in list(states(machine)):
        for retry in state.get("Retry", []):
            retry.pop("MaxDelaySeconds", None)
            retry.pop("JitterStrategy", None)
            retry |= {"IntervalSeconds": 1, "BackoffRate": 1.0}
        if state["Type"] == "Wait":
            state.pop("TimestampPath", None)
            state["Seconds"] = 1
        if state["Type"] == "Fail" and "ErrorPath" in state:
            del state["ErrorPath"]
            state["Error"] = name
        if state["Type"] == "Fail" and "CausePath" in state:
            del state["CausePath"]
    # Last, because the walk above knows the new words only.
    for scope in list(scopes(machine)):
        for state in scope.states.values():
            if state["Type"] == "Map":
                inner = state.pop("ItemProcessor")
                state["Iterator"] = {"StartAt": inner["StartAt"], "States": inner["States"]}
                state["Parameters"] = state.pop("ItemSelector")
    return machine


def missing() -> str | None:
    """Why no container can be started, in one line; ``None`` if one can."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "Docker is not installed, or does not answer"
    if done.returncode == 0:
        return None
    said = [line for line in (done.stderr + done.stdout).splitlines() if "annot connect" in line or "denied" in line]
    return f"Docker does not run: {said[-1].strip() if said else 'docker info fails'}"


@contextmanager
def container(mock_file: Path) -> Iterator[SFNClient]:
    """Step Functions Local with ``mock_file``, for the length of a ``with`` block; yields a client of it."""
    environment = [f"--env={name}={value}" for name, value in _CREDENTIALS.items()]
    inside = "/home/StepFunctionsLocal/mocks.json"
    created = _docker("create", "--publish=127.0.0.1::8083", *environment, f"--env=SFN_MOCK_CONFIG={inside}", IMAGE)
    name = created.splitlines()[-1]
    try:
        # Copied, not mounted: the daemon may be on another machine.
        _docker("cp", str(mock_file), f"{name}:{inside}")
        _docker("start", name)
        address = _docker("port", name, "8083/tcp").splitlines()[0]
        client = _client(f"http://{address}")
        _wait_until_it_answers(client, name)
        yield client
    finally:
        _docker("rm", "--force", "--volumes", name)


def create(client: SFNClient) -> dict[str, str]:
    """Create both machines; returns their ARNs by name."""
    machines = {RUN: run_machine(), BATCH: batch_machine()}
    return {
        name: client.create_state_machine(name=name, definition=json.dumps(machine), roleArn=_ROLE)["stateMachineArn"]
        for name, machine in machines.items()
    }


def execute(client: SFNClient, machine_arn: str, case: str, given: Json) -> tuple[str, str | None, list[str]]:
    """Run a case to its end; returns status, error and the states entered, in order."""
    arn = client.start_execution(stateMachineArn=f"{machine_arn}#{case}", input=json.dumps(given))["executionArn"]
    while (execution := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        time.sleep(0.05)
    pages = client.get_paginator("get_execution_history").paginate(executionArn=arn)
    events = [event for page in pages for event in page["events"]]
    entered = [event["stateEnteredEventDetails"]["name"] for event in events if event["type"].endswith("StateEntered")]
    # Not every engine says the error when it describes an execution; all say it in its history.
    ends = [event["executionFailedEventDetails"] for event in events if "executionFailedEventDetails" in event]
    return execution["status"], ends[-1].get("error") if ends else None, entered


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"docker {arguments[0]}: {done.stderr.strip()}"
    return done.stdout.strip()


def _client(url: str) -> SFNClient:
    session = boto3.Session("local", "local")
    # Step Functions Local has one address, without the prefix that some calls get.
    config = Config(proxies={}, inject_host_prefix=False, retries={"total_max_attempts": 1})
    return session.client("stepfunctions", region_name="us-east-1", endpoint_url=url, config=config)


def _wait_until_it_answers(client: SFNClient, name: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(BotoCoreError, ClientError):
            client.list_state_machines()
            return
        time.sleep(0.2)
    raise AssertionError(f"Step Functions Local did not answer within {START_SECONDS} s:\n{_docker('logs', name)}")
