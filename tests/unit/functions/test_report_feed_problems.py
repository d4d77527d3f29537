"""Report: a problem of a feed is reported once a day, another problem at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.run.models import FeedEntry, Run
from report.app import handler
from tests.support.factories import ENTRY, RUN, Context, event, feed_plan
from tests.support.fake_lake import Lake

OTHER = FeedEntry(feed_id="mastodon-x", name="mastodon:x.example#cats", config="mastodon:x.example#cats")
MORNING, NOON, EVENING = (RUN.model_copy(update={"run_id": name}) for name in ("morning", "noon", "evening"))
TOMORROW = RUN.model_copy(update={"run_id": "tomorrow", "dt": "2026-04-02"})


def well(feed: FeedEntry = ENTRY, **plan: Any) -> dict[str, Any]:
    return {"feed": feed.model_dump(), "status": "up_to_date", "plan": feed_plan(**plan)}


def failed(error: str = "SourceUnavailableError", feed: FeedEntry = OTHER) -> dict[str, Any]:
    cause = json.dumps({"errorMessage": "it did not answer"})
    return {"feed": feed.model_dump(), "status": "failed", "error": {"Error": error, "Cause": cause}}


def outcome(run: Run, *results: dict[str, Any]) -> str:
    notified: str = handler(event("report", run=run, results=list(results)), Context())["outcome"]
    return notified


def test_feed_that_fails_all_day_is_notified_once(lake: Lake) -> None:
    assert outcome(MORNING, well(), failed()) == "partial"
    assert outcome(NOON, well(), failed()) == "partial_again"
    assert outcome(EVENING, well(), failed()) == "partial_again"
    assert outcome(TOMORROW, well(), failed()) == "partial"


def test_run_that_fails_wholly_all_day_is_notified_once(lake: Lake) -> None:
    assert outcome(MORNING, failed()) == "failed"
    assert outcome(NOON, failed()) == "failed_again"
    assert lake.bucket.get_json(object_keys.run_summary(NOON.run_id))["outcome"] == "failed"


def test_report_that_is_retried_notifies_again(lake: Lake) -> None:
    assert outcome(MORNING, well(), failed()) == "partial"
    assert outcome(MORNING, well(), failed()) == "partial"


def test_another_error_is_notified_at_once(lake: Lake) -> None:
    outcome(MORNING, well(), failed())
    assert outcome(NOON, well(), failed("CredentialsError")) == "partial"


def test_another_feed_with_a_problem_is_notified_at_once_with_all(lake: Lake) -> None:
    outcome(MORNING, well(), failed())
    answer = handler(event("report", run=NOON, results=[failed(feed=ENTRY), failed()]), Context())
    assert answer["outcome"] == "failed"
    assert OTHER.name in answer["message"]


def test_feed_that_was_well_in_between_is_notified_again(lake: Lake) -> None:
    outcome(MORNING, well(), failed())
    assert outcome(NOON, well(), well(OTHER)) == "ok"
    assert outcome(EVENING, well(), failed()) == "partial"


def test_warning_is_notified_once_a_day_too(lake: Lake) -> None:
    assert outcome(MORNING, well(stopped_by="posts")) == "partial"
    assert outcome(NOON, well(stopped_by="posts")) == "partial_again"


def test_message_says_since_when(lake: Lake) -> None:
    outcome(MORNING, well(), failed())
    answer = handler(event("report", run=TOMORROW, results=[well(), failed()]), Context())
    assert f"{OTHER.name}: failed since {RUN.dt}: SourceUnavailableError" in answer["message"]


@pytest.mark.parametrize("run", [MORNING, TOMORROW])
def test_feed_that_is_well_leaves_nothing(lake: Lake, run: Run) -> None:
    assert outcome(run, well()) == "ok"
    assert not lake.bucket.exists(object_keys.feed_problem(ENTRY.feed_id))
