"""Models that the states of one execution pass on: the run, its feeds, their plans, batches and results."""

from __future__ import annotations

import re
from collections.abc import Container
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt, field_validator

from imagelake.run.errors import RETRYABLE_CODES, ErrorCode
from imagelake.run.failures import Failure
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.posts import Item

# Limits of the execution input and of the stack's parameters.
MAX_BATCH_SIZE = 1000
MAX_POSTS_PER_FEED = 100_000

Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]

# https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
_EXECUTION_NAME = re.compile(r"""[^\s<>{}\[\]?*"#%\\^|~`$&,;:/\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]{1,80}""")

FeedStatus = Literal["complete", "up_to_date", "incomplete", "failed", "planned"]
ReconciliationStatus = Literal["complete", "incomplete", "too_many_failures"]


class Retry(FrozenModel):
    """A request to process the failed items of an earlier run again; the run that has it reads no new posts."""

    model_config = ConfigDict(extra="forbid")

    run_id: str
    error_codes: tuple[ErrorCode, ...] = Field(default=RETRYABLE_CODES, min_length=1, max_length=len(ErrorCode))

    @field_validator("run_id")
    @classmethod
    def _execution_name(cls, value: str) -> str:
        # The run id becomes part of object keys.
        if not _EXECUTION_NAME.fullmatch(value) or not value.strip("."):
            raise ValueError(
                "it has to be the name of an execution: 1 to 80 characters, no spaces, slashes or brackets"
            )
        return value


class Run(ImageOptions):
    """One execution: its identity, its day and its options. Steps take these from here, never from the clock."""

    run_id: str
    execution_arn: str
    dt: Day
    batch_size: PositiveInt
    posts_per_feed: PositiveInt
    failure_tolerance_percent: int = Field(ge=0, le=100)
    # True if a person started the run: neither a schedule nor a stream did.
    by_hand: bool = False
    retry: Retry | None = None
    # True if the run fetches nothing and reports what a run would read and cost.
    plan: bool = False
    # Time at which the execution started, in UTC. An execution of an earlier version has none.
    started_at: str = ""


class FeedEntry(FrozenModel):
    """One feed of a run; Fetch turns ``config``, the user's own text or object, into a ``Feed``."""

    feed_id: str
    name: str
    config: Any
    # Set for a feed that nobody lists any more but that has open batches: the run finishes these and reads no posts.
    resume_only: bool = False


class Batch(FrozenModel):
    """Identity and size of one batch; the object keys of its plan, its rows and its file follow from it."""

    batch_id: str
    feed_id: str
    source: str
    dt: Day
    # 0 as long as a rebuild has not read the file.
    items: NonNegativeInt
    # Id of a run that processes failed items of this batch again; their new rows replace the rows in the batch's file.
    retried_by: str = ""
    # Id of a rebuild that makes rows of this batch again from raw images, and the ETag of the file that it has read.
    rebuilt_by: str = ""
    read_etag: str = ""

    @property
    def work_id(self) -> str:
        """Id of the batch's work: the batch id, and the id of a retry or of a rebuild."""
        if self.rebuilt_by:
            return f"{self.batch_id}/rebuild/{self.rebuilt_by}"
        return f"{self.batch_id}/{self.retried_by}" if self.retried_by else self.batch_id

    @property
    def replaces_rows(self) -> bool:
        """Tell if its rows replace rows of a file, which keeps its other rows."""
        return bool(self.retried_by or self.rebuilt_by)


class PlannedBatch(ImageOptions):
    """A batch with its items: the object under ``open/``, and its copy under ``work/`` for the steps.

    It has the image options with which it was planned, so that a run that resumes it makes the same rows.
    """

    batch: Batch
    run_id: str
    items: list[Item]
    # Positions whose items were erased. The other items keep their positions, and so their parts.
    erased: list[NonNegativeInt] = Field(default_factory=list)

    @property
    def positions(self) -> list[int]:
        """The positions of the items in the plan as it was made."""
        return [number for number in range(len(self.items) + len(self.erased)) if number not in self.erased]

    def without(self, media_ids: Container[str]) -> Self:
        """Make a plan that does not have these items."""
        both = list(zip(self.positions, self.items, strict=True))
        gone = [position for position, item in both if item.media_id in media_ids]
        items = [item for item in self.items if item.media_id not in media_ids]
        return self.model_copy(update={"items": items, "erased": sorted([*self.erased, *gone])})


class Stop(StrEnum):
    """Limits that end the reading of a feed before its listing ends."""

    POSTS = "posts"
    PAGES = "pages"
    BYTES = "bytes"
    COST = "cost"
    BUDGET = "budget"
    RATE_LIMIT = "rate_limit"


class BackfillPosition(FrozenModel):
    """The position of a backfill; the Bookmarks table has it beside the bookmark."""

    # The cursor of the next page; empty if the backfill has to begin at the newest post.
    cursor: str = ""
    # All posts between this time and ``begun_at`` have been read; empty if it is not known.
    reached_to: str = ""
    # Time at which the newest post was read; a backfill over several runs goes back from here.
    begun_at: str = ""
    # True if the network lists no older posts.
    is_at_end: bool = False


class Outlook(FrozenModel):
    """Facts for an estimate of a feed's next run: ``posts`` is ``None`` if the network was not asked for their number.

    ``usd`` is what the network bills for the question.
    """

    posts: NonNegativeInt | None = None
    has_bookmark: bool = False
    usd: float = 0.0
    # Known posts and different images of the new ones, if the answer was the listing itself.
    known_posts: NonNegativeInt | None = None
    images: NonNegativeInt | None = None
    # The error of a network that did not answer.
    problem: str = ""
    # The time from which on a backfill continues; empty if it begins at the newest post.
    reached_to: str = ""


class Progress(FrozenModel):
    """The position of Fetch in a feed; the state machine passes it from one call to the next."""

    # ``more``: call again; ``rate_limited``: call again at ``retry_at``; ``done``: go on to Validate; ``planned``: this
    # run fetches nothing, and ``outlook`` is for its report.
    status: Literal["more", "rate_limited", "done", "planned"] = "more"
    outlook: Outlook = Outlook()
    cursor: str | None = None
    pages: NonNegativeInt = 0
    posts: NonNegativeInt = 0
    # Answers of the network, also those of pages that were not kept.
    calls: NonNegativeInt = 0
    # Posts that are newer than the bookmark; only these count against the limit.
    new_posts: NonNegativeInt = 0
    # Posts and rejects behind the bookmark; their number ends the overlap.
    read_again: NonNegativeInt = 0
    # Posts and rejects that were not stored, because they are on the suppression list.
    suppressed: NonNegativeInt = 0
    # True if the reading ends as soon as all media items of the posts are read.
    is_at_end: bool = False
    # Bytes of all pages so far.
    page_bytes: NonNegativeInt = 0
    waits: NonNegativeInt = 0
    retry_at: str | None = None
    # The newest post so far. An empty ``newest_at`` leaves the bookmark where it is.
    newest_id: str = ""
    newest_at: str = ""
    # Time of the oldest post so far; it has no post that is dated long before its place in the listing.
    oldest_at: str = ""
    # Time of the last page: what is older than the network's look-back was no longer listed then.
    listed_at: str = ""
    # Time of the first page.
    begun_at: str = ""
    # The span that was asked for: from the bookmark to the start of the run, or the part that a backfill wants. An
    # empty ``asked_from`` is that of a first run, an empty ``asked_to`` is the start of the run.
    asked_from: str = ""
    asked_to: str = ""
    # True if the posts are older than the bookmark, which never moves then.
    backfill: bool = False
    # Number of all posts of the feed, as the network states it.
    declared: NonNegativeInt | None = None
    # Limit that ended the reading, also if it left no post unread behind the bookmark.
    limit: Stop | None = None
    # Set if posts between the last page and the bookmark were left unread.
    stopped_by: Stop | None = None
    # Amount that the network bills for the pages so far.
    cost_usd: float = 0.0
    # All posts that the network lists before this time (the newer ones) have been read by this run.
    reached_to: str = ""
    # The position that is stored with the bookmark.
    backfill_position: BackfillPosition = BackfillPosition()
    # One sentence for each thing that needs somebody's attention.
    warnings: list[str] = Field(default_factory=list)


class BookmarkUpdate(FrozenModel):
    """The newest post that a run saw of a feed; both fields are empty if the bookmark stays where it is."""

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
    # Images that have a row or are in an open batch.
    already_known: NonNegativeInt
    rejected_posts: NonNegativeInt
    # Posts and rejects that are on the suppression list; nothing else is known of them.
    suppressed: NonNegativeInt
    # Number of media items by the reason why they are skipped.
    skipped_media: dict[str, int]
    bookmark: BookmarkUpdate
    stopped_by: Stop | None
    cost_usd: float
    warnings: list[str]
    # Different images of the posts, known ones too.
    images: NonNegativeInt = 0
    # Posts that are newer than the bookmark; in a backfill, those with an image that was not known.
    new_posts: NonNegativeInt = 0
    # The rest is that of ``Progress``.
    pages: NonNegativeInt = 0
    calls: NonNegativeInt = 0
    oldest_at: str = ""
    listed_at: str = ""
    asked_from: str = ""
    asked_to: str = ""
    # The posts are older than the bookmark, which never moves then. Without ``stopped_by``, the backfill is done.
    backfill: bool = False
    # Without the cursor, which can be long.
    backfill_position: BackfillPosition = BackfillPosition()
    declared: NonNegativeInt | None = None
    limit: Stop | None = None


class OpenBatch(FrozenModel):
    """A batch that this run did not finish, and the reason."""

    batch_id: str
    dt: str
    items: int
    failure: Failure


class FeedReconciliation(FrozenModel):
    """The checked result of one feed, stored as JSON.

    ``counts`` has ``planned`` (items of closed batches that this feed's batches claimed), one number per status, and
    ``shared`` (items of another feed's batch, which has their rows, or is open and will make them). ``image_bytes`` is
    the size of the images in the rows of the closed batches.
    """

    status: ReconciliationStatus
    counts: dict[str, int]
    image_bytes: int = 0
    errors: dict[str, int]
    open: list[OpenBatch]
    closed: list[Batch]
