"""The execution that reads a staged window."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from imagelake.run.aws import aws_errors, client
from ingest_stream.window import Window

# Above the number of records that Lambda delivers in one call, so that a run reads the whole window.
_POSTS_PER_WINDOW = 100_000


def start(state_machine_arn: str, window: Window) -> None:
    """Start the window's execution, unless an earlier call started it."""
    run_input = {
        "feeds": [{"source": "stream", "account": window.stream_name, "window": window.name}],
        "dt": window.dt,
        "posts_per_feed": _POSTS_PER_WINDOW,
    }
    with aws_errors(state_machine_arn):
        try:
            client("stepfunctions").start_execution(
                stateMachineArn=state_machine_arn, name=window.name, input=json.dumps(run_input)
            )
        except ClientError as error:
            # A second start succeeds while the execution runs, and raises this error after its end.
            # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
