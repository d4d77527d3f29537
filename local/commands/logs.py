"""``imagelake logs``: the lines that the functions have logged."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from local.arguments import add_lake, number, open_lake
from local.lake import Lake
from local.output import Output

HELP = "print the lines that the functions have logged"
EXAMPLES: tuple[str, ...] = ("imagelake logs run-20261128T053000", "imagelake logs --problems --stack imagelake")
_PROBLEMS = ("WARNING", "ERROR", "CRITICAL")


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
        lines = sorted(_lines(lake, options.run_id), key=lambda line: str(line["timestamp"]))
        if options.problems:
            lines = [line for line in lines if line.get("level") in _PROBLEMS]
        lines = lines[-options.lines :]
        for line in () if output.as_json else lines:
            output.text(" ".join(str(line.get(name, "")) for name in ("timestamp", "level", "service", "message")))
        for line in () if output.as_json else lines:
            if "exception" in line:
                output.text(str(line["exception"]))
        output.result(lines)
        if not lines:
            output.text("There is no such line.")
    return 0


def _lines(lake: Lake, run_id: str | None) -> Iterator[dict[str, Any]]:
    """Read what the functions of the stack logged; their lines are JSON objects, and those of Lambda are not shown."""
    logs = lake.client("logs")
    asked = {"filterPattern": f'"{run_id}"'} if run_id else {}
    for group in lake.resources("AWS::Logs::LogGroup"):
        # Step Functions and EventBridge have log groups too.
        if group.startswith(("/aws/vendedlogs/", "/aws/events/")):
            continue
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group, **asked):
            for event in page["events"]:
                yield from _read(event["message"])


def _read(message: str) -> Iterator[dict[str, Any]]:
    for text in message.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        # A line without a level has metrics.
        if isinstance(line, dict) and "level" in line:
            yield line | {"timestamp": line.get("timestamp", "")}
