"""Failures in the children of Distributed Maps, which have histories of their own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.type_defs import DescribeExecutionOutputTypeDef


def failed_child(client: SFNClient, execution_arn: str) -> DescribeExecutionOutputTypeDef | None:
    """Describe a failed child of the last Map Run that failed; ``None`` if none did."""
    runs = client.list_map_runs(executionArn=execution_arn)["mapRuns"]
    for run in sorted(runs, key=lambda run: run["startDate"], reverse=True):
        arn = run["mapRunArn"]
        # If so many failures are tolerated, the Map Run has succeeded, and the error is another one.
        if client.describe_map_run(mapRunArn=arn)["status"] != "FAILED":
            continue
        # AWS keeps express children for a short time only.
        with suppress(ClientError):
            children = client.list_executions(mapRunArn=arn, statusFilter="FAILED", maxResults=1)["executions"]
            if children:
                return client.describe_execution(executionArn=children[0]["executionArn"])
    return None


def name_item(given: dict[str, Any]) -> str:
    """Name the item of a child by its input, which has the item beside what all children share."""
    match given:
        case {"day": {"source": source, "dt": dt}}:
            return f"raw pages of {source} of {dt}"
        case {"report": {"run_id": None}}:
            return "the lake at a glance"
        case {"report": {"run_id": run_id}}:
            return f"the report of {run_id}"
        case {"batch": {"source": source, "dt": dt, "batch_id": batch_id}}:
            return f"lake/images/source={source}/dt={dt}/{batch_id}.parquet"
        case _:
            return "an item of a map"
