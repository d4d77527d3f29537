"""One run reads a feed at a time: the run that has a feed is named in the feed's item of the Bookmarks table.

No lease is given back and none runs out by the clock: it is worth as much as the execution it names. One that has
ended, however it ended, holds nothing.
"""

from __future__ import annotations

from botocore.exceptions import ClientError

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import FeedBusyError, StorageUnavailableError

# Each try but the first follows on another run that took over the same lapsed lease in between.
_TRIES = 5


def take_lease(table: str, feed_id: str, execution_arn: str) -> None:
    """Take the feed for this execution, or find that it has it; raise ``FeedBusyError`` if a running one has it."""
    lapsed: str | None = None
    for _ in range(_TRIES):
        holder = _take(table, feed_id, execution_arn, lapsed)
        if holder is None:
            return
        if _is_running(holder, execution_arn):
            raise FeedBusyError(
                f"execution {holder} is reading this feed: nothing to do, it makes the rows; what is newer is the next"
                " run's. To read it now, wait until that execution has ended, or stop it, and start a run"
            )
        lapsed = holder
    raise StorageUnavailableError(f"{table}: the lease of {feed_id} changed hands {_TRIES} times")


def _take(table: str, feed_id: str, ours: str, lapsed: str | None) -> str | None:
    """``None`` if the lease is ours now, otherwise the execution that has it. Only ``lapsed`` may be replaced."""
    free = "attribute_not_exists(lease_arn) OR lease_arn = :ours"
    values = {":ours": {"S": ours}}
    if lapsed is not None:
        free += " OR lease_arn = :lapsed"
        values[":lapsed"] = {"S": lapsed}
    with aws_errors(table):
        try:
            client("dynamodb").update_item(
                TableName=table,
                Key={"feed_id": {"S": feed_id}},
                UpdateExpression="SET lease_arn = :ours",
                ConditionExpression=free,
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
    # A state machine that was replaced took its executions with it, and our role may not ask about them.
    if execution_arn.rpartition(":")[0] != ours.rpartition(":")[0]:
        return False
    with aws_errors(execution_arn):
        try:
            status = client("stepfunctions").describe_execution(executionArn=execution_arn)["status"]
        except ClientError as error:
            # It ended over 90 days ago.
            if error.response["Error"]["Code"] != "ExecutionDoesNotExist":
                raise
            return False
    # PENDING_REDRIVE is an execution that ended and goes on in a moment.
    return status in ("RUNNING", "PENDING_REDRIVE")
