"""``imagelake retry``: download the failed images of a run again."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from local.arguments import add_lake, open_lake
from local.commands.run import finish
from local.output import Output
from local.runs import find_run, start_run

HELP = "download the failed images of a run again, and replace their rows"
EXAMPLES: tuple[str, ...] = (
    "imagelake retry run-20261128T053000",
    "imagelake retry run-20261128T053000 --code timed_out --code server_error --stack imagelake",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_id", metavar="RUN", help="the run, as imagelake status names it")
    add_lake(parser)
    parser.add_argument(
        "--code", action="append", metavar="CODE",
        help="an error code to retry; repeatable (default: those of temporary failures)",
    )  # fmt: skip


def main(options: Namespace, output: Output) -> int:
    """Start the run that retries, and follow it to its end; returns 0 if it succeeded, else 1."""
    with open_lake(options) as lake:
        lake.prepare([])
        report = json.loads(lake.read(f"reports/{find_run(lake, options.run_id)}/run.json") or b"{}")
        retried = {"run_id": options.run_id} | ({"error_codes": options.code} if options.code else {})
        feeds = [feed["config"] for feed in report["feeds"] if feed["config"] is not None]
        result = start_run(lake, {"feeds": feeds, "retry": retried}, "retry", output)
        return finish(lake, result, output)
