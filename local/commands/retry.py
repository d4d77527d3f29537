"""``imagelake retry``: download the failed images of a run again."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from typing import Any

from imagelake.run.errors import RETRYABLE_CODES
from local.arguments import add_lake, error_code, open_lake
from local.commands.run import finish
from local.errors import CommandError
from local.lake import Lake
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
        "--code", action="append", type=error_code, metavar="CODE",
        help="an error code to retry; repeatable (default: those of temporary failures)",
    )  # fmt: skip


def main(options: Namespace, output: Output) -> int:
    """Start the run that retries, and follow it to its end; returns 0 if it succeeded, else 1."""
    with open_lake(options) as lake:
        report = json.loads(lake.read(f"reports/{find_run(lake, options.run_id)}/run.json") or b"{}")
        if fault := _nothing_to_retry(lake, options.run_id, report, options.code):
            raise CommandError(fault)
        lake.prepare([])
        retried = {"run_id": options.run_id} | ({"error_codes": options.code} if options.code else {})
        feeds = [feed["config"] for feed in report["feeds"] if feed["config"] is not None]
        result = start_run(lake, {"feeds": feeds, "retry": retried}, "retry", output)
        return finish(lake, result, output)


def _nothing_to_retry(lake: Lake, run_id: str, report: dict[str, Any], codes: list[str] | None) -> str | None:
    """Say why there is nothing to retry; ``None`` if there is something."""
    keys = [entry["Key"] for entry in lake.objects(f"reports/{run_id}/failures/")]
    items = [json.loads(line) for key in keys for line in (lake.read(key) or b"").splitlines()]
    failed = {item["error_code"] for item in items if item["status"] == "failed"}
    rejected = {item["error_code"] for item in items if item["status"] == "rejected"}
    if failed & set(codes or RETRYABLE_CODES):
        return None
    if not items and any(feed["problem"] for feed in report["feeds"]):
        names = ", ".join(feed["name"] for feed in report["feeds"] if feed["problem"])
        return f"nothing to retry: {names} was not read to its end; run again: ./imagelake run {lake.options}"
    if codes is not None and (wanted := rejected & set(codes)):
        return f"nothing to retry: rejected images ({_names(wanted)}) would be rejected again"
    if not failed:
        return f"nothing to retry: no image of {run_id} failed"
    if codes is not None:
        return f"nothing to retry: no image of {run_id} failed with {_names(codes)}, but with {_names(failed)}"
    return f"nothing to retry: its errors ({_names(failed)}) are permanent; name codes with --code"


def _names(codes: Iterable[str]) -> str:
    return ", ".join(sorted(codes))
