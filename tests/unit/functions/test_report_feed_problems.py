"""Report: a problem of a feed is reported once a day, another problem at once."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.run.models import Run
from report.app import handler
from tests.support.factories import ENTRY, OTHER_ENTRY, RUN, Context, event, failed, up_to_date
from tests.support.fake_lake import Lake

MORNING, NOON, EVENING = (RUN.model_copy(update={"run_id": name}) for name in ("morning", "noon", "evening"))
TOMORROW = RUN.model_copy(update={"run_id": "tomorrow", "dt": "2026-04-02"})


def outcome(run: Run, *results: dict[str, Any]) -> str:
    """The outcome of a run, with ``_again`` if its notification is not sent."""
    answer = handler(event("report", run=run, results=list(results)), Context())
    return str(answer["outcome"]) + ("" if answer["notify"] or answer["outcome"] == "ok" else "_again")


def test_feed_that_fails_all_day_is_notified_once(lake: Lake) -> None:
    assert outcome(MORNING, up_to_date(), failed()) == "partial"
    assert outcome(NOON, up_to_date(), failed()) == "partial_again"
    assert outcome(EVENING, up_to_date(), failed()) == "partial_again"
    assert outcome(TOMORROW, up_to_date(), failed()) == "partial"


def test_run_that_fails_wholly_all_day_is_notified_once(lake: Lake) -> None:
    assert outcome(MORNING, failed()) == "failed"
    assert outcome(NOON, failed()) == "failed_again"
    assert lake.bucket.get_json(object_keys.run_summary(NOON.run_id))["outcome"] == "failed"


def test_report_that_is_retried_notifies_again(lake: Lake) -> None:
    assert outcome(MORNING, up_to_date(), failed()) == "partial"
    assert outcome(MORNING, up_to_date(), failed()) == "partial"


def test_another_error_is_notified_at_once(lake: Lake) -> None:
    outcome(MORNING, up_to_date(), failed())
    assert outcome(NOON, up_to_date(), failed("CredentialsError")) == "partial"


def test_another_feed_with_a_problem_is_notified_at_once_with_all(lake: Lake) -> None:
    outcome(MORNING, up_to_date(), failed())
    answer = handler(event("report", run=NOON, results=[failed(feed=ENTRY), failed()]), Context())
    assert answer["outcome"] == "failed"
    assert OTHER_ENTRY.name in answer["message"]


def test_feed_that_was_well_in_between_is_notified_again(lake: Lake) -> None:
    outcome(MORNING, up_to_date(), failed())
    assert outcome(NOON, up_to_date(), up_to_date(OTHER_ENTRY)) == "ok"
    assert outcome(EVENING, up_to_date(), failed()) == "partial"


def test_warning_is_notified_once_a_day_too(lake: Lake) -> None:
    assert outcome(MORNING, up_to_date(stopped_by="posts")) == "partial"
    assert outcome(NOON, up_to_date(stopped_by="posts")) == "partial_again"


def test_message_says_since_when(lake: Lake) -> None:
    outcome(MORNING, up_to_date(), failed())
    answer = handler(event("report", run=TOMORROW, results=[up_to_date(), failed()]), Context())
    assert f"{OTHER_ENTRY.name}: failed since {RUN.dt}: SourceUnavailableError" in answer["message"]


@pytest.mark.parametrize("run", [MORNING, TOMORROW])
def test_feed_that_is_well_leaves_nothing(lake: Lake, run: Run) -> None:
    assert outcome(run, up_to_date()) == "ok"
    assert not lake.bucket.exists(object_keys.feed_problem(ENTRY.feed_id))


BY_HAND = RUN.model_copy(update={"run_id": "by-hand", "by_hand": True})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([up_to_date()], "ok"),
        ([up_to_date(), failed()], "partial"),
        ([up_to_date(stopped_by="posts")], "partial"),
        ([failed()], "failed"),
    ],
)
def test_run_started_by_hand_always_reports_its_result(
    lake: Lake, results: list[dict[str, Any]], expected: str
) -> None:
    """An operator who fixes something and hears nothing believes that it works."""
    outcome(MORNING, *results)
    for _ in range(2):
        answer = handler(event("report", run=BY_HAND, results=results), Context())
        assert (answer["outcome"], answer["notify"]) == (expected, True)


def test_scheduled_run_without_problems_sends_nothing(lake: Lake) -> None:
    assert handler(event("report", run=MORNING, results=[up_to_date()]), Context())["notify"] is False
