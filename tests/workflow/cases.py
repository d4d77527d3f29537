"""The cases of ``mocks.json`` with the expected paths of the run, of its feed and of each batch.

A path has the names of the states in the order of entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.asl import MACHINE, scopes

START = "Take Input > Has Feeds? > Check Input > For Each Feed"
RUN = f"{START} > Report > Any Failures?"
OK = f"{RUN} > Run Complete"
WARNED = f"{RUN} > Notify Warning > Run Complete With Warnings"
FAILED = f"{RUN} > Notify Failure > Pipeline Failed"
UNSENT = f"{RUN} > Notify Warning > Warning Not Sent"
BY_HAND = f"{RUN} > Notify Success > Run Complete"
BROKEN = "Is Cause JSON? > Read Sentence > Describe Failure > Notify Failure > Pipeline Failed"
BROKEN_BY_AWS = "Is Cause JSON? > Take Whole Error > Describe Failure > Notify Failure > Pipeline Failed"

FETCHED = "Fetch > Is Rate Limited?"
PLANNED = f"{FETCHED} > Validate > Commit Bookmark"
IDLE = f"{PLANNED} > Anything To Do? > Feed Up To Date"
BATCHED = f"{PLANNED} > Anything To Do? > For Each Batch"
RECONCILED = f"{BATCHED} > Reconcile > Is Complete?"

CLOSED = "Transform > Write Parquet > Map Keys > Batch Closed"
NOT_CLOSED = "Record Failure > Batch Failed"

WARNING_SUBJECT = "Imagelake 2026-11-23 partial: 1 of 1 feed incomplete, 2 new images"
FAILURE_SUBJECT = "Imagelake 2026-11-23 FAILED: 1 of 1 feed failed, 0 new images"
GOOD_SUBJECT = "Imagelake 2026-11-23 ok: 4 new images"
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


def broken(
    name: str, before: str, error: str, feed: str = "", batches: tuple[str, ...] = (), end: str = BROKEN
) -> Case:
    """A run that ends before its report, with the error that was caught."""
    return Case(name, f"{before} > {end}", feed, batches, notifications=(BROKEN_SUBJECT,), error=error)


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
    Case("StartedByHand", BY_HAND, COMPLETE, BOTH_CLOSED, notifications=(GOOD_SUBJECT,)),
    Case("OnlyPlan", BY_HAND, f"{FETCHED} > Feed Planned", notifications=(GOOD_SUBJECT,)),
    broken(
        f"ParameterMissing {WITHOUT_FEEDS}",
        "Take Input > Has Feeds? > Load Feeds",
        "Ssm.ParameterNotFoundException",
        end=BROKEN_BY_AWS,
    ),
    Case(
        "InputRefused",
        "Take Input > Has Feeds? > Check Input > Read Cause > Describe Bad Input > Notify Failure > Pipeline Failed",
        notifications=("Imagelake: FAILED, the input is wrong",),
        error="BadInputError",
    ),
    broken("CheckInputFails", "Take Input > Has Feeds? > Check Input", "StorageDeniedError"),
    # An error of AWS may have no cause, or one that only looks like JSON.
    broken("CheckInputTimesOut", "Take Input > Has Feeds? > Check Input", "States.Timeout", end=BROKEN_BY_AWS),
    broken(
        "CheckInputIsGone",
        "Take Input > Has Feeds? > Check Input",
        "Lambda.ResourceNotFoundException",
        end=BROKEN_BY_AWS,
    ),
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
    broken("IterationBreaks", START, "States.MapFailed", BATCHED, end=BROKEN_BY_AWS),
    broken("ReportFails", f"{START} > Report", "StorageDeniedError", COMPLETE, BOTH_CLOSED),
    Case("FailureNotSent", FAILED, COMPLETE, BOTH_CLOSED, error="RunFailed"),
    Case("WarningNotSent", UNSENT, COMPLETE, BOTH_CLOSED, error="WarningNotSent"),
    Case(
        "SuccessNotSent",
        f"{RUN} > Notify Success > Warning Not Sent",
        COMPLETE,
        BOTH_CLOSED,
        error="WarningNotSent",
    ),
    # An earlier run of the day has sent the same notification.
    Case("WarningToldBefore", f"{RUN} > Run Complete With Warnings", COMPLETE, BOTH_CLOSED),
    Case("FailureToldBefore", f"{RUN} > Pipeline Failed", COMPLETE, BOTH_CLOSED, error="RunFailed"),
]
INNER = {name for scope in scopes(MACHINE) if scope.name for name in scope.states}
