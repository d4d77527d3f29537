"""The execution that reads a staged window."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from imagelake.run.aws import aws_errors, client
from ingest_stream.window import Window

# More than one call of the consumer can be given.
_POSTS_PER_WINDOW = 100_000


def start(state_machine_arn: str, window: Window) -> None:
    """Start it, unless it was started before. Raises leaves of ``imagelake.run.errors``."""
    given = {
        "feeds": [{"source": "stream", "account": window.stream_name, "window": window.name}],
        "dt": window.dt,
        "posts_per_feed": _POSTS_PER_WINDOW,
    }
    with aws_errors(state_machine_arn):
        try:
            client("stepfunctions").start_execution(
                stateMachineArn=state_machine_arn, name=window.name, input=json.dumps(given)
            )
        except ClientError as error:
            # While it runs, to start it again succeeds; once it has ended, this says that it did run.
            # https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise
