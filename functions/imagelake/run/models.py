"""Models that the states of one execution pass on: the run, its feeds, their plans, batches and results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from imagelake.run.errors import RETRYABLE_CODES, ErrorCode
from imagelake.run.failures import Failure
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.posts import Item

Preset = Literal["fast", "balanced", "quality"]
Tensor = Literal["uint8", "float32"]

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


FeedStatus = Literal["complete", "up_to_date", "incomplete", "failed"]
ReconciliationStatus = Literal["complete", "incomplete", "too_many_failures"]


class Retry(FrozenModel):
    """Which failed items of an earlier run a run makes again, in place of reading what is new."""

    model_config = ConfigDict(extra="forbid")

    # It becomes part of object keys.
    run_id: str = Field(pattern=r"^[^/\s]{1,80}$")
    error_codes: tuple[ErrorCode, ...] = Field(default=RETRYABLE_CODES, min_length=1)


class Run(FrozenModel):
    """One execution: its identity, its logical day and its options. Nothing in a step asks the clock for these."""

    run_id: str
    execution_arn: str
    dt: Day
    batch_size: PositiveInt
    posts_per_feed: PositiveInt
    failure_tolerance_percent: int = Field(ge=0, le=100)
    # How `imaging` makes pictures, and whether it also makes what a model takes.
    preset: Preset = "balanced"
    tensor: Tensor | None = None
    retry: Retry | None = None


class FeedEntry(FrozenModel):
    """One feed of a run. ``config`` is as the user wrote it; Fetch turns it into a ``Feed`` or says what is wrong."""

    feed_id: str
    name: str
    config: Any


class Batch(FrozenModel):
    """Where one batch is and where its file goes; the plan itself is an object."""

    batch_id: str
    feed_id: str
    source: str
    dt: Day
    items: PositiveInt
    # A run that makes failed items of it again. To the steps those are a batch; their rows replace rows of its file.
    retried_by: str = ""

    @property
    def work_id(self) -> str:
        """What tells this batch's work from its first time and from other retries."""
        return f"{self.batch_id}/{self.retried_by}" if self.retried_by else self.batch_id


class PlannedBatch(FrozenModel):
    """A planned batch with its items: the object under ``open/`` and, for the steps, under ``work/``."""

    batch: Batch
    run_id: str
    items: list[Item]
    # Those of the run that planned it, so that a run that takes the batch up makes the same rows.
    preset: Preset = "balanced"
    tensor: Tensor | None = None


class Progress(FrozenModel):
    """How far Fetch has come with a feed; the state machine carries it from call to call."""

    # ``more``: call again; ``rate_limited``: call again at ``retry_at``; ``done``: go on to Validate.
    status: str = "more"
    cursor: str | None = None
    pages: NonNegativeInt = 0
    posts: NonNegativeInt = 0
    waits: NonNegativeInt = 0
    retry_at: str | None = None
    newest_id: str = ""
    newest_at: str = ""
    # Which limit left a gap between the last page read and the bookmark, or ``None``.
    stopped_by: str | None = None
    # What the network has billed for the pages so far.
    cost_usd: float = 0.0
    # What somebody has to see to before long, a sentence each.
    warnings: list[str] = Field(default_factory=list)


class BookmarkUpdate(FrozenModel):
    """The newest post that a run saw of a feed; both are empty if the bookmark stays where it is."""

    newest_id: str
    newest_at: str


class FeedPlan(FrozenModel):
    """The batches that Validate planned for one feed, and counts of everything else it found in the pages."""

    list_key: str
    batches: NonNegativeInt
    items: NonNegativeInt
    # Batches of earlier runs that were still open.
    resumed_batches: NonNegativeInt
    posts: NonNegativeInt
    # Images that the media index or an open batch has already.
    already_known: NonNegativeInt
    rejected_posts: NonNegativeInt
    # Number of media items by the reason why they are skipped.
    skipped_media: dict[str, int]
    bookmark: BookmarkUpdate
    stopped_by: str | None
    cost_usd: float
    warnings: list[str]


class OpenBatch(FrozenModel):
    """A batch that did not end in this run, and the reason."""

    batch_id: str
    dt: str
    items: int
    failure: Failure


class FeedReconciliation(FrozenModel):
    """The checked result of one feed, stored as JSON.

    ``counts`` has ``planned`` (items of closed batches that this feed's batches claimed), one number per status, and
    ``shared`` (items that another feed's batch claimed, whose rows are there).
    """

    status: ReconciliationStatus
    counts: dict[str, int]
    errors: dict[str, int]
    open: list[OpenBatch]
    closed: list[Batch]
