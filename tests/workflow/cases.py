"""The cases of ``mocks.json``: the way that each run has to go, and what the topic is told.

A way is written as the path of states entered: of the run, of its feed, of each of its batches.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.static.asl import MACHINE, scopes

START = "Has Feeds? > Check Input > For Each Feed"
RUN = f"{START} > Report > Any Failures?"
OK = f"{RUN} > Run Complete"
WARNED = f"{RUN} > Notify Warning > Run Complete With Warnings"
FAILED = f"{RUN} > Notify Failure > Pipeline Failed"
UNTOLD = f"{RUN} > Notify Warning > Warning Not Sent"
BROKEN = "Describe Failure > Notify Failure > Pipeline Failed"

FETCHED = "Fetch > Is Rate Limited?"
PLANNED = f"{FETCHED} > Validate > Commit Bookmark"
IDLE = f"{PLANNED} > Anything To Do? > Feed Up To Date"
BATCHED = f"{PLANNED} > Anything To Do? > For Each Batch"
BOOKED = f"{BATCHED} > Reconcile > Is Complete?"

CLOSED = "Transform > Write Parquet > Map Keys > Batch Closed"
LOST = "Record Failure > Batch Failed"

SAID_WARNING = "Imagelake 2026-11-23: complete with gaps, 2 new images"
SAID_FAILURE = "Imagelake 2026-11-23: FAILED, 0 new images"
SAID_BROKEN = "Imagelake: FAILED before its report"


@dataclass(frozen=True)
class Case:
    """A run and the way it has to go. Its first word names a test case of ``mocks.json``."""

    name: str
    run: str
    feed: str = ""
    batches: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    error: str | None = None


def broken(name: str, before: str, feed: str = "", batches: tuple[str, ...] = ()) -> Case:
    """A run that ends before its report."""
    return Case(name, f"{before} > {BROKEN}", feed, batches, told=(SAID_BROKEN,), error=SAID_BROKEN)


def failed(name: str, feed: str, batches: tuple[str, ...] = ()) -> Case:
    """A run whose report says that it failed."""
    return Case(name, FAILED, feed, batches, told=(SAID_FAILURE,), error=SAID_FAILURE)


def warned(name: str, feed: str, batches: tuple[str, ...]) -> Case:
    """A run whose report says that something is missing."""
    return Case(name, WARNED, feed, batches, told=(SAID_WARNING,))


COMPLETE, GAPS = f"{BOOKED} > Feed Complete", f"{BOOKED} > Feed Incomplete"
BOTH_CLOSED = (CLOSED, CLOSED)
WITHOUT_FEEDS = "without feeds"
CASES = [
    Case("HappyPath", OK, COMPLETE, BOTH_CLOSED),
    Case(f"HappyPath {WITHOUT_FEEDS}", OK.replace("?", "? > Load Feeds", 1), COMPLETE, BOTH_CLOSED),
    broken(f"ParameterMissing {WITHOUT_FEEDS}", "Has Feeds? > Load Feeds"),
    broken("InputRefused", "Has Feeds? > Check Input"),
    # One feed's way to its plan.
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
    failed("TooManyFailures", f"{BOOKED} > Too Many Failures", BOTH_CLOSED),
    # A failed batch stops no other, and not its feed.
    warned("TransformFails", GAPS, (f"Transform > {LOST}",) * 2),
    warned("WriteParquetFails", GAPS, (f"Transform > Write Parquet > {LOST}",) * 2),
    warned("MapKeysFails", GAPS, (f"Transform > Write Parquet > Map Keys > {LOST}",) * 2),
    warned("RecordFailureFails", GAPS, (f"Transform > {LOST}",) * 2),
    warned("OneBatchFails", GAPS, (f"Transform > {LOST}", CLOSED)),
    # The run itself breaks, or nobody can be told.
    # The engine breaks on a list that is not JSON, where Step Functions would say States.ItemReaderFailed.
    broken("IterationBreaks", START, BATCHED),
    broken("ReportFails", f"{START} > Report", COMPLETE, BOTH_CLOSED),
    Case("FailureNotSent", FAILED, COMPLETE, BOTH_CLOSED, error=SAID_FAILURE),
    Case("WarningNotSent", UNTOLD, COMPLETE, BOTH_CLOSED, error="WarningNotSent"),
    # An earlier run of the day has told of it.
    Case("WarningToldBefore", f"{RUN} > Run Complete With Warnings", COMPLETE, BOTH_CLOSED),
    Case("FailureToldBefore", f"{RUN} > Pipeline Failed", COMPLETE, BOTH_CLOSED, error=SAID_FAILURE),
]
INNER = {name for scope in scopes(MACHINE) if scope.name for name in scope.states}
