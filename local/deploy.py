"""Deploy a template to the local engine through its CloudFormation."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from local.engine import Engine
from local.errors import CommandError
from local.package import package

STACK_NAME = "imagelake"
TEMPLATE = Path(__file__).parents[1] / "template.yaml"
# The engine speaks plain HTTP on loopback, which these policies refuse.
ONLY_WITH_TLS = ("BucketPolicy", "TopicPolicy", "ScheduleDeadLettersPolicy", "AlertDeadLettersPolicy")
_ARTIFACTS = "local-artifacts"
_POLL_SECONDS = 0.1


class DeployError(CommandError):
    """CloudFormation refused the stack; the message names the resources and the reasons."""


def deploy(
    engine: Engine,
    template: Path,
    parameters: Mapping[str, str] | None = None,
    *,
    stack_name: str = STACK_NAME,
    without: Iterable[str] = (),
    for_lake: bool = False,
) -> dict[str, str]:
    """Create or update the stack of ``template`` and return its outputs.

    ``without`` names resources to leave out because the engine does not treat them as AWS does; ``for_lake`` is that of
    ``package``.
    """
    s3, cloudformation = engine.client("s3"), engine.client("cloudformation")
    s3.create_bucket(Bucket=_ARTIFACTS)

    def upload(name: str, content: bytes) -> dict[str, str]:
        s3.put_object(Bucket=_ARTIFACTS, Key=name, Body=content)
        return {"Bucket": _ARTIFACTS, "Key": name}

    packaged = package(template, upload, for_lake=for_lake)
    for resource in without:
        del packaged["Resources"][resource]
    # Passed by URL, because a request holds a template of at most 51,200 bytes.
    uploaded = upload("template.json", json.dumps(packaged).encode())
    request = {
        "StackName": stack_name,
        "TemplateURL": f"{engine.url}/{uploaded['Bucket']}/{uploaded['Key']}",
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in (parameters or {}).items()],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    try:
        _create_or_update(cloudformation, request)
    except ClientError as error:
        raise DeployError(error.response["Error"]["Message"]) from error
    stack = _wait(cloudformation, stack_name)
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployError(f"{stack['StackStatus']}: {'; '.join(_failures(cloudformation, stack_name))}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def _create_or_update(cloudformation: Any, request: dict[str, Any]) -> None:
    try:
        cloudformation.create_stack(**request)
    except cloudformation.exceptions.AlreadyExistsException:
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates" not in error.response["Error"]["Message"]:
                raise


def _wait(cloudformation: Any, stack_name: str) -> dict[str, Any]:
    while True:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        time.sleep(_POLL_SECONDS)


def _failures(cloudformation: Any, stack_name: str) -> list[str]:
    events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    return [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason given')}"
        for event in events
        if event["ResourceStatus"].endswith("_FAILED")
    ]
