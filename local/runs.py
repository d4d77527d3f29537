"""Runs of a lake: start one, follow it to its end, and read what it reported."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

from local.errors import CommandError
from local.follow import failure_message, follow
from local.lake import Lake
from local.output import Output

# Names of errors, and what helps, in the order in which a user has to do it.
_NEXT_STEPS = {
    "BadFeedError": "name the right feed: {right}",
    "FeedNotFoundError": "name the right feed: {right}",
    "CredentialsError": "put a valid token into the secret and run again: {again}",
    "RateLimitedError": "run again after that time: {again}",
    "FeedBusyError": "wait until the other run ends",
    "SourceUnavailableError": "run again when the network is there: {again}",
    "TooManyFailures": "see why in the report: {report}",
}


def start_execution(states: Any, machine_arn: str, prefix: str, given: dict[str, Any]) -> tuple[str, str]:
    """Start an execution that is named by the present second, and return its ARN and its name."""
    for number in count(1):
        name = f"{prefix}-{datetime.now(UTC):%Y%m%dT%H%M%S}{f'-{number}' if number > 1 else ''}"
        # A short execution may have begun in the same second.
        with suppress(states.exceptions.ExecutionAlreadyExists):
            started = states.start_execution(stateMachineArn=machine_arn, name=name, input=json.dumps(given))
            return started["executionArn"], name
    raise AssertionError("there is always another number")


def start_run(lake: Lake, run_input: dict[str, Any], prefix: str, output: Output) -> dict[str, Any]:
    """Start an execution with this input, show its progress, and return the result of the run."""
    states = lake.client("stepfunctions")
    lake.serve_feeds(run_input.get("feeds", []))
    arn, name = start_execution(states, lake.outputs["StateMachineArn"], prefix, run_input)
    output.text(f"Run {name} in {lake.title}")
    try:
        execution = follow(states, arn, output.console)
    except KeyboardInterrupt:
        output.text(lake.after_interrupt)
        raise
    result = {
        "run_id": name,
        "status": execution["status"],
        "started_at": _utc(execution["startDate"]),
        "execution_arn": arn,
        **summary(lake, name),
    }
    if result["outcome"] is None:
        result["error"] = failure_message(states, arn) or execution.get("error")
    return result


def summary(lake: Lake, run_id: str) -> dict[str, Any]:
    """Read the report of a run: its outcome, counts and feeds; all are empty if there is no report."""
    body = lake.read(f"reports/{run_id}/run.json")
    run = json.loads(body) if body else {"outcome": None, "totals": {}, "errors": {}, "feeds": []}
    feeds = [
        {
            "feed": feed["name"],
            "feed_id": feed["feed_id"],
            "status": feed["status"],
            "problem": f"{feed['problem']['error']}: {feed['problem']['message']}" if feed["problem"] else None,
            "open_batches": len(feed["open"]),
            "posts": feed["plan"]["posts"] if feed["plan"] else None,
            "new_posts": feed["plan"].get("new_posts") if feed["plan"] else None,
            "backfill": bool(feed["plan"] and feed["plan"].get("backfill")),
            "newest_at": feed["plan"]["bookmark"]["newest_at"] if feed["plan"] else None,
        }
        for feed in run["feeds"]
    ]
    return {"outcome": run["outcome"], "totals": run["totals"], "errors": run["errors"], "feeds": feeds}


def list_runs(lake: Lake, most: int) -> list[dict[str, Any]]:
    """List the newest runs, each with its outcome and counts."""
    executions = lake.client("stepfunctions").list_executions(
        stateMachineArn=lake.outputs["StateMachineArn"], maxResults=most
    )["executions"]
    runs = []
    for execution in sorted(executions, key=lambda execution: execution["startDate"], reverse=True):
        stopped_at = execution.get("stopDate")
        runs.append(
            {
                "run_id": execution["name"],
                "status": execution["status"],
                "execution_arn": execution["executionArn"],
                "started_at": _utc(execution["startDate"]),
                "seconds": round((stopped_at - execution["startDate"]).total_seconds(), 1) if stopped_at else None,
                **summary(lake, execution["name"]),
            }
        )
    return runs


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds")


def find_run(lake: Lake, run_id: str | None) -> str:
    """Return the id of a run that has a report: the one that the user named, or the newest."""
    if run_id is None:
        reports = [entry for entry in lake.objects("reports/") if entry["Key"].endswith("/run.json")]
        if not reports:
            raise CommandError(f"{lake.title} has no report yet")
        key: str = max(reports, key=lambda entry: entry["LastModified"])["Key"]
        return key.split("/")[1]
    if lake.read(f"reports/{run_id}/run.json") is None:
        raise CommandError(f"{lake.title} has no report of a run {run_id}; list its runs with: ./imagelake status")
    return run_id


def show_result(result: dict[str, Any], output: Output) -> None:
    """Print the counts of a run and what is missing, then the result for programs."""
    output.console.rule(f"{result['run_id']}: {result['status']}")
    if result["outcome"] is None:
        output.text(f"The run ended before its report: {result['error']}")
    elif result["feeds"] and all(feed["status"] == "up_to_date" for feed in result["feeds"]):
        for feed in result["feeds"]:
            output.text(f"  {feed['feed']}: {_nothing_new(feed)}")
    else:
        output.text(f"Images by status: {show_numbers(result['totals'])}")
        output.text(f"Errors by code: {show_numbers(result['errors'])}")
    show_gaps(result, output)


def _nothing_new(feed: dict[str, Any]) -> str:
    posts, new = feed["posts"] or 0, feed["new_posts"] or 0
    if feed["backfill"]:
        return f"no new images in {_count(posts, 'post')}" if posts else "no posts to read"
    since = f" since {feed['newest_at'][:16].replace('T', ' ')} UTC" if feed["newest_at"] else ""
    text = f"no new images in {_count(new, 'new post')}" if new else f"no new posts{since}"
    return f"{text}; {_count(posts - new, 'known post')} read again" if posts > new else text


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def reason(result: dict[str, Any]) -> str:
    """Say in a sentence why a run failed."""
    failed = [feed for feed in result["feeds"] if feed["problem"]]
    if not failed:
        return str(result.get("error") or f"its status is {result['status']}")
    first = failed[0]
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return f"{first['feed']}: {_problem(first)}{more}"


def _problem(feed: dict[str, Any]) -> str:
    # Most messages begin with the feed.
    return str(feed["problem"]).replace(f": {feed['feed']}: ", ": ", 1)


def next_step(result: dict[str, Any], lake: Lake) -> str:
    """Say what the user can do about a run that failed."""
    errors = [feed["problem"].partition(":")[0] for feed in result["feeds"] if feed["problem"]]
    open_batches = sum(feed["open_batches"] for feed in result["feeds"])
    again = f"./imagelake run {lake.options}"
    if open_batches:
        return run_again(open_batches, lake)
    for error, step in _NEXT_STEPS.items():
        if error in errors:
            return step.format(
                again=again,
                right=f"./imagelake run FEED {lake.options}",
                report=f"./imagelake report {result['run_id']} {lake.options}",
            )
    return f"see ./imagelake logs {result['run_id']} --problems {lake.options}"


def run_again(open_batches: int, lake: Lake) -> str:
    """Say how to continue open batches."""
    batches = "open batch" if open_batches == 1 else "open batches"
    return f"run again, it continues {open_batches} {batches}: ./imagelake run {lake.options}"


def show_numbers(counts: dict[str, int]) -> str:
    """Return counts as text, without those that are zero."""
    return ", ".join(f"{name} {number}" for name, number in counts.items() if number) or "none"


def show_gaps(result: dict[str, Any], output: Output) -> None:
    """Print the feeds of a run that have a problem or open batches."""
    for feed in result["feeds"]:
        if feed["problem"] or feed["open_batches"]:
            batches = f" ({feed['open_batches']} open batches)" if feed["open_batches"] else ""
            output.text(
                f"  {feed['feed']}: {feed['status']}{batches}: {_problem(feed) if feed['problem'] else 'no error'}"
            )
