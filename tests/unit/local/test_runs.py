"""The results of runs: what a user reads about a run that failed, and about one that found nothing new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.commands.run import finish
from local.output import Output
from local.runs import show_result
from local.stack_lake import StackLake

NEWEST = "2026-11-20T10:00:00Z"


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StackLake:
    """A lake that saves nothing."""
    lake = StackLake("s", tmp_path)
    monkeypatch.setattr(lake, "save", lambda run_id, started_at: {})
    return lake


def feed(name: str, problem: str | None = None, **fields: Any) -> dict[str, Any]:
    usual = {"status": "failed" if problem else "complete", "open_batches": 0, "posts": 1, "newest_at": ""}
    usual |= {"new_posts": 1, "backfill": False}
    return {"feed": name, "problem": problem} | usual | fields


def result(*feeds: dict[str, Any], **fields: Any) -> dict[str, Any]:
    usual = {"run_id": "run-1", "status": "FAILED", "outcome": "failed", "started_at": "2026-11-28T05:30:00+00:00"}
    return usual | {"totals": {}, "errors": {}, "feeds": list(feeds)} | fields


@pytest.mark.parametrize(
    ("failed", "sentence"),
    [
        (
            result(feed("x:a", "SourceUnavailableError: x:a: api.example has no IP address")),
            "x:a: SourceUnavailableError: api.example has no IP address;"
            " run again when the network is there: ./imagelake run --stack s",
        ),
        (
            result(feed("x:a", "TooManyFailures: 3 of 4 items failed, more than is tolerated")),
            "x:a: TooManyFailures: 3 of 4 items failed, more than is tolerated;"
            " see why in the report: ./imagelake report run-1 --stack s",
        ),
        (
            result(feed("x:a", "FeedNotFoundError: x:a: gone"), feed("x:b", "FeedNotFoundError: x:b: gone")),
            "x:a: FeedNotFoundError: gone (and 1 more); name the right feed: ./imagelake run FEED --stack s",
        ),
        (
            result(feed("x:a", "BatchDeadlineError: late", status="incomplete", open_batches=6)),
            "x:a: BatchDeadlineError: late; run again, it continues 6 open batches: ./imagelake run --stack s",
        ),
        (
            result(feed("x:a", "BatchDeadlineError: late", status="incomplete", open_batches=1)),
            "x:a: BatchDeadlineError: late; run again, it continues 1 open batch: ./imagelake run --stack s",
        ),
        (
            result(outcome=None, error="execution input: dt: no day"),
            "execution input: dt: no day; see ./imagelake logs run-1 --problems --stack s",
        ),
        (
            result(outcome=None, error=None, status="ABORTED"),
            "its status is ABORTED; see ./imagelake logs run-1 --problems --stack s",
        ),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_failed_run_is_one_sentence_with_the_reason_and_the_next_step(
    failed: dict[str, Any], sentence: str, as_json: bool, lake: StackLake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finish(lake, failed, Output(as_json=as_json)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"error: the run run-1 failed: {sentence}"


def test_run_that_succeeded_writes_no_error(lake: StackLake, capsys: pytest.CaptureFixture[str]) -> None:
    assert finish(lake, result(feed("x:a"), status="SUCCEEDED", outcome="ok"), Output()) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"posts": 0, "new_posts": 0, "newest_at": NEWEST}, "x:a: no new posts since 2026-11-20 10:00 UTC"),
        ({"posts": 0, "new_posts": 0}, "x:a: no new posts"),
        ({"posts": 1, "new_posts": 1}, "x:a: no new images in 1 new post"),
        ({"posts": 7, "new_posts": 7, "newest_at": NEWEST}, "x:a: no new images in 7 new posts"),
        # After a backfill, a run reads known posts again.
        (
            {"posts": 33, "new_posts": 0, "newest_at": NEWEST},
            "x:a: no new posts since 2026-11-20 10:00 UTC; 33 known posts read again",
        ),
        ({"posts": 1, "new_posts": 0}, "x:a: no new posts; 1 known post read again"),
        ({"posts": 34, "new_posts": 1}, "x:a: no new images in 1 new post; 33 known posts read again"),
        ({"posts": 33, "new_posts": 0, "newest_at": NEWEST, "backfill": True}, "x:a: no new images in 33 posts"),
        ({"posts": 0, "new_posts": 0, "newest_at": NEWEST, "backfill": True}, "x:a: no posts to read"),
    ],
)
def test_run_without_new_posts_says_so(
    fields: dict[str, Any], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    up_to_date = feed("x:a", status="up_to_date", **fields)
    show_result(result(up_to_date, status="SUCCEEDED", outcome="ok"), Output())
    out = capsys.readouterr().out
    assert out.splitlines()[-1].strip() == sentence
    assert "none" not in out
