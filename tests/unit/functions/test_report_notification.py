"""Report: the subject, the links, and next steps that can succeed."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

import check_input.app
from imagelake.lake.rows import Status
from imagelake.run.models import FeedEntry, Retry, Run
from report.app import handler
from tests.support.factories import ENTRY, OTHER_ENTRY, RUN, Context, event, failed, item, keep_plan, plan, up_to_date
from tests.support.fake_lake import Lake
from tests.support.feed_results import closed, done

RETRY = RUN.model_copy(update={"run_id": "again", "retry": Retry(run_id="daily-2026-03-31")})


def report(*results: dict[str, Any], run: Run = RUN) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("report", run=run, results=list(results)), Context())
    return answer


def entries(number: int) -> list[FeedEntry]:
    names = [f"bluesky:user{n}.example" for n in range(number)]
    return [FeedEntry(feed_id=f"feed-{n}", name=name, config=name) for n, name in enumerate(names)]


def section(answer: dict[str, Any], title: str) -> list[str]:
    """Return the lines of a section of the message, without their indent."""
    _, _, text = answer["message"].partition(f"\n{title}:\n")
    return [line.strip() for line in text.split("\n\n")[0].splitlines()]


def inputs(answer: dict[str, Any]) -> list[Any]:
    """Return the execution inputs of the commands in a message."""
    commands = [line for line in answer["message"].splitlines() if "start-execution" in line]
    return [json.loads(shlex.split(command)[shlex.split(command).index("--input") + 1]) for command in commands]


# ---- The outcome and its subject -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("good", "bad", "outcome"),
    [
        (1, 10, "failed"),
        (1, 2, "failed"),
        # The default tolerates half of the feeds.
        (1, 1, "partial"),
        (6, 5, "partial"),
        (5, 6, "failed"),
        (10, 1, "partial"),
        (0, 1, "failed"),
    ],
)
def test_run_fails_if_more_of_its_feeds_fail_than_are_tolerated(lake: Lake, good: int, bad: int, outcome: str) -> None:
    feeds = entries(good + bad)
    answer = report(*map(up_to_date, feeds[:good]), *(failed(feed=feed) for feed in feeds[good:]))
    assert answer["outcome"] == outcome
    assert answer["error"] == ("RunFailed" if outcome == "failed" else None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tolerance", "outcome"), [("0", "failed"), ("90", "failed"), ("91", "partial"), ("99", "partial")]
)
def test_tolerance_of_a_run_is_a_setting(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tolerance: str, outcome: str
) -> None:
    monkeypatch.setenv("RUN_FAILURE_TOLERANCE_PERCENT", tolerance)
    good, *bad = entries(11)
    assert report(up_to_date(good), *(failed(feed=feed) for feed in bad))["outcome"] == outcome


def test_feeds_that_another_run_reads_do_not_fail_the_run(lake: Lake) -> None:
    good, *busy = entries(5)
    answer = report(up_to_date(good), *(failed("FeedBusyError", feed) for feed in busy))
    assert answer["outcome"] == "partial"
    assert answer["subject"].startswith("Imagelake 2026-04-01 partial: 4 of 5 feeds busy, 0 new images")


def test_subject_says_how_many_feeds_failed(lake: Lake) -> None:
    good, *bad = entries(11)
    answer = report(up_to_date(good), *(failed(feed=feed) for feed in bad))
    assert answer["subject"] == "Imagelake 2026-04-01 FAILED: 10 of 11 feeds failed, 0 new images (daily-2026-04-01)"
    assert answer["message"].startswith(
        "Imagelake run daily-2026-04-01 for 2026-04-01 FAILED: 10 of 11 feeds failed, 0 new images.\n"
    )


def test_subject_says_what_is_missing_if_no_feed_failed(lake: Lake) -> None:
    rejected = closed(lake, item("a"), item("b"), statuses=(Status.OK, Status.REJECTED))
    warned = up_to_date(OTHER_ENTRY, stopped_by="posts")
    left = keep_plan(lake, plan(item("open")))
    for results, facts in (
        ([done(lake, rejected)], "1 of 2 images failed or rejected, 1 new image"),
        ([warned], "1 warning, 0 new images"),
        ([done(lake, rejected, left), up_to_date(OTHER_ENTRY)], "1 of 2 feeds incomplete, 1 new image"),
    ):
        assert report(*results)["subject"] == f"Imagelake 2026-04-01 partial: {facts} (daily-2026-04-01)"


# ---- What was left out and where to look -----------------------------------------------------------------------------


def test_message_counts_rejected_posts_and_skipped_media_items(lake: Lake) -> None:
    answer = report(
        up_to_date(ENTRY, rejected_posts=2, skipped_media={"video is not an image": 1200, "image without a URL": 1}),
        up_to_date(OTHER_ENTRY, rejected_posts=1, skipped_media={"video is not an image": 3}),
    )
    assert section(answer, "Left out before download") == [
        "3 rejected posts",
        "1,203 skipped media items: video is not an image",
        "1 skipped media item: image without a URL",
    ]
    assert "Rejects:   https://" in answer["message"]
    page = lake.bucket.get(answer["report_key"]).decode()
    assert "3 rejected posts" in page
    assert "1,203 skipped media items: video is not an image" in page


@pytest.mark.parametrize(
    ("partition", "region", "domain"),
    [
        ("aws", "us-east-1", "console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_message_links_to_the_console_of_its_partition(lake: Lake, partition: str, region: str, domain: str) -> None:
    arn = f"arn:{partition}:states:{region}:123456789012:execution:ImagePipeline:daily-2026-04-01"
    answer = report(failed(), run=RUN.model_copy(update={"execution_arn": arn}))
    console = f"https://{region}.{domain}"
    assert section(answer, "Where to look") == [
        f"Execution: {console}/states/home?region={region}#/v2/executions/details/{arn}",
        f"Report:    {console}/s3/object/lake?region={region}&prefix=reports/daily-2026-04-01/index.html",
        f"Objects:   {console}/s3/buckets/lake?region={region}&prefix=reports/daily-2026-04-01/",
        f"Lake:      {console}/s3/object/lake?region={region}&prefix=reports/index.html",
        "Runbook:   https://example.com/runbook",
    ]


def test_message_has_at_most_twenty_lines_of_each_kind(lake: Lake) -> None:
    warned = [up_to_date(feed, stopped_by="posts", cost_usd=1.0) for feed in entries(23)]
    reasons = {f"reason {number}": 100 - number for number in range(21)}
    answer = report(*warned, up_to_date(ENTRY, skipped_media=reasons))
    for title, number in (("Warnings", 23), ("Billed by the networks", 23), ("Left out before download", 21)):
        *lines, last = section(answer, title)
        assert (len(lines), last) == (20, f"and {number - 20} more: see the report")


# ---- How to resume ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["FeedNotFoundError", "BadFeedError", "BadInputError"])
def test_command_leaves_out_feeds_that_no_run_can_read(lake: Lake, error: str) -> None:
    answer = report(failed(error, ENTRY), failed(), up_to_date(*entries(1)))
    assert inputs(answer) == [{"feeds": [OTHER_ENTRY.config]}]
    last = section(answer, "How to resume")[-1]
    assert last.startswith("No run can succeed for these feeds before you correct")
    assert last.endswith(f": {ENTRY.name}")


@pytest.mark.parametrize("error", ["FeedNotFoundError", "BadFeedError"])
def test_there_is_no_command_if_no_feed_can_succeed(lake: Lake, error: str) -> None:
    assert inputs(report(failed(error, ENTRY))) == []


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("CredentialsError", "put a valid token into the secret"),
        ("StorageDeniedError", "undo the change of the role"),
        ("FeedNotPermittedError", "get the rights"),
        ("ReconciliationError", "compare the two sides"),
        ("RateLimitedError", "wait until the time"),
    ],
)
def test_cause_to_fix_comes_before_the_command(lake: Lake, error: str, fix: str) -> None:
    lines = section(report(failed(error, ENTRY), failed(error)), "How to resume")
    assert lines[0].startswith(f"First, for 2 feeds with {error}: {fix}")
    assert lines[1].startswith("Then the next run")
    assert "start-execution" in lines[2]


def test_error_that_may_be_gone_needs_no_fix(lake: Lake) -> None:
    lines = section(report(failed("SourceUnavailableError")), "How to resume")
    assert lines[0].startswith("Nothing is lost: the next run")


def test_items_with_rows_are_not_resumed_but_retried(lake: Lake) -> None:
    """Their rows are in the dataset, so a new run would not request them again."""
    statuses = (Status.OK, Status.FAILED)
    for code, expected in (
        ("timed_out", [{"feeds": [ENTRY.config], "retry": {"run_id": RUN.run_id, "error_codes": ["timed_out"]}}]),
        ("not_found", []),
    ):
        made = closed(lake, item(f"{code}-1"), item(f"{code}-2"), statuses=statuses, error_code=code)
        answer = report(done(lake, made, tolerance=10))
        assert "TooManyFailures" in answer["message"]
        assert inputs(answer) == expected


def test_command_after_a_retry_is_a_retry(lake: Lake) -> None:
    answer = report(failed(), up_to_date(ENTRY), run=RETRY)
    (given,) = inputs(answer)
    assert given["feeds"] == [OTHER_ENTRY.config]
    assert given["retry"]["run_id"] == "daily-2026-03-31"
    run = check_input.app.handler(event("check_input", input=given), Context())["run"]
    assert Retry.model_validate(run["retry"]) == RETRY.retry
    assert "reads unread posts" not in answer["message"]


def test_retry_of_items_that_failed_again_names_the_newest_run(lake: Lake) -> None:
    made = closed(lake, item("a"), item("b"), statuses=(Status.OK, Status.FAILED), error_code="timed_out")
    (given,) = inputs(report(done(lake, made, run=RETRY, tolerance=100), run=RETRY))
    assert given["retry"] == {"run_id": "again", "error_codes": ["timed_out"]}


def test_retry_of_a_run_that_never_was_is_not_repeated(lake: Lake) -> None:
    cause = json.dumps({"errorMessage": "execution input: retry.run_id: there is neither a list nor a report"})
    assert inputs(report(failed("BadInputError", cause=cause), run=RETRY)) == []


def test_good_run_has_no_next_steps(lake: Lake) -> None:
    message = report(up_to_date())["message"]
    assert "How to resume" not in message


# ---- Backfill and budgets --------------------------------------------------------------------------------------------


def test_backfill_says_how_far_it_has_come_and_its_limit_is_no_warning(lake: Lake) -> None:
    position = {"cursor": "7", "reached_to": "2025-03-02T10:00:00.000000Z", "is_at_end": False}
    one, two, three = entries(3)
    answer = report(
        up_to_date(
            one,
            stopped_by="posts",
            posts=1_000,
            new_posts=7,
            backfill=True,
            backfill_position=position,
            oldest_at="2025-03-01T10:00:00.000000Z",
        ),
        up_to_date(two, posts=1, backfill=True, backfill_position=position, oldest_at="2024-12-01T10:00:00.000000Z"),
        # It began where an earlier one had ended, and read nothing.
        up_to_date(three, backfill=True, backfill_position=position),
    )
    assert section(answer, "Backfill") == [
        "bluesky:user0.example: 1,000 posts read, 7 of them with a new image; back to 2025-03-01; it goes on with the"
        " next run (stopped by: posts)",
        "bluesky:user1.example: 1 post read, none of them with a new image; back to 2024-12-01; it is done",
        "bluesky:user2.example: no posts read; it is done",
    ]
    assert answer["outcome"] == "ok"


def test_used_up_budget_is_one_warning_and_no_failure(lake: Lake) -> None:
    answer = report(up_to_date(stopped_by="budget", cost_usd=1.0, warnings=["x:cats: the budget is used up"]))
    assert section(answer, "Warnings") == ["x:cats: the budget is used up"]
    assert answer["outcome"] == "partial"
