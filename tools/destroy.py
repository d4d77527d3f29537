"""Deleting a stack from an AWS account: ``python -m tools.destroy STACK`` says what goes and what stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# What the template retains, and how to remove it for good.
_KEPT = {
    "AWS::S3::Bucket": 'empty it in the S3 console ("Empty" takes the old versions too), then: aws s3 rb s3://{name}',
    "AWS::DynamoDB::Table": "aws dynamodb delete-table --table-name {name}",
}


def main(arguments: Sequence[str]) -> int:
    """Delete the stack named first; what follows is for ``sam delete``, such as ``--no-prompts``."""
    stack, *options = arguments
    try:
        kept = retained(boto3.client("cloudformation"), stack)
    except (BotoCoreError, ClientError) as error:
        print(f"error: {stack}: {error}", file=sys.stderr)
        return 1
    print(f"Deleting {stack}: state machine, functions, schedules, alarms, topic, and the logs.")
    print("Kept, because it is your data:")
    for kind, name in kept:
        print(f"  {name} ({kind})")
    done = subprocess.run(
        [Path(sys.executable).with_name("sam"), "delete", "--stack-name", stack, *options], check=False
    )
    if done.returncode:
        return done.returncode
    print("\nTo remove what is kept as well, for good:")
    for kind, name in kept:
        print(f"  {_KEPT[kind].format(name=name)}")
    print("Secrets, made by hand, are kept too: aws secretsmanager list-secrets")
    return 0


def retained(cloudformation: Any, stack: str) -> list[tuple[str, str]]:
    """Type and name of every resource that outlives the stack."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        (entry["ResourceType"], entry["PhysicalResourceId"])
        for page in pages
        for entry in page["StackResourceSummaries"]
        if entry["ResourceType"] in _KEPT
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
