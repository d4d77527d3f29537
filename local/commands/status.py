"""``imagelake status``: the newest runs, what is missing, and the batches that are open."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import Any

from local.arguments import add_lake, number, open_lake
from local.follow import failure_message
from local.lake import Lake
from local.output import Output
from local.runs import list_runs, run_again, show_gaps, show_numbers

HELP = "show the newest runs, what is missing, and the open batches"
EXAMPLES: tuple[str, ...] = ("imagelake status", "imagelake status --stack imagelake --json")

_FAILED = ("FAILED", "TIMED_OUT", "ABORTED")


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
        if runs and runs[0]["status"] in _FAILED and runs[0]["outcome"] is None:
            output.text(f"{runs[0]['run_id']} failed: {_reason(runs[0], lake)}")
        reported = next((run for run in runs if run["outcome"] is not None), None)
        if reported is not None:
            _show_missing(reported, output)
        total = open_batches.total()
        output.text(f"Open batches: {run_again(total, lake) if total else 'none'}")
        for feed_id, batches in sorted(open_batches.items()):
            key = next(key for key in keys if key.startswith(f"open/{feed_id}/"))
            output.text(f"  {_name(lake.read(key), feed_id)}: {batches}")
        rebuild = _last_rebuild(lake)
        if rebuild is not None:
            output.text(_rebuild_line(rebuild, lake))
        output.result({"runs": runs, "open_batches": dict(open_batches), "last_rebuild": rebuild})
    return 0


def _last_rebuild(lake: Lake) -> dict[str, Any] | None:
    """Read the report of the last rebuild; a dry run is none."""
    entries = sorted(lake.objects("reports/_rebuilds/"), key=lambda entry: entry["LastModified"], reverse=True)
    reports = (json.loads(body) for entry in entries if (body := lake.read(entry["Key"])))
    return next((report for report in reports if not report["rebuild"]["dry_run"]), None)


def _rebuild_line(report: dict[str, Any], lake: Lake) -> str:
    counts, number = report["counts"], len(report["open"])
    line = f"Last rebuild: {report['rebuild_id']}: {report['outcome']}, "
    if number:
        again = f"start it again with the same options: ./imagelake rebuild {lake.options} ..."
        return f"{line}{number} {'file is' if number == 1 else 'files are'} as before; {again}"
    made, stays = counts["ok"] + counts["duplicate"] + counts["rejected"], counts["unreadable"] + counts["kept"]
    return f"{line}{made} new rows in {report['files']} files" + (f", {stays} rows are as before" if stays else "")


def _name(open_marker: bytes | None, feed_id: str) -> str:
    """Return the name and the id of the feed of an open batch; another run may have finished the batch meanwhile."""
    return f"{json.loads(open_marker)['items'][0]['feed']} ({feed_id})" if open_marker else feed_id


def _reason(run: dict[str, Any], lake: Lake) -> str:
    """Say why a run without a report ended."""
    if run["status"] == "ABORTED":
        return "it was stopped before its report"
    return failure_message(lake.client("stepfunctions"), run["execution_arn"]) or f"its status is {run['status']}"


def _show_missing(run: dict[str, Any], output: Output) -> None:
    has_gaps = any(feed["problem"] or feed["open_batches"] for feed in run["feeds"])
    missing = show_numbers(run["errors"]) if run["errors"] or not has_gaps else ""
    output.text(f"Missing in {run['run_id']}: {missing}".rstrip())
    show_gaps(run, output)


def _row(run: dict[str, Any]) -> tuple[str, str, str, str]:
    started_at = run["started_at"][:16].replace("T", " ")
    adds = run["outcome"] and run["outcome"] != run["status"].lower()
    status = f"{run['status']}, {run['outcome']}" if adds else run["status"]
    return run["run_id"], started_at, status, show_numbers(run["totals"])
