"""The contract of each function that the state machine calls: its request, its result and its errors.

``docs/schemas/`` has the models as JSON Schemas. The state machine retries a function's transient errors. The README
lists all errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pydantic import AwareDatetime, NonNegativeInt

from imagelake.run.erasure_models import (
    ErasePagesRequest,
    EraseReportsRequest,
    EraseResult,
    EraseRowsRequest,
    Erasure,
    ErasureCall,
    FindErasedResult,
    SuppressRequest,
    SuppressResult,
    WriteReceiptRequest,
    WriteReceiptResult,
)
from imagelake.run.errors import (
    BadFeedError,
    BadInputError,
    BatchDeadlineError,
    CredentialsError,
    DamagedObjectError,
    ErasureIncompleteError,
    FeedBusyError,
    FeedNotFoundError,
    FeedNotPermittedError,
    FileChangedError,
    ImagelakeError,
    ObjectMissingError,
    RateLimitedError,
    ReconciliationError,
    SourceChangedError,
    SourceUnavailableError,
    StorageDeniedError,
    StorageUnavailableError,
)
from imagelake.run.failures import CaughtError, Failure
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import (
    Batch,
    BookmarkUpdate,
    FeedEntry,
    FeedPlan,
    FeedStatus,
    Outlook,
    Progress,
    ReconciliationStatus,
    Run,
)
from imagelake.run.rebuild_models import RebuildOutcome, RebuildRequest, RebuiltCounts, UnpackStatus


class Execution(FrozenModel):
    """The execution to which a call belongs, as the context object of Step Functions describes it."""

    arn: str
    name: str
    started_at: AwareDatetime


class LoadedParameter(FrozenModel):
    """The SSM parameter with the feeds, as Load Feeds read it."""

    name: str
    value: str


class CheckInputRequest(FrozenModel):
    """The execution, its input, which has not been checked yet, and the parameter if the input names no feeds."""

    input: Any
    feeds_parameter: LoadedParameter | None = None
    execution: Execution


class CheckInputResult(FrozenModel):
    """A run and its feeds, in the order of the input, then removed feeds that have open batches."""

    run: Run
    feeds: list[FeedEntry]


class FeedRequest(FrozenModel):
    """Request of Fetch, which returns a new ``Progress``, and of Validate, which returns a ``FeedPlan``."""

    run: Run
    feed: FeedEntry
    progress: Progress


class BatchRequest(FrozenModel):
    """Request of Transform, Write Parquet and Map Keys."""

    run: Run
    batch: Batch


class TransformResult(FrozenModel):
    """The number of rows with each status."""

    ok: NonNegativeInt
    duplicate: NonNegativeInt
    rejected: NonNegativeInt
    failed: NonNegativeInt
    erased: NonNegativeInt


class WriteParquetResult(FrozenModel):
    """Key of the batch's file and its number of rows; no file is written if there are no rows."""

    key: str
    rows: NonNegativeInt


class MapKeysResult(FrozenModel):
    """The number of rows whose items in the media index are complete."""

    mapped: NonNegativeInt


class RecordFailureRequest(BatchRequest):
    """A failed batch and the error that Step Functions caught; the result is a ``Failure``."""

    error: CaughtError


class ReconcileRequest(FrozenModel):
    """A feed and its plan."""

    run: Run
    feed: FeedEntry
    plan: FeedPlan


class ReconcileResult(FrozenModel):
    """Status and counts of one feed, and the key of its ``FeedReconciliation``."""

    status: ReconciliationStatus
    reconciliation_key: str
    counts: dict[str, int]


_ERASED_FEED = "the author of this feed was erased on request: remove it from the feeds of the stack"


class FeedResult(FrozenModel):
    """The result of one feed, which the state machine composes; a feed that failed early has only an ``error``.

    For such a feed, ``calls`` and ``cost_usd`` are those of the pages that it has read. A run that plans has an
    ``outlook`` instead of a plan.
    """

    feed: FeedEntry
    status: FeedStatus
    plan: FeedPlan | None = None
    reconciliation: ReconcileResult | None = None
    outlook: Outlook | None = None
    error: CaughtError | None = None
    calls: NonNegativeInt = 0
    cost_usd: float = 0.0

    def nameless(self) -> FeedResult:
        """Return the result without names, messages and the newest post of the feed, because its author is erased."""
        feed = self.feed.model_copy(update={"name": self.feed.feed_id, "config": None})
        bookmark = BookmarkUpdate(newest_id="", newest_at="")
        plan = self.plan and self.plan.model_copy(update={"bookmark": bookmark, "warnings": []})
        # Every message about a feed has its name.
        error = self.error and self.error.model_copy(update={"cause": _ERASED_FEED})
        outlook = self.outlook and self.outlook.model_copy(update={"problem": self.outlook.problem and _ERASED_FEED})
        return self.model_copy(update={"feed": feed, "plan": plan, "error": error, "outlook": outlook})


class ReportRequest(FrozenModel):
    """A run and one result per feed."""

    run: Run
    results: list[FeedResult]

    def nameless(self, is_erased: Callable[[str], bool]) -> list[FeedResult]:
        """Return the results, without the names of the feeds with these ids."""
        return [one.nameless() if is_erased(one.feed.feed_id) else one for one in self.results]


class ReportResult(FrozenModel):
    """Outcome of a run and its notification.

    ``notify`` is false if nobody needs the notification; then it is not sent. ``error`` is the error with which the
    execution of a failed run ends. It is ``None`` for every other run.
    """

    outcome: Literal["ok", "partial", "failed"]
    notify: bool
    error: Literal["RunFailed"] | None
    subject: str
    message: str
    report_key: str


class CheckErasureRequest(FrozenModel):
    """The execution of an erasure and its input, which has not been checked yet."""

    input: Any
    execution: Execution


class CheckErasureResult(FrozenModel):
    """The erasure; nothing of the input is passed on, because it can have names."""

    erasure: Erasure


class PlanRebuildRequest(FrozenModel):
    """An execution of Rebuild and its input, which has not been checked yet."""

    input: Any
    execution: Execution


class PlanRebuildResult(FrozenModel):
    """A rebuild as a run, its checked request, and the key of the list of its batches; the list may be empty."""

    run: Run
    rebuild: RebuildRequest
    list_key: str
    files: NonNegativeInt
    file_bytes: NonNegativeInt


class UnpackRequest(BatchRequest):
    """A rebuild and the batch of one file."""

    rebuild: RebuildRequest


class UnpackResult(FrozenModel):
    """The batch whose rows are planned, or the reason why there is nothing to do for the file.

    ``nothing``: no row is to be made again, or this is a dry run. ``done``: this rebuild has rewritten the file.
    """

    status: UnpackStatus
    batch: Batch


class ReportRebuildRequest(PlanRebuildResult):
    """A rebuild whose files are done, as far as they could be."""


class ReportRebuildResult(FrozenModel):
    """Outcome of a rebuild and its notification; ``error`` is set if the execution ends as failed."""

    outcome: RebuildOutcome
    error: Literal["RebuildIncomplete"] | None
    subject: str
    message: str
    report_key: str


class Contract(NamedTuple):
    """The request, the result and the errors of one function."""

    request: type[FrozenModel]
    result: type[FrozenModel]
    errors: frozenset[type[ImagelakeError]]


# Errors of every function that uses AWS.
AWS_ERRORS = frozenset({StorageUnavailableError, StorageDeniedError})
# Errors of every function that also reads objects.
STORAGE_ERRORS = AWS_ERRORS | {ObjectMissingError, DamagedObjectError}
# Errors of every call to a network.
NETWORK_ERRORS = frozenset(
    {
        BadFeedError,
        CredentialsError,
        FeedNotFoundError,
        FeedNotPermittedError,
        RateLimitedError,
        SourceChangedError,
        SourceUnavailableError,
    }
)

CONTRACTS: dict[str, Contract] = {
    "check_input": Contract(CheckInputRequest, CheckInputResult, AWS_ERRORS | {BadInputError}),
    "fetch": Contract(FeedRequest, Progress, NETWORK_ERRORS | STORAGE_ERRORS | {BadInputError, FeedBusyError}),
    "validate": Contract(FeedRequest, FeedPlan, STORAGE_ERRORS | {BadInputError, BadFeedError, SourceChangedError}),
    "transform": Contract(
        BatchRequest, TransformResult, STORAGE_ERRORS | {BadInputError, BadFeedError, BatchDeadlineError}
    ),
    "write_parquet": Contract(BatchRequest, WriteParquetResult, STORAGE_ERRORS | {FileChangedError}),
    "map_keys": Contract(BatchRequest, MapKeysResult, STORAGE_ERRORS | {ReconciliationError}),
    "record_failure": Contract(RecordFailureRequest, Failure, AWS_ERRORS),
    "reconcile": Contract(ReconcileRequest, ReconcileResult, STORAGE_ERRORS | {ReconciliationError}),
    "report": Contract(ReportRequest, ReportResult, STORAGE_ERRORS),
    "check_erasure": Contract(CheckErasureRequest, CheckErasureResult, AWS_ERRORS | {BadInputError}),
    "suppress": Contract(SuppressRequest, SuppressResult, STORAGE_ERRORS),
    "find_erased": Contract(ErasureCall, FindErasedResult, STORAGE_ERRORS | {ErasureIncompleteError}),
    "erase_rows": Contract(EraseRowsRequest, EraseResult, STORAGE_ERRORS),
    "erase_pages": Contract(ErasePagesRequest, EraseResult, STORAGE_ERRORS),
    "erase_reports": Contract(EraseReportsRequest, EraseResult, STORAGE_ERRORS),
    "erase_images": Contract(ErasureCall, EraseResult, STORAGE_ERRORS),
    "write_receipt": Contract(WriteReceiptRequest, WriteReceiptResult, STORAGE_ERRORS),
    "plan_rebuild": Contract(PlanRebuildRequest, PlanRebuildResult, AWS_ERRORS | {BadInputError}),
    "unpack": Contract(UnpackRequest, UnpackResult, STORAGE_ERRORS),
    "rebuild_images": Contract(BatchRequest, RebuiltCounts, STORAGE_ERRORS | {BatchDeadlineError, FileChangedError}),
    "report_rebuild": Contract(ReportRebuildRequest, ReportRebuildResult, STORAGE_ERRORS),
}
