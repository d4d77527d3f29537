"""The notification in plain text: what happened, the most frequent errors, where to look and how to resume."""

from __future__ import annotations

from collections.abc import Mapping

from imagelake.lake import object_keys
from imagelake.lake.rows import Status
from imagelake.run.console import Console
from report.coverage_lines import coverage_lines, money_lines
from report.next_steps import how_to_resume, how_to_retry
from report.run_coverage import Coverage
from report.summary import FeedSummary, Summary, count

_MAX_ERRORS = 10
# Pipeline Failed shows the message as its cause, whose length is limited.
_MAX_LINES = 20
# A gap's line has the name of its feed twice.
_MAX_GAPS = 10
# It has to have less than 100 characters: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_MAX_SUBJECT = 99
# A failure is in capitals, so that it is seen in a list of mails.
HEADLINES = {"ok": "ok", "partial": "partial", "failed": "FAILED"}


def subject(summary: Summary) -> str:
    """Write the subject: at most 99 printable ASCII characters."""
    run = summary.run
    text = f"Imagelake {run.dt} {_headline(summary)}"
    named = f"{text} ({run.run_id})".encode("ascii", "replace").decode()
    return named if len(named) <= _MAX_SUBJECT else text[:_MAX_SUBJECT]


def message(
    summary: Summary, coverage: Coverage, bucket: str, runbook: str, since: Mapping[str, str] | None = None
) -> str:
    """Write the message; ``since`` has the first day of each older problem, by feed id."""
    run = summary.run
    problems = [feed for feed in summary.feeds if feed.problem is not None]
    sections = [
        f"Imagelake run {run.run_id} for {run.dt} {_headline(summary)}.",
        "Images: " + ", ".join(f"{number} {name}" for name, number in summary.totals.items()),
        _section("Feeds that need attention", _first([_problem_line(feed, since or {}) for feed in problems])),
        _section("Warnings", _first(summary.warnings)),
        _section("Left out before download", _first(summary.left_out)),
        _section("Backfill", _first(summary.backfills)),
        _section("Billed by the networks", _first(summary.bills)),
        _section("Coverage", _first(coverage_lines(coverage), _MAX_GAPS)),
        _section("Cost", money_lines(coverage.run_row)),
        _section("Top errors", [f"{number} x {code}" for code, number in list(summary.errors.items())[:_MAX_ERRORS]]),
        _section("Where to look", _links(summary, bucket, runbook)),
        _section("How to resume", how_to_resume(summary)),
        _section("How to retry temporary failures", how_to_retry(summary)),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _headline(summary: Summary) -> str:
    """Name the outcome and what matters most: ``FAILED: 10 of 11 feeds failed, 3 new images``."""
    facts = _feed_facts(summary) or _item_facts(summary)
    images = count(summary.totals[Status.OK], "new image", "new images")
    return f"{HEADLINES[summary.outcome]}: {', '.join([*facts, images])}"


def _feed_facts(summary: Summary) -> list[str]:
    busy = sum(feed.is_busy for feed in summary.feeds)
    numbers = {
        "failed": sum(feed.status == "failed" for feed in summary.feeds) - busy,
        "incomplete": sum(feed.status == "incomplete" for feed in summary.feeds),
        "busy": busy,
    }
    feeds = count(len(summary.feeds), "feed", "feeds")
    return [f"{number} of {feeds} {status}" for status, number in numbers.items() if number]


def _item_facts(summary: Summary) -> list[str]:
    if missing := summary.totals[Status.FAILED] + summary.totals[Status.REJECTED]:
        return [f"{missing} of {count(summary.totals['planned'], 'image', 'images')} failed or rejected"]
    return [count(len(summary.warnings), "warning", "warnings")] if summary.warnings else []


def _section(title: str, lines: list[str]) -> str:
    return "\n".join([f"{title}:", *(f"  {line}" for line in lines)]) if lines else ""


def _first(lines: list[str], most: int = _MAX_LINES) -> list[str]:
    """Take the first lines, and say how many there are more."""
    rest = len(lines) - most
    return lines[:most] + ([f"and {rest} more: see the report"] if rest > 0 else [])


def _problem_line(feed: FeedSummary, since: Mapping[str, str]) -> str:
    assert feed.problem is not None
    open_batches = f" ({count(len(feed.open), 'batch', 'batches')} open)" if feed.open else ""
    first_day = f" since {since[feed.feed_id]}" if feed.feed_id in since else ""
    return f"{feed.name}: {feed.status}{first_day}{open_batches}: {feed.problem.error}: {feed.problem.message}"


def _links(summary: Summary, bucket: str, runbook: str) -> list[str]:
    run = summary.run
    console = Console.of(run.execution_arn)
    rejects = [f"Rejects:   {console.folder(bucket, 'rejects/')}"] if summary.left_out else []
    return [
        # Relay Alert shows the first URL as a link of its own.
        f"Execution: {console.execution(run.execution_arn)}",
        f"Report:    {console.object(bucket, object_keys.html_report(run.run_id))}",
        f"Objects:   {console.folder(bucket, object_keys.report_prefix(run))}",
        f"Lake:      {console.object(bucket, object_keys.GLANCE_PAGE)}",
        *rejects,
        f"Runbook:   {runbook}",
    ]
