"""The metrics of a run: by error, by feed, and the share of items without an image."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from imagelake.run.failures import Failure
from imagelake.run.models import FeedPlan
from imagelake.run.observability import metrics
from report.run_metrics import send_metrics
from report.summary import FeedSummary, Summary
from tests.support.factories import RUN, feed_plan

NOW = datetime(2026, 4, 1, 6, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_metric_is_left() -> Iterator[None]:
    yield
    metrics.clear_metrics()


def feed(name: str, newest_at: str | None, problem: str | None = None) -> FeedSummary:
    plan = FeedPlan.model_validate(feed_plan(bookmark={"newest_id": "1", "newest_at": newest_at or ""}))
    return FeedSummary(
        feed_id=name,
        name=f"bluesky:{name}",
        config=f"bluesky:{name}",
        status="failed" if problem else "complete",
        problem=Failure(error=problem, message="") if problem else None,
        plan=None if newest_at is None else plan,
        counts={},
        errors={},
        open=[],
        closed=[],
    )


def sent(capsys: pytest.CaptureFixture[str], *feeds: FeedSummary, **totals: int) -> list[dict[str, Any]]:
    """Every metric sent, as its dimensions and its value."""
    counts = {
        "planned": sum(totals.values()),
        "shared": 0,
        "ok": 0,
        "duplicate": 0,
        "rejected": 0,
        "failed": 0,
        "erased": 0,
    } | totals
    errors = {"not_found": totals.get("failed", 0)} if totals.get("failed") else {}
    send_metrics(Summary(run=RUN, outcome="ok", totals=counts, errors=errors, feeds=list(feeds)), None, NOW)
    metrics.flush_metrics()
    found = []
    for line in capsys.readouterr().out.splitlines():
        blob = json.loads(line)
        (description,) = blob["_aws"]["CloudWatchMetrics"]
        (names,) = description["Dimensions"]
        for metric in description["Metrics"]:
            dimensions = {name: blob[name] for name in names if name != "service"}
            found.append({"name": metric["Name"], "value": blob[metric["Name"]][0], **dimensions})
    return found


def test_outcome_and_share_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert sent(capsys, ok=14, duplicate=1, rejected=3, failed=2) == [
        {"name": "ItemErrors", "value": 2, "error_code": "not_found"},
        {"name": "RunsOk", "value": 1},
        {"name": "ErrorShare", "value": 25.0},
    ]


def test_share_when_there_are_too_few_items_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert [metric["name"] for metric in sent(capsys, ok=10, rejected=9)] == ["RunsOk"]


def test_age_of_a_feed_is_that_of_its_newest_post(capsys: pytest.CaptureFixture[str]) -> None:
    feeds = [
        feed("fresh", "2026-04-01T04:30:00.000000Z"),
        feed("ahead", "2026-04-01T06:00:01.000000Z"),
        feed("empty", ""),
        feed("gone", None, "FeedNotFoundError"),
    ]
    assert sent(capsys, *feeds)[:-1] == [
        {"name": "FeedAgeHours", "value": 1.5, "feed": "fresh"},
        {"name": "FeedAgeHours", "value": 0.0, "feed": "ahead"},
        {"name": "FeedProblems", "value": 1, "error": "FeedNotFoundError"},
    ]
