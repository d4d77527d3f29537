"""The lease of a feed: only one run reads a feed at a time, and the feed's item in the Bookmarks table names that run.

A lease is never released and never times out. It is valid while the execution it names is running.
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import FeedBusyError, StorageUnavailableError

# A second try is needed only if another run took over the same expired lease in between.
_TRIES = 5


def take_lease(table: str, feed_id: str, execution_arn: str) -> None:
    """Take the lease of the feed; raise ``FeedBusyError`` if another execution has it and is still running."""
    expired: str | None = None
    for _ in range(_TRIES):
        holder = _take(table, feed_id, execution_arn, expired)
        if holder is None:
            return
        if _is_running(holder, execution_arn):
            raise FeedBusyError(
                f"Execution {holder} is already reading this feed and will write its rows. To read it now, wait for"
                " that execution or stop it, then start a run"
            )
        expired = holder
    raise StorageUnavailableError(f"{table}: the lease of {feed_id} changed its holder {_TRIES} times")


def _take(table: str, feed_id: str, ours: str, expired: str | None) -> str | None:
    """Take a lease that is free, ours or held by ``expired``; return ``None``, or the execution that holds it."""
    is_free = "attribute_not_exists(lease_arn) OR lease_arn = :ours"
    values = {":ours": {"S": ours}}
    if expired is not None:
        is_free += " OR lease_arn = :expired"
        values[":expired"] = {"S": expired}
    with aws_errors(table):
        try:
            client("dynamodb").update_item(
                TableName=table,
                Key={"feed_id": {"S": feed_id}},
                UpdateExpression="SET lease_arn = :ours",
                ConditionExpression=is_free,
                ExpressionAttributeValues=values,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            holder: str = error.response["Item"]["lease_arn"]["S"]  # type: ignore[typeddict-item]
            return holder
    return None


def _is_running(execution_arn: str, ours: str) -> bool:
    # Our role may not ask about executions of another state machine. They ended when theirs was replaced by this one.
    if execution_arn.rpartition(":")[0] != ours.rpartition(":")[0]:
        return False
    with aws_errors(execution_arn):
        try:
            status = client("stepfunctions").describe_execution(executionArn=execution_arn)["status"]
        except ClientError as error:
            # Step Functions forgets an execution 90 days after its end.
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return False
    # PENDING_REDRIVE is an execution that failed and is about to continue.
    return status in ("RUNNING", "PENDING_REDRIVE")
