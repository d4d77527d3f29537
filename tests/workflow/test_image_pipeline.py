"""Every state and every branch of the real state machine runs, with the notifications that it publishes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.engine import Engine
from tests.support import watched_engine
from tests.support.asl import MACHINE
from tests.workflow.cases import CASES, INNER, WARNED, WITHOUT_FEEDS, Case
from tests.workflow.machine import AHEAD, BOOKMARKS, MOCKS, PARAMETER, Machine, Outcome, untaken_branches

Run = Callable[[str], Outcome]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    settings = {"SFN_WAIT_SCALE": "0", "SFN_MOCK_CONFIG": str(MOCKS)}
    program = Path(watched_engine.__file__)
    with Engine(tmp_path_factory.mktemp("engine"), settings=settings, program=program) as engine:
        yield Machine(engine)


@pytest.fixture(scope="module")
def run(machine: Machine) -> Run:
    """Run a case by its name, once for all tests."""

    @functools.cache
    def once(name: str) -> Outcome:
        run_input = {} if name.endswith(WITHOUT_FEEDS) else {"feeds": ["bluesky:alice.example"]}
        return machine.run(name.split()[0], run_input)

    return once


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_run_takes_its_path_and_notifies(run: Run, case: Case) -> None:
    outcome = run(case.name)
    assert " > ".join(name for name in outcome.path if name not in INNER) == case.run
    assert " > ".join(name for name in outcome.path if name in INNER) == case.feed
    assert sorted(" > ".join(batch.path) for batch in outcome.batches) == sorted(case.batches)
    assert tuple(message["Subject"] for message in outcome.messages) == case.notifications
    assert (outcome.status, outcome.error) == ("FAILED" if case.error else "SUCCEEDED", case.error)


def test_load_feeds_hands_the_parameter_to_check_input_when_the_input_has_no_feeds(run: Run) -> None:
    check_input = run(f"HappyPath {WITHOUT_FEEDS}").input_of("Check Input")
    assert check_input == {
        "input": {},
        "feeds_parameter": {"name": PARAMETER, "value": '["bluesky:alice.example"]'},
    }


def test_notification_of_a_wrong_input_is_the_sentence_alone(run: Run) -> None:
    outcome = run("InputRefused")
    (message,) = outcome.messages
    assert section(message, "What is wrong") == ["execution input: dt: no such day"]
    assert "stackTrace" not in message["Message"]
    assert "errorType" not in message["Message"]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("CheckInputFails", "StorageDeniedError: s3:PutObject"),
        ("ReportFails", "StorageDeniedError: s3:PutObject"),
        # The cause of an error of AWS is text, which may be anything.
        (f"ParameterMissing {WITHOUT_FEEDS}", "Ssm.ParameterNotFoundException: "),
        ("IterationBreaks", "States.MapFailed: "),
        ("CheckInputTimesOut", "States.Timeout: "),
        ("CheckInputIsGone", "Lambda.ResourceNotFoundException: "),
    ],
)
def test_notification_of_a_run_without_a_report_has_one_sentence(run: Run, case: str, sentence: str) -> None:
    (message,) = run(case).messages
    (line,) = section(message, "What is wrong")
    assert line.startswith(sentence)
    assert "errorType" not in line


@pytest.mark.parametrize("case", ["InputRefused", "CheckInputFails", "IterationBreaks"])
def test_notification_of_a_run_without_a_report_has_the_layout_of_all_others(run: Run, case: str) -> None:
    outcome = run(case)
    (message,) = outcome.messages
    first, *sections = message["Message"].split("\n\n")
    assert first.startswith(f"Imagelake run {outcome.arn.rsplit(':', 1)[1]} FAILED")
    assert [text.partition(":\n")[0] for text in sections] == ["What is wrong", "Where to look", "How to resume"]
    console = "https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/"
    assert section(message, "Where to look") == [
        f"Execution: {console}{outcome.arn}",
        "Runbook:   https://example.com/runbook",
    ]
    assert section(message, "How to resume")[0].startswith("First ")


def section(message: dict[str, str], title: str) -> list[str]:
    """Return the lines of a section of a notification, without their indent."""
    _, _, text = message["Message"].partition(f"\n{title}:\n")
    return [line.strip() for line in text.split("\n\n")[0].splitlines()]


@pytest.mark.parametrize("given", [[], ["x"], "text", 3, None])
def test_input_that_is_no_object_is_handed_to_check_input(machine: Machine, given: object) -> None:
    outcome = machine.run("InputRefused", given)
    assert (outcome.status, outcome.error) == ("FAILED", "BadInputError")
    assert outcome.input_of("Check Input")["input"] == given


def test_commit_bookmark_stores_the_newest_post(run: Run, machine: Machine) -> None:
    run("HappyPath")
    item = machine.bookmarks.get_item(TableName=BOOKMARKS, Key={"feed_id": {"S": "alice"}})["Item"]
    assert item == {
        "feed_id": {"S": "alice"},
        "newest_id": {"S": "42"},
        "newest_at": {"S": "2026-11-23T05:00:00Z"},
        "run_id": {"S": "run"},
        "backfill_cursor": {"S": "the cursor"},
        "backfill_reached_to": {"S": ""},
        "backfill_begun_at": {"S": ""},
        "backfill_is_at_end": {"BOOL": False},
    }


def test_commit_bookmark_does_not_go_back_when_the_bookmark_is_ahead(run: Run, machine: Machine) -> None:
    assert run("BookmarkAhead").failed_attempts() == ["DynamoDB.ConditionalCheckFailedException"]
    assert machine.bookmarks.get_item(TableName=BOOKMARKS, Key={"feed_id": AHEAD["feed_id"]})["Item"] == AHEAD


@pytest.mark.parametrize(
    ("case", "attempts"),
    [
        ("SourceStaysDown", ["SourceUnavailableError"] * 5),
        ("SourceComesBack", ["SourceUnavailableError"]),
        # A retry cannot help.
        ("FetchFails", ["FeedNotFoundError"]),
        ("CommitBookmarkFails", ["DynamoDB.ResourceNotFoundException"]),
    ],
)
def test_step_is_retried_when_that_can_help(run: Run, case: str, attempts: list[str]) -> None:
    assert run(case).failed_attempts() == attempts


@pytest.mark.parametrize(
    ("case", "status", "error"),
    [
        ("HappyPath", "complete", None),
        ("NothingToDo", "up_to_date", None),
        ("TransformFails", "incomplete", None),
        ("TooManyFailures", "failed", None),
        ("FetchFails", "failed", "FeedNotFoundError"),
        ("ValidateFails", "failed", "StorageDeniedError"),
        ("CommitBookmarkFails", "failed", "DynamoDB.ResourceNotFoundException"),
        ("BatchListMissing", "failed", "States.ItemReaderFailed"),
        ("ReconcileFails", "failed", "ReconciliationError"),
    ],
)
def test_report_gets_the_result_of_a_feed(run: Run, case: str, status: str, error: str | None) -> None:
    (result,) = run(case).input_of("Report")["results"]
    assert result["feed"]["feed_id"] == "alice"
    assert (result["status"], result.get("error", {}).get("Error")) == (status, error)


@pytest.mark.parametrize(
    ("case", "errors"),
    [
        ("TransformFails", {"ObjectMissingError"}),
        ("WriteParquetFails", {"Runtime.ExitError"}),
        ("MapKeysFails", {"StorageDeniedError"}),
        # The error of Transform, not the StorageDeniedError of Record Failure.
        ("RecordFailureFails", {"ObjectMissingError"}),
        ("OneBatchFails", {"ObjectMissingError", None}),
    ],
)
def test_batch_fails_with_the_error_of_its_step(run: Run, case: str, errors: set[str | None]) -> None:
    assert {batch.error for batch in run(case).batches} == errors


def test_feed_stops_no_other_when_it_fails(run: Run) -> None:
    outcome = run("OneFeedFails")
    gone, fine = outcome.input_of("Report")["results"]
    assert (gone["feed"]["feed_id"], gone["status"], gone["error"]["Error"]) == ("alice", "failed", "FeedNotFoundError")
    assert (fine["feed"]["feed_id"], fine["status"]) == ("bob", "up_to_date")
    assert " > ".join(name for name in outcome.path if name not in INNER) == WARNED
    assert outcome.status == "SUCCEEDED"


@pytest.mark.parametrize("case", ["TransformFails", "ReportFails", "TooManyFailures"])
def test_message_is_that_of_the_report_or_of_the_failure(run: Run, case: str) -> None:
    outcome = run(case)
    (message,) = outcome.messages
    if outcome.error:
        # The message names feeds, and causes are logged.
        assert message["Subject"] == outcome.cause
    if case == "ReportFails":
        assert "StorageDeniedError" in message["Message"]
        # Not redrive-execution: the error was caught, so a redrive would run only the Fail state again.
        machine = outcome.arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
        assert f"start-execution --state-machine-arn {machine}\n" in message["Message"]
    else:
        assert message["Message"].startswith("Imagelake run for 2026-11-23")


def test_every_state_and_every_branch_runs(run: Run) -> None:
    assert untaken_branches(MACHINE, map(run, (case.name for case in CASES))) == set()
