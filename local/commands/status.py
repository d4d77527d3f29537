"""``imagelake status``: the newest runs, what is missing, open batches and unfinished erasures."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import Any

from local.arguments import add_lake, number, open_lake
from local.erasures import Unfinished, command_to_finish, unfinished_erasures
from local.follow import failure_message
from local.lake import Lake
from local.output import Output
from local.runs import list_runs, run_again, show_gaps, show_numbers

HELP = "show the newest runs, what is missing, open batches and unfinished erasures"
EXAMPLES: tuple[str, ...] = ("imagelake status", "imagelake status --stack imagelake --json")

_TIMELINE = ".coverage.json"
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
        gaps = _open_gaps(lake, runs)
        if gaps:
            output.text("Open gaps, which no run has read:")
        for gap in gaps:
            until = f", lost after {gap['recoverable_until'][:16]} UTC" if gap["recoverable_until"] else ""
            output.text(f"  {gap['feed']}: {gap['start'][:16]} to {gap['end'][:16]} UTC ({gap['reason']}){until}")
        total = open_batches.total()
        output.text(f"Open batches: {run_again(total, lake) if total else 'none'}")
        for feed_id, batches in sorted(open_batches.items()):
            key = next(key for key in keys if key.startswith(f"open/{feed_id}/"))
            output.text(f"  {_name(lake.read(key), feed_id)}: {batches}")
        erasures = [_erasure(one, lake, output) for one in unfinished_erasures(lake)]
        rebuild = _last_rebuild(lake)
        if rebuild is not None:
            output.text(_rebuild_line(rebuild, lake))
        output.result(
            {
                "runs": runs,
                "gaps": gaps,
                "open_batches": dict(open_batches),
                "unfinished_erasures": erasures,
                "last_rebuild": rebuild,
            }
        )
    return 0


def _open_gaps(lake: Lake, runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the gaps of all feeds that can still be filled, from what reports have stored for the next run."""
    names = {feed.get("feed_id"): feed["feed"] for run in reversed(runs) for feed in run["feeds"]}
    keys = [entry["Key"] for entry in lake.objects("reports/_feeds/") if entry["Key"].endswith(_TIMELINE)]
    feed_ids = {key: key.rpartition("/")[2].removesuffix(_TIMELINE) for key in keys}
    found = [
        {"feed": names.get(feed_id, feed_id), "feed_id": feed_id, **gap}
        for key, feed_id in feed_ids.items()
        for gap in json.loads(lake.read(key) or b"{}").get("gaps", [])
    ]
    return sorted(found, key=lambda gap: (gap["recoverable_until"] or "9999", gap["start"]))


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


def _erasure(one: Unfinished, lake: Lake, output: Output) -> dict[str, Any]:
    """Show an erasure that is not finished, without what its request names; return it for programs."""
    finish = command_to_finish(one.erasure_id, lake)
    state = "in progress; if it stops, finish it" if one.is_in_progress else "unfinished; finish it"
    reference, reason = one.request["reference"], one.request["reason"]
    output.text(f"Erasure {one.erasure_id} ({reference}, {reason}) is {state}: {finish}")
    return {
        "erasure_id": one.erasure_id,
        "reference": reference,
        "reason": reason,
        "in_progress": one.is_in_progress,
        "finish": finish,
    }


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
