"""Every state and every branch of the real state machine runs, with the notifications that it publishes.

A case gives the expected paths of the run, of its feed and of each batch: names of states in the order of entry.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import engine as engine_module
from local.engine import Engine
from tests.static.asl import MACHINE, scopes, targets
from tests.workflow.machine import AHEAD, BOOKMARKS, MOCKS, PARAMETER, Machine, Outcome

START = "Has Feeds? > Check Input > For Each Feed"
RUN = f"{START} > Report > Any Failures?"
OK = f"{RUN} > Run Complete"
WARNED = f"{RUN} > Notify Warning > Run Complete With Warnings"
FAILED = f"{RUN} > Notify Failure > Pipeline Failed"
UNSENT = f"{RUN} > Notify Warning > Warning Not Sent"
BROKEN = "Describe Failure > Notify Failure > Pipeline Failed"

FETCHED = "Fetch > Is Rate Limited?"
PLANNED = f"{FETCHED} > Validate > Commit Bookmark"
IDLE = f"{PLANNED} > Anything To Do? > Feed Up To Date"
BATCHED = f"{PLANNED} > Anything To Do? > For Each Batch"
RECONCILED = f"{BATCHED} > Reconcile > Is Complete?"

CLOSED = "Transform > Write Parquet > Map Keys > Batch Closed"
NOT_CLOSED = "Record Failure > Batch Failed"

WARNING_SUBJECT = "Imagelake 2026-11-23: complete with gaps, 2 new images"
FAILURE_SUBJECT = "Imagelake 2026-11-23: FAILED, 0 new images"
BROKEN_SUBJECT = "Imagelake: FAILED before its report"


@dataclass(frozen=True)
class Case:
    """A run and its expected paths. The first word of ``name`` is a test case of ``mocks.json``.

    ``notifications`` are the subjects of the published messages; ``error`` is the error of a failed execution.
    """

    name: str
    run: str
    feed: str = ""
    batches: tuple[str, ...] = ()
    notifications: tuple[str, ...] = ()
    error: str | None = None


def broken(name: str, before: str, error: str, feed: str = "", batches: tuple[str, ...] = ()) -> Case:
    """A run that ends before its report, with the error that was caught."""
    return Case(name, f"{before} > {BROKEN}", feed, batches, notifications=(BROKEN_SUBJECT,), error=error)


def failed(name: str, feed: str, batches: tuple[str, ...] = ()) -> Case:
    """A run whose report says that it failed."""
    return Case(name, FAILED, feed, batches, notifications=(FAILURE_SUBJECT,), error="RunFailed")


def warned(name: str, feed: str, batches: tuple[str, ...]) -> Case:
    """A run whose report says that something is missing."""
    return Case(name, WARNED, feed, batches, notifications=(WARNING_SUBJECT,))


COMPLETE, GAPS = f"{RECONCILED} > Feed Complete", f"{RECONCILED} > Feed Incomplete"
BOTH_CLOSED = (CLOSED, CLOSED)
WITHOUT_FEEDS = "without feeds"
CASES = [
    Case("HappyPath", OK, COMPLETE, BOTH_CLOSED),
    Case(f"HappyPath {WITHOUT_FEEDS}", OK.replace("?", "? > Load Feeds", 1), COMPLETE, BOTH_CLOSED),
    broken(f"ParameterMissing {WITHOUT_FEEDS}", "Has Feeds? > Load Feeds", "Ssm.ParameterNotFoundException"),
    broken("InputRefused", "Has Feeds? > Check Input", "BadInputError"),
    # Paths of one feed to its plan.
    Case("MorePages", OK, f"{FETCHED} > {FETCHED} > {COMPLETE}", BOTH_CLOSED),
    Case("RateLimited", OK, f"{FETCHED} > Wait Until Reset > {COMPLETE}", BOTH_CLOSED),
    Case("SourceComesBack", OK, IDLE),
    Case("NothingToDo", OK, IDLE),
    Case("BookmarkAhead", OK, COMPLETE, BOTH_CLOSED),
    failed("FetchFails", "Fetch > Feed Failed"),
    failed("SourceStaysDown", "Fetch > Feed Failed"),
    failed("ValidateFails", f"{FETCHED} > Validate > Feed Failed"),
    failed("CommitBookmarkFails", f"{PLANNED} > Feed Failed"),
    failed("BatchListMissing", f"{BATCHED} > Feed Failed"),
    failed("ReconcileFails", f"{BATCHED} > Reconcile > Feed Failed", BOTH_CLOSED),
    failed("TooManyFailures", f"{RECONCILED} > Too Many Failures", BOTH_CLOSED),
    # A failed batch stops neither another batch nor its feed.
    warned("TransformFails", GAPS, (f"Transform > {NOT_CLOSED}",) * 2),
    warned("WriteParquetFails", GAPS, (f"Transform > Write Parquet > {NOT_CLOSED}",) * 2),
    warned("MapKeysFails", GAPS, (f"Transform > Write Parquet > Map Keys > {NOT_CLOSED}",) * 2),
    warned("RecordFailureFails", GAPS, (f"Transform > {NOT_CLOSED}",) * 2),
    warned("OneBatchFails", GAPS, (f"Transform > {NOT_CLOSED}", CLOSED)),
    # The run itself breaks, or its notification cannot be sent.
    # The engine breaks on a list that is not JSON; Step Functions would raise States.ItemReaderFailed.
    broken("IterationBreaks", START, "States.MapFailed", BATCHED),
    broken("ReportFails", f"{START} > Report", "StorageDeniedError", COMPLETE, BOTH_CLOSED),
    Case("FailureNotSent", FAILED, COMPLETE, BOTH_CLOSED, error="RunFailed"),
    Case("WarningNotSent", UNSENT, COMPLETE, BOTH_CLOSED, error="WarningNotSent"),
    # An earlier run of the day has sent the same notification.
    Case("WarningToldBefore", f"{RUN} > Run Complete With Warnings", COMPLETE, BOTH_CLOSED),
    Case("FailureToldBefore", f"{RUN} > Pipeline Failed", COMPLETE, BOTH_CLOSED, error="RunFailed"),
]
INNER = {name for scope in scopes(MACHINE) if scope.name for name in scope.states}
Run = Callable[[str], Outcome]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "_PROCESS", Path(__file__).with_name("traced_engine.py"))
        settings = {"SFN_WAIT_SCALE": "0", "SFN_MOCK_CONFIG": str(MOCKS)}
        with Engine(tmp_path_factory.mktemp("engine"), settings=settings) as engine:
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
    assert check_input == {"feeds_parameter": {"name": PARAMETER, "value": '["bluesky:alice.example"]'}}


def test_commit_bookmark_stores_the_newest_post(run: Run, machine: Machine) -> None:
    run("HappyPath")
    item = machine.bookmarks.get_item(TableName=BOOKMARKS, Key={"feed_id": {"S": "alice"}})["Item"]
    assert {name: value["S"] for name, value in item.items()} == {
        "feed_id": "alice",
        "newest_id": "42",
        "newest_at": "2026-11-23T05:00:00Z",
        "run_id": "run",
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
        assert message["Message"] == outcome.cause
    if case == "ReportFails":
        assert "StorageDeniedError" in message["Message"]
        # Not redrive-execution: the error was caught, so a redrive would run only the Fail state again.
        machine = outcome.arn.replace(":execution:", ":stateMachine:").rsplit(":", 1)[0]
        assert f"start-execution --state-machine-arn {machine} " in message["Message"]
    else:
        assert message["Message"].startswith("Imagelake run for 2026-11-23")


def test_every_state_and_every_branch_runs(run: Run) -> None:
    seen: set[tuple[str, str]] = set()
    for case in CASES:
        outcome = run(case.name)
        for scope in scopes(MACHINE):
            for path in (outcome.path, *(batch.path for batch in outcome.batches)):
                names = [name for name in path if name in scope.states]
                seen |= set(zip(["", *names], names, strict=False))
    branches = {
        (name, target)
        for scope in scopes(MACHINE)
        for name, names in [("", [scope.start_at]), *((n, targets(s)) for n, s in scope.states.items())]
        for target in names
    }
    assert seen == branches
