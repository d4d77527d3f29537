"""``imagelake logs``: the lines that the functions have logged."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from local.arguments import add_lake, number, open_lake
from local.errors import CommandError
from local.lake import Lake
from local.output import Output

HELP = "print the lines that the functions have logged"
EXAMPLES: tuple[str, ...] = ("imagelake logs run-20261128T053000", "imagelake logs --problems --stack imagelake")
_PROBLEMS = ("WARNING", "ERROR", "CRITICAL")
# https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
_LOG_GROUP = re.compile("([A-Za-z]+)LogGroup")
_ERROR = re.compile(r"^\[ERROR\]|Task timed out after|^RequestId: \S+ Error:")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="only the lines of this run (default: all lines)")
    add_lake(parser)
    parser.add_argument("--problems", action="store_true", help="only warnings and errors")
    parser.add_argument(
        "--lines", type=number(100_000), default=200, metavar="N", help="newest lines to print (default: %(default)s)"
    )


def main(options: Namespace, output: Output) -> int:
    """Print the newest lines, the oldest of them first."""
    with open_lake(options) as lake:
        lines = sorted(_lines(lake, options.run_id), key=lambda line: line["timestamp"])
        if options.problems:
            lines = [line for line in lines if line.get("level") in _PROBLEMS]
        lines = lines[-options.lines :]
        for line in () if output.as_json else lines:
            output.text(" ".join(str(line.get(name, "")) for name in ("timestamp", "level", "service", "message")))
            if "exception" in line:
                output.text(str(line["exception"]))
        output.result(lines)
        if not lines:
            output.text("There is no such line.")
    return 0


def _lines(lake: Lake, run_id: str | None) -> Iterator[dict[str, Any]]:
    """Read what the functions of the stack logged; of a run, also the errors that Lambda logged in its time."""
    logs = lake.client("logs")
    asked = _time_of(lake, run_id) if run_id else {}
    for group in lake.resources("AWS::Logs::LogGroup"):
        # Step Functions and EventBridge have log groups too.
        if group.startswith(("/aws/vendedlogs/", "/aws/events/")):
            continue
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, **asked):
            for event in page["events"]:
                for text in event["message"].splitlines():
                    line = _read(text, event["timestamp"], group)
                    if line and (run_id is None or run_id in text or line["message"] == text):
                        yield line


def _time_of(lake: Lake, run_id: str) -> dict[str, int]:
    """Return the start and the end of a run in milliseconds, as a filter of log events."""
    states = lake.client("stepfunctions")
    arn = f"{lake.outputs['StateMachineArn'].replace(':stateMachine:', ':execution:')}:{run_id}"
    try:
        execution = states.describe_execution(executionArn=arn)
    except states.exceptions.ExecutionDoesNotExist:
        raise CommandError(f"{lake.title} has no run {run_id}; list its runs with: ./imagelake status") from None
    ended_at = execution.get("stopDate", datetime.now(UTC))
    # A function may log its last lines a little later.
    return {
        "startTime": int(execution["startDate"].timestamp() * 1000),
        "endTime": int((ended_at + timedelta(minutes=1)).timestamp() * 1000),
    }


def _read(text: str, milliseconds: int, group: str) -> dict[str, Any] | None:
    """Read a line of a function, which is JSON with a level, or of Lambda; only its errors are of interest."""
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    try:
        line = json.loads(text)
    except ValueError:
        if _ERROR.search(text) is None:
            return None
        line = {"level": "ERROR", "service": _service(group), "message": text}
    if not isinstance(line, dict) or not line.keys() >= {"level", "service"}:
        return None
    # The line was written before CloudWatch received it.
    with suppress(KeyError, TypeError, ValueError):
        time = datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S,%f%z").astimezone(UTC)
    return {"message": ""} | line | {"timestamp": time.isoformat(timespec="milliseconds")}


def _service(group: str) -> str:
    """Return the name that a function has in its own lines: ``check_input`` for a group ``…CheckInputLogGroup…``."""
    match = _LOG_GROUP.search(group)
    return re.sub("(?<!^)(?=[A-Z])", "_", match[1]).lower() if match else group
