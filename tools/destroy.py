"""Delete a stack from an AWS account; ``python -m tools.destroy STACK`` also lists the resources that remain."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# Types of the resources that the template retains, and how to delete one for good.
_RETAINED = {
    "AWS::S3::Bucket": 'empty it in the S3 console ("Empty" deletes old versions too), then: aws s3 rb s3://{name}',
    "AWS::DynamoDB::Table": "aws dynamodb delete-table --table-name {name}",
    # Without its key, the suppression list keeps nothing out.
    "AWS::SecretsManager::Secret": "aws secretsmanager delete-secret --secret-id {name}",
}


def main(arguments: Sequence[str]) -> int:
    """Delete the stack that the first argument names; pass the others, such as ``--no-prompts``, to ``sam delete``."""
    stack, *options = arguments
    try:
        remaining = retained(boto3.client("cloudformation"), stack)
    except (BotoCoreError, ClientError) as error:
        print(f"error: {stack}: {error}", file=sys.stderr)
        return 1
    print(f"This deletes from {stack}: state machine, functions, schedules, alarms, topic and logs.")
    print("These resources remain, because they hold your data:")
    for kind, name in remaining:
        print(f"  {name} ({kind})")
    sam = Path(sys.executable).with_name("sam")
    deleted = subprocess.run([sam, "delete", "--stack-name", stack, *options], check=False)
    if deleted.returncode:
        return deleted.returncode
    print("\nTo remove them for good:")
    for kind, name in remaining:
        print(f"  {_RETAINED[kind].format(name=name)}")
    print("Secrets that you created remain too. To list them: aws secretsmanager list-secrets")
    return 0


def retained(cloudformation: Any, stack: str) -> list[tuple[str, str]]:
    """Type and name of every resource that remains after the stack."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        (entry["ResourceType"], entry["PhysicalResourceId"])
        for page in pages
        for entry in page["StackResourceSummaries"]
        if entry["ResourceType"] in _RETAINED
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
