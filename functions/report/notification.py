"""The notification in plain text: what happened, the most frequent errors, where to look and how to resume."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from imagelake.lake import object_keys
from imagelake.run.errors import RETRYABLE_CODES
from imagelake.run.masking import mask
from report.summary import FeedSummary, Summary

_MAX_ERRORS = 10
# Pipeline Failed shows the message as its cause, whose length is limited.
_MAX_FEEDS = 20
_MAX_SUBJECT = 100  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
HEADLINES = {"ok": "complete", "partial": "complete with gaps", "failed": "FAILED"}


def subject(summary: Summary) -> str:
    """Write the subject: at most 100 printable ASCII characters."""
    run = summary.run
    images = _count(summary.totals["ok"], "new image", "new images")
    text = f"Imagelake {run.dt}: {HEADLINES[summary.outcome]}, {images} ({run.run_id})"
    return text.encode("ascii", "replace").decode()[:_MAX_SUBJECT]


def message(summary: Summary, bucket: str, since: Mapping[str, str] | None = None) -> str:
    """Write the message; ``since`` has the first day of each older problem, by feed id."""
    run = summary.run
    problems = [feed for feed in summary.feeds if feed.problem is not None]
    sections = [
        f"Imagelake run {run.run_id} for {run.dt}: {HEADLINES[summary.outcome]}.",
        "Images: " + ", ".join(f"{number} {name}" for name, number in summary.totals.items()),
        _section("Feeds that need attention", _problem_lines(problems, since or {})),
        _section("Warnings", summary.warnings),
        _section("Billed by the networks", summary.bills),
        _section("Top errors", [f"{number} x {code}" for code, number in list(summary.errors.items())[:_MAX_ERRORS]]),
        _section("Where to look", _links(summary, bucket)),
        _section("How to resume", _how_to_resume(summary)),
        _section("How to retry temporary failures", _how_to_retry(summary)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)]) if lines else ""


def _problem_lines(feeds: list[FeedSummary], since: Mapping[str, str]) -> list[str]:
    rest = len(feeds) - _MAX_FEEDS
    last = [f"and {rest} more: see the report"] if rest > 0 else []
    return [_problem_line(feed, since) for feed in feeds[:_MAX_FEEDS]] + last


def _problem_line(feed: FeedSummary, since: Mapping[str, str]) -> str:
    assert feed.problem is not None
    open_batches = f" ({_count(len(feed.open), 'batch', 'batches')} open)" if feed.open else ""
    first_day = f" since {since[feed.feed_id]}" if feed.feed_id in since else ""
    return f"{feed.name}: {feed.status}{first_day}{open_batches}: {feed.problem.error}: {feed.problem.message}"


def _links(summary: Summary, bucket: str) -> list[str]:
    run = summary.run
    region = run.execution_arn.split(":")[3]
    return [
        f"Execution: https://{region}.console.aws.amazon.com/states/home?region={region}"
        f"#/v2/executions/details/{run.execution_arn}",
        f"Report:    s3://{bucket}/{object_keys.html_report(run)}",
        f"Failures:  s3://{bucket}/{object_keys.failures_prefix(run.run_id)}",
    ]


def _how_to_resume(summary: Summary) -> list[str]:
    unfinished = [feed for feed in summary.feeds if feed.problem is not None and not feed.is_busy]
    if unfinished:
        # A removed feed has no definition. Every run that takes its feeds from the parameter resumes it.
        feeds = [feed.config for feed in unfinished if feed.config is not None]
        run_input = {"feeds": feeds} if feeds else {}
        return [
            "Nothing is lost: the next run, scheduled or started by hand, resumes open batches and reads unread posts:",
            _start_command(summary, run_input),
            "docs/runbook.md explains each error and how to fix it.",
        ]
    if any(feed.is_busy for feed in summary.feeds):
        return ["Nothing to do: another run is already processing the busy feeds."]
    if summary.warnings:
        return ["Look at the warnings above; no run has to be repeated for them."]
    return ["Nothing to do: the failed items are in the dataset, with their error codes."]


def _how_to_retry(summary: Summary) -> list[str]:
    codes = [code for code in RETRYABLE_CODES if code in summary.errors]
    if not codes:
        return []
    feeds = [
        feed.config for feed in summary.feeds if feed.config is not None and not feed.errors.keys().isdisjoint(codes)
    ]
    if not feeds:
        return []
    retry = {"feeds": feeds, "retry": {"run_id": summary.run.run_id, "error_codes": codes}}
    return [
        "This works for 14 days. It requests the failed images again and reads no new posts:",
        _start_command(summary, retry),
    ]


def _start_command(summary: Summary, execution_input: dict[str, Any]) -> str:
    machine = summary.run.execution_arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    text = json.dumps(execution_input)
    masked = mask(text)
    hint = "" if masked == text else " (first put the values back in place of REDACTED)"
    return f"aws stepfunctions start-execution --state-machine-arn {machine} --input {shlex.quote(masked)}{hint}"


def _count(number: int, singular: str, plural: str) -> str:
    return f"{number} {singular if number == 1 else plural}"
