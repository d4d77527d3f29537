"""The request to erase somebody's data, as the input of the execution states it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    ValidationError,
    model_validator,
)

from imagelake.run.errors import BadInputError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.posts import MAX_AUTHOR_ID, MAX_MEDIA_ID_BYTES, MAX_POST_ID_BYTES
from imagelake.run.sentences import faults
from imagelake.run.user_json import check_user_json

# More do not fit the state of an execution, which has at most 256 KB, with their long ids.
MAX_ENTRIES = 100
MAX_REFERENCE = 200


class ErasureReason(StrEnum):
    """Reasons to erase data; the closed list of the field ``reason``."""

    AUTHOR_REQUEST = "author_request"  # the person asked you
    OPT_OUT = "opt_out"  # the person does not want to be in any dataset
    TAKEDOWN = "takedown"  # somebody with a right to the image asked you
    DELETED_AT_SOURCE = "deleted_at_source"  # the network no longer has the post
    ACCOUNT_GONE = "account_gone"  # the account is deleted or suspended
    PROTECTED = "protected"  # the account or the post is no longer public
    WITHHELD = "withheld"  # the network does not show it in some countries
    BLOCKED_HASH = "blocked_hash"  # the bytes are on a list of illegal content
    RETENTION = "retention"  # your own rule says that it is old enough


def _check_ends(value: str) -> str:
    if value != value.strip():
        raise ValueError("it begins or ends with a space")
    return value


def _as_sha256(value: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", value):
        raise ValueError("it has to be 64 hexadecimal digits, as in the column raw_sha256")
    # Some programs print capital letters, and the column has small ones.
    return value.lower()


# An id with a space at an end was not copied as it is, and would match nothing.
_WHOLE = AfterValidator(_check_ends)
Source = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class _Strict(FrozenModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AuthorName(_Strict):
    """An author, with the values of the columns of the dataset."""

    source: Source
    author_id: Annotated[str, Field(min_length=1, max_length=MAX_AUTHOR_ID), _WHOLE]


class PostName(AuthorName):
    """A post, with the values of the columns of the dataset."""

    post_id: Annotated[str, Field(min_length=1, max_length=MAX_POST_ID_BYTES), _WHOLE]


class Selection(_Strict):
    """Everything that one of these lists names is to be erased."""

    authors: list[AuthorName] = Field(default_factory=list, max_length=MAX_ENTRIES)
    posts: list[PostName] = Field(default_factory=list, max_length=MAX_ENTRIES)
    media_ids: list[Annotated[str, Field(min_length=1, max_length=MAX_MEDIA_ID_BYTES), _WHOLE]] = Field(
        default_factory=list, max_length=MAX_ENTRIES
    )
    sha256: list[Annotated[str, AfterValidator(_as_sha256)]] = Field(default_factory=list, max_length=MAX_ENTRIES)
    # The known near duplicates of erased images are erased too.
    near_duplicates: bool = False

    @property
    def names(self) -> Iterator[tuple[str, ...]]:
        """Yield the kind and the ids of everything that is named, as the suppression list hashes them."""
        yield from (("author", author.source, author.author_id) for author in self.authors)
        yield from (("post", post.source, post.author_id, post.post_id) for post in self.posts)
        yield from (("media", media_id) for media_id in self.media_ids)
        yield from (("image", sha256) for sha256 in self.sha256)

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not (self.authors or self.posts or self.media_ids or self.sha256):
            raise ValueError("name at least one of authors, posts, media_ids and sha256")
        return self


class ErasureRequest(_Strict):
    """A request to erase data; with ``dry_run``, it is only found, counted and priced.

    ``reference`` is the operator's own, such as the number of a ticket, and must not be a name: the receipt has it.
    """

    erase: Selection
    # An enum is strict about its type, and JSON has only text.
    reason: Annotated[ErasureReason, Field(strict=False)]
    reference: Annotated[str, Field(min_length=1, max_length=MAX_REFERENCE), _WHOLE]
    dry_run: bool = False

    @classmethod
    def read(cls, value: Any) -> Self:
        """Check the input of an execution; raise ``BadInputError`` with one sentence for each wrong field."""
        try:
            request = cls.model_validate(value)
            # Only now are all names of fields known, so that a message can have them.
            check_user_json(value, MAX_POST_ID_BYTES)
            return request
        except ValidationError as error:
            # Without the values, because they can name a person, and the message is sent.
            problems = [f"{name}: {fault}" if name else fault for name, fault in faults(error, cls, with_values=False)]
            raise BadInputError(f"erasure request: {'; '.join(problems)}") from None
        except ValueError as error:
            raise BadInputError(f"erasure request: {error}") from None


class Erasure(FrozenModel):
    """One erasure, as its states pass it on. It names nobody; the request is an object that ends with the erasure."""

    erasure_id: str
    execution_arn: str
    started_at: AwareDatetime
    reason: ErasureReason
    reference: str
    dry_run: bool


class ErasedDay(FrozenModel):
    """A day of a network, whose raw pages, rejects and stream windows an erasure reads."""

    source: str
    dt: str


class FileChanges(FrozenModel):
    """The changes of one dataset file, by media id; an object, because an execution's history must name no item.

    ``promote`` has the erased owner whose image a duplicate gets, and the key of the owner's file. ``relink`` has the
    new original of a row whose original is erased; ``None`` if it has none any more.
    """

    key: str
    erase: list[str] = Field(default_factory=list)
    promote: dict[str, tuple[str, str]] = Field(default_factory=dict)
    relink: dict[str, str | None] = Field(default_factory=dict)


class FoundCounts(FrozenModel):
    """The numbers of what was found, and the price in US dollars of erasing it."""

    items: NonNegativeInt
    files: NonNegativeInt
    open_batches: NonNegativeInt
    raw_images: NonNegativeInt
    pages: NonNegativeInt
    reports: NonNegativeInt
    usd: NonNegativeFloat


class SuppressRequest(FrozenModel):
    """Puts on the list what the request names, or what the search has found."""

    erasure: Erasure
    what: Literal["request", "found"]


class SuppressResult(FrozenModel):
    """The number of hashes that were put on the list."""

    entries: NonNegativeInt


class ErasureCall(FrozenModel):
    """Request of Find Erased and Erase Images."""

    erasure: Erasure


class FindErasedResult(FrozenModel):
    """The result of one search.

    ``must_wait`` is true while a run is in progress that began before the suppression. ``is_suppressed`` is true if
    everything that was found was on the suppression list before that time. ``left`` is the number of items,
    open batches and raw images that are not erased yet. The keys are those of lists for the Distributed Maps.
    """

    must_wait: bool
    is_suppressed: bool = False
    left: NonNegativeInt
    counts: FoundCounts
    promotions_key: str
    files_key: str
    days_key: str
    reports_key: str


class EraseRowsRequest(FrozenModel):
    """One dataset file, by the number of its ``FileChanges``; promotions of all files come before everything else."""

    erasure: Erasure
    step: Literal["promote", "erase"]
    number: NonNegativeInt


class ErasePagesRequest(FrozenModel):
    """One day of a network."""

    erasure: Erasure
    day: ErasedDay


class ErasedReport(FrozenModel):
    """A run with a report, or with rows in the table ``coverage`` under ``dt``; without a run, the lake at a glance."""

    run_id: str | None
    dt: str | None


class EraseReportsRequest(FrozenModel):
    """The report of one run, or the lake at a glance."""

    erasure: Erasure
    report: ErasedReport


class EraseResult(FrozenModel):
    """The number of objects or table items that were changed, and of the entries that were erased in them."""

    changed: NonNegativeInt
    erased: NonNegativeInt


class WriteReceiptRequest(FrozenModel):
    """The erasure, and what its last search found: nothing, or after a dry run everything."""

    erasure: Erasure
    found: FindErasedResult


class WriteReceiptResult(FrozenModel):
    """The key of the receipt, which is empty after a dry run, and the notification."""

    receipt_key: str
    subject: str
    message: str
