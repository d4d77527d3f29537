"""``imagelake status``: the newest runs, what is missing, and the batches that are open."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import Any

from local.arguments import add_lake, number, open_lake
from local.output import Output
from local.runs import list_runs, show_gaps, show_numbers

HELP = "show the newest runs, what is missing, and the open batches"
EXAMPLES: tuple[str, ...] = ("imagelake status", "imagelake status --stack imagelake --json")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_lake(parser)
    parser.add_argument("--runs", type=number(100), default=10, metavar="N", help="runs to show (default: %(default)s)")


def main(options: Namespace, output: Output) -> int:
    """Show the state of the lake; returns 0, also if something is missing."""
    with open_lake(options) as lake:
        runs = list_runs(lake, options.runs)
        keys = [entry["Key"] for entry in lake.objects("open/")]
        open_batches = Counter(key.split("/")[1] for key in keys if key.endswith(".json"))
        output.text(f"Status of {lake.title}")
        output.table(("run", "started (UTC)", "status", "images"), map(_row, runs), whole=3)
        reported = next((run for run in runs if run["outcome"] is not None), None)
        if reported is not None:
            output.text(f"Missing in {reported['run_id']}: {show_numbers(reported['errors'])}")
            show_gaps(reported, output)
        output.text("Open batches:" + ("" if open_batches else " none"))
        for feed_id, batches in sorted(open_batches.items()):
            output.text(f"  {feed_id}: {batches}")
        output.result({"runs": runs, "open_batches": dict(open_batches)})
    return 0


def _row(run: dict[str, Any]) -> tuple[str, str, str, str]:
    started_at = run["started_at"][:16].replace("T", " ")
    outcome = f"{run['status']}, {run['outcome']}" if run["outcome"] else run["status"]
    return run["run_id"], started_at, outcome, show_numbers(run["totals"])
