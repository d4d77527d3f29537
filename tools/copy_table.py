"""Copy the items of a table to another region: ``python -m tools.copy_table FROM_REGION FROM TO_REGION TO``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def main(arguments: Sequence[str]) -> int:
    """Copy every item; an item that the target already has is replaced."""
    if len(arguments) != 4:
        print("usage: python -m tools.copy_table FROM_REGION FROM TO_REGION TO", file=sys.stderr)
        return 2
    from_region, from_table, to_region, to_table = arguments
    try:
        source = boto3.resource("dynamodb", from_region).Table(from_table)
        copied = copy(source, boto3.resource("dynamodb", to_region).Table(to_table))
    except (BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{from_table}: {copied} items copied to {to_table}")
    return 0


def copy(source: Any, target: Any) -> int:
    """Copy all items, in batches; return their number."""
    copied = 0
    pages = source.meta.client.get_paginator("scan").paginate(TableName=source.name)
    # The writer sends items again that DynamoDB did not process.
    with target.batch_writer() as writer:
        for item in (item for page in pages for item in page["Items"]):
            writer.put_item(Item=item)
            copied += 1
    return copied


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
