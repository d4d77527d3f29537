"""The notification: what happened, the top errors, where to look and how to resume, as plain text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from imagelake.lake import object_keys
from imagelake.run.errors import RETRYABLE_CODES
from report.summary import FeedSummary, Summary

_TOP = 10
# Pipeline Failed shows the message as its cause, and a cause has an end.
_MOST_FEEDS = 20
_SUBJECT = 100  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_HEADLINES = {"ok": "complete", "partial": "complete with gaps", "failed": "FAILED"}


def subject(summary: Summary) -> str:
    """At most 100 printable ASCII characters."""
    run = summary.run
    text = f"Imagelake {run.dt}: {_HEADLINES[summary.outcome]}, {summary.totals['ok']} new images ({run.run_id})"
    return text.encode("ascii", "replace").decode()[:_SUBJECT]


def digest(summary: Summary, bucket: str, since: Mapping[str, str] | None = None) -> str:
    """The whole message; ``since`` has the day on which a feed's problem began, by feed id, if it was before."""
    run = summary.run
    region = run.execution_arn.split(":")[3]
    sections = [
        f"Imagelake run {run.run_id} for {run.dt}: {_HEADLINES[summary.outcome]}.",
        "Images: " + ", ".join(f"{number} {name}" for name, number in summary.totals.items()),
        _block(
            "Feeds that need attention",
            _problems([feed for feed in summary.feeds if feed.problem is not None], since or {}),
        ),
        _block("Warnings", summary.warnings),
        _block("Billed by the networks", summary.bills),
        _block("Top errors", [f"{number} x {code}" for code, number in list(summary.errors.items())[:_TOP]]),
        _block(
            "Where to look",
            [
                f"Execution: https://{region}.console.aws.amazon.com/states/home?region={region}"
                f"#/v2/executions/details/{run.execution_arn}",
                f"Report:    s3://{bucket}/{object_keys.html_report(run)}",
                f"Failures:  s3://{bucket}/reports/{run.run_id}/failures/",
            ],
        ),
        _block("How to resume", _resume(summary)),
        _block("How to retry what failed and may not fail again", _retry(summary)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _block(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)]) if lines else ""


def _problems(feeds: list[FeedSummary], since: Mapping[str, str]) -> list[str]:
    left = len(feeds) - _MOST_FEEDS
    more = [f"and {left} more: see the report"] if left > 0 else []
    return [_problem(feed, since) for feed in feeds[:_MOST_FEEDS]] + more


def _problem(feed: FeedSummary, since: Mapping[str, str]) -> str:
    assert feed.problem is not None
    opened = f" ({len(feed.open)} batches open)" if feed.open else ""
    began = f" since {since[feed.feed_id]}" if feed.feed_id in since else ""
    return f"{feed.name}: {feed.status}{began}{opened}: {feed.problem.error}: {feed.problem.message}"


def _resume(summary: Summary) -> list[str]:
    feeds = [feed.config for feed in summary.feeds if feed.problem is not None and not feed.is_busy]
    if not feeds and any(feed.is_busy for feed in summary.feeds):
        return ["Nothing to do: another run is at work on what is busy, and what is newer is the next run's."]
    if not feeds and summary.warnings:
        return ["See to the warnings above; nothing has to be run again for them."]
    if not feeds:
        return ["Nothing to do: the items named by code are rows of the dataset with their reason."]
    return [
        "Nothing is lost: open batches and unread posts are taken up by the next run, scheduled or started by hand:",
        _start(summary, {"feeds": feeds}),
        "What each error means and how to mend it: docs/runbook.md",
    ]


def _retry(summary: Summary) -> list[str]:
    codes = [code for code in RETRYABLE_CODES if code in summary.errors]
    if not codes:
        return []
    feeds = [feed.config for feed in summary.feeds if not feed.errors.keys().isdisjoint(codes)]
    again = {"feeds": feeds, "retry": {"run_id": summary.run.run_id, "error_codes": codes}}
    return ["Within 14 days; it asks for these pictures once more and reads no new posts:", _start(summary, again)]


def _start(summary: Summary, given: dict[str, Any]) -> str:
    machine = summary.run.execution_arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
    return f"aws stepfunctions start-execution --state-machine-arn {machine} --input {shlex.quote(json.dumps(given))}"
