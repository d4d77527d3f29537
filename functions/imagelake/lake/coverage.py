"""The rows of the tables ``coverage`` and ``runs``: gzipped JSON lines, one object for each run, never rewritten.

The models are the one list of the columns: the Glue tables and ``docs/coverage.md`` are made from them or compared with
them. Times are whole seconds in UTC. Columns may be added, but never changed or removed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer

from imagelake.lake.bucket import Bucket, named_if_damaged
from imagelake.lake.rows import Column
from imagelake.run.errors import ObjectMissingError
from imagelake.run.frozen_model import FrozenModel


def second(time: str | datetime) -> datetime:
    """Return the second in UTC in which a time lies; a text without a zone is in UTC."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


def _text(time: datetime) -> str:
    """Write a time as Athena's JSON SerDe and DuckDB both read a timestamp; unlike ``strftime``, with 4 digits a year.

    See https://docs.aws.amazon.com/athena/latest/ug/data-types-timestamps.html.
    """
    return time.replace(tzinfo=None).isoformat(sep=" ")


Second = Annotated[datetime, BeforeValidator(second), PlainSerializer(_text)]
State = Literal["complete", "no_activity", "gap", "failed", "not_requested"]
_TYPES = {
    "str": "string", "str | None": "string", "State": "string", "int": "bigint", "int | None": "bigint",
    "float": "double", "float | None": "double", "bool": "boolean", "Second": "timestamp", "Second | None": "timestamp",
    "dict[str, int]": "map<string,bigint>",
}  # fmt: skip


class CoverageRow(FrozenModel):
    """One feed in one run: the span of the feed's time that the run decides, and everything it counted.

    The spans of a feed's rows do not overlap and leave nothing out. A span ends before its ``_end``.
    """

    run_id: str = Field(description="Run that wrote the row")
    feed_id: str = Field(description="Id of the feed")
    feed: str = Field(description="Name of the feed, as in the table `images`")
    source: str | None = Field(description="Network; null if the feed's definition cannot be read")
    state: State = Field(description="`complete`, `no_activity`, `gap`, `failed` or `not_requested`, see above")
    backfill: bool = Field(description="True if the run read older posts on purpose")
    requested_start: Second | None = Field(
        description="Begin of the span that was requested: the bookmark, or the day of a backfill; null in a first run"
    )
    requested_end: Second = Field(description="End of that span: the start of the run")
    read_start: Second | None = Field(description="Begin of the span that was read without a hole")
    read_end: Second | None = Field(description="End of that span")
    unreported_start: Second | None = Field(
        description="Begin of what earlier runs have read, as the bookmark or the position of the backfill shows"
    )
    unreported_end: Second | None = Field(description="End of that")
    bookmark_at: Second | None = Field(description="Time of the bookmark after this run")
    span_start: Second | None = Field(description="Begin of the part of the feed's time that this row adds")
    span_end: Second | None = Field(description="End of that part")
    gap_start: Second | None = Field(description="Begin of what was requested, not read, and is part of the span")
    gap_end: Second | None = Field(description="End of the gap")
    gap_reason: str | None = Field(
        description="The limit that ended the reading, `lookback`, `unreported`, or the error's name"
    )
    recoverable_until: Second | None = Field(
        description="Last time at which the whole gap can be filled; null: always, or not known"
    )
    pages: int = Field(description="Pages that were kept")
    calls: int = Field(description="Answers of the network")
    posts: int = Field(description="Posts on the pages, known ones too")
    new_posts: int = Field(description="Posts that are newer than the bookmark; in a backfill, those with a new image")
    images: int = Field(description="Different images of the posts")
    already_known: int = Field(description="Images that had a row or a plan")
    rejected_posts: int = Field(description="Posts that were rejected")
    suppressed: int = Field(description="Posts on the suppression list")
    skipped: dict[str, int] = Field(description="Skipped media items by reason")
    planned: int = Field(description="Media items of the batches that this run closed")
    shared: int = Field(description="Items that another feed's batch claimed")
    ok: int = Field(description="Rows with an image")
    duplicate: int = Field(description="Rows with the bytes of another row")
    rejected: int = Field(description="Rows of files that are not acceptable")
    failed: int = Field(description="Rows of files that could not be downloaded")
    erased: int = Field(description="Rows that were erased on request")
    declared: int | None = Field(description="Number of all posts, if the network states it in an answer")
    usual: float | None = Field(description="Median of the new posts on the last 14 days of the same weekday")
    silent: bool = Field(description="True if nothing is new for 20 hours although more than 5 posts are usual")
    usd: float = Field(description="Amount that the network bills, in US dollars")


class RunRow(FrozenModel):
    """One run as a whole."""

    run_id: str = Field(description="Name of the execution")
    outcome: str = Field(description="`ok`, `partial` or `failed`")
    by_hand: bool = Field(description="True if a person started the run")
    retry_of: str | None = Field(description="Run whose failed items this run processed again")
    started_at: Second = Field(description="Start of the run")
    reported_at: Second = Field(description="Time of its report")
    seconds: int = Field(description="Seconds between the two")
    feeds: int = Field(description="Feeds of the run")
    complete: int = Field(description="Feeds whose requested span was read")
    no_activity: int = Field(description="Feeds without a new post in that span")
    gap: int = Field(description="Feeds with a gap")
    failed_feeds: int = Field(description="Feeds that could not be read")
    not_requested: int = Field(description="Feeds of which no posts were requested")
    calls: int = Field(description="Answers of the networks")
    posts: int = Field(description="Posts on the pages of all feeds")
    new_posts: int = Field(description="Posts that are newer than the bookmarks; in a backfill, those with a new image")
    batches: int = Field(description="Batches that were processed")
    planned: int = Field(description="Media items of the closed batches")
    shared: int = Field(description="Items that another feed's batch claimed")
    ok: int = Field(description="Rows with an image")
    duplicate: int = Field(description="Rows with the bytes of another row")
    rejected: int = Field(description="Rows of files that are not acceptable")
    failed: int = Field(description="Rows of files that could not be downloaded")
    erased: int = Field(description="Rows that were erased on request")
    usd_networks: float = Field(description="Amount that the networks bill, in US dollars")
    usd_aws: float = Field(description="Estimate of the run's cost on AWS, in US dollars")


Row = TypeVar("Row", bound=FrozenModel)


def columns(model: type[FrozenModel]) -> tuple[Column, ...]:
    """List the columns of a table; ``dt`` is its partition column and not in the objects."""
    return tuple(
        Column(name, _TYPES[str(model.__annotations__[name])], field.description or "")
        for name, field in model.model_fields.items()
    )


def write_rows(bucket: Bucket, key: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Write rows unless they are written; return those that are there, which no later call replaces."""
    with suppress(ObjectMissingError):
        return read_rows(bucket, key, type(rows[0]))
    if bucket.put_if_unchanged(key, gzip.compress(_lines(rows), mtime=0), "application/gzip", None):
        return rows
    return read_rows(bucket, key, type(rows[0]))


def read_rows(bucket: Bucket, key: str, model: type[Row]) -> list[Row]:
    """Read the rows of one object."""
    body = bucket.get(key)
    with named_if_damaged(key):
        return [model.model_validate_json(line) for line in gzip.decompress(body).splitlines()]


def _lines(rows: Iterable[FrozenModel]) -> bytes:
    values: Iterable[dict[str, Any]] = (row.model_dump(mode="json") for row in rows)
    # A lone surrogate cannot be encoded as UTF-8, but JSON can hold it as a backslash escape.
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)
