"""The execution input, and how it becomes a run and its feeds."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from datetime import UTC, date, datetime
from itertools import islice
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    StrictBool,
    ValidationError,
    field_validator,
)

from check_input.days import check_day, day_at, read_day, read_time
from check_input.feeds_parameter import FeedsParameter
from check_input.settings import CheckInputSettings
from imagelake.lake.bucket import Bucket
from imagelake.lake.open_batches import open_batches
from imagelake.run.contracts import CheckInputRequest, CheckInputResult
from imagelake.run.errors import BadFeedError, BadInputError
from imagelake.run.image_option_models import ImageOptions, refuse_impossible_sizes
from imagelake.run.masking import mask, mask_feed
from imagelake.run.models import MAX_BATCH_SIZE, MAX_POSTS_PER_FEED, FeedEntry, Retry, Run
from imagelake.run.sentences import faults
from imagelake.run.user_json import check_user_json
from imagelake.sources import Feed, get_source, parse_feed

# The state machine carries the definition of every feed and, if the feed fails, its error: 256 KiB for all together.
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
MAX_FEEDS = 50
# Bytes of a feed, and of all feeds with each server of a list counted: the state has each of them about five times.
MAX_FEED_BYTES = 500
MAX_FEEDS_BYTES = 12_000
# Files of the time zone database that are no time zones of a place, or count leap seconds.
_NO_ZONES = ("Factory", "localtime", "posixrules", "right/")
_MAX_FAULTS = 5


class RunInput(ImageOptions):
    """The execution input; every field but the feeds has a default."""

    model_config = ConfigDict(extra="forbid")

    feeds: list[Any] = Field(min_length=1, max_length=MAX_FEEDS)
    # Name of the list to read, if the feeds parameter holds a list for each schedule.
    schedule: str = Field(default="daily", min_length=1, max_length=64)
    # Day of the run. Without it: the day of ``scheduled_time``, or of the start, in ``time_zone``.
    dt: str | None = None
    scheduled_time: Annotated[AwareDatetime, BeforeValidator(read_time)] | None = None
    time_zone: str = "UTC"
    batch_size: PositiveInt | None = Field(default=None, le=MAX_BATCH_SIZE, strict=True)
    posts_per_feed: PositiveInt | None = Field(default=None, le=MAX_POSTS_PER_FEED, strict=True)
    failure_tolerance_percent: int | None = Field(default=None, ge=0, le=100, strict=True)
    retry: Retry | None = None
    plan: StrictBool = False

    @field_validator("dt")
    @classmethod
    def _real_day(cls, value: str | None) -> str | None:
        return None if value is None else read_day(value).isoformat()

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            if value.startswith(_NO_ZONES):
                raise ValueError
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("it has to be a time zone of the IANA database, such as Europe/Berlin") from error
        return value


class _FeedList(NamedTuple):
    """The names of a list of feeds and of its place, for messages."""

    title: str
    name: str


_INPUT = _FeedList("execution input", "feeds")


def start_run(request: CheckInputRequest, settings: CheckInputSettings) -> CheckInputResult:
    """Make the run and its feeds, in the order of the input; raise ``BadInputError`` naming the wrong field."""
    try:
        return _start_run(request, settings)
    except BadInputError as error:
        raise BadInputError(mask(str(error))) from None


def _start_run(request: CheckInputRequest, settings: CheckInputSettings) -> CheckInputResult:
    fields, parameter, feed_list = _fields(request)
    run_input = _parse(fields, feed_list)
    execution = request.execution
    if run_input.retry is not None and run_input.retry.run_id == execution.name:
        raise BadInputError("execution input: retry.run_id: it is the name of this run; write that of an earlier one")
    if run_input.plan and run_input.retry is not None:
        raise BadInputError("execution input: plan: a run that retries reads no posts, so there is nothing to plan")
    run = Run(
        run_id=execution.name,
        execution_arn=execution.arn,
        dt=_day(run_input, execution.started_at),
        batch_size=run_input.batch_size or settings.batch_size,
        posts_per_feed=run_input.posts_per_feed or settings.posts_per_feed,
        failure_tolerance_percent=_tolerance(run_input, settings),
        by_hand=run_input.scheduled_time is None and not any(map(_is_window, run_input.feeds)),
        retry=run_input.retry,
        plan=run_input.plan,
        started_at=execution.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **run_input.image_options,
    )
    feeds = _entries(run_input, feed_list)
    if parameter is not None and run.retry is None and not run.plan:
        feeds += _removed_feeds(parameter, run, MAX_FEEDS - len(feeds), Bucket(settings.bucket_name))
    return CheckInputResult(run=run, feeds=feeds)


def _day(run_input: RunInput, started_at: datetime) -> str:
    """Return the day of the run; a day that somebody asked for has to be one that Athena shows."""
    field = "dt" if run_input.dt is not None else "scheduled_time"
    time = run_input.scheduled_time or started_at
    try:
        day = date.fromisoformat(run_input.dt) if run_input.dt else day_at(time, run_input.time_zone)
        if run_input.dt is not None or run_input.scheduled_time is not None:
            check_day(day, started_at)
    except ValueError as error:
        raise BadInputError(f"execution input: {field}: {error}") from None
    return day.isoformat()


def _tolerance(run_input: RunInput, settings: CheckInputSettings) -> int:
    if run_input.failure_tolerance_percent is not None:
        return run_input.failure_tolerance_percent
    # Every retried item failed before; failing again must not fail the feed.
    return settings.failure_tolerance_percent if run_input.retry is None else 100


def _is_window(config: Any) -> bool:
    """Tell if a feed is a window of a stream, whose run Ingest Stream starts."""
    return isinstance(config, dict) and config.get("window") is not None


def _fields(request: CheckInputRequest) -> tuple[dict[str, Any], FeedsParameter | None, _FeedList]:
    """Return the fields of the input, the feeds parameter if the feeds come from there, and the place of the feeds."""
    if not isinstance(request.input, dict):
        raise BadInputError("execution input: it has to be an object, such as {}")
    fields = dict(request.input)
    try:
        check_user_json(fields)
    except ValueError as error:
        raise BadInputError(f"execution input: {error}") from None
    if "feeds" in fields or request.feeds_parameter is None:
        return fields, None, _INPUT
    parameter = FeedsParameter(request.feeds_parameter)
    name, fields["feeds"] = parameter.feeds(fields.get("schedule", "daily"))
    return fields, parameter, _FeedList(parameter.title, name)


def _parse(fields: dict[str, Any], feed_list: _FeedList) -> RunInput:
    try:
        return RunInput.model_validate(fields)
    except ValidationError as error:
        problems: defaultdict[str, list[str]] = defaultdict(list)
        # Lambda logs this message, so it has no value of a feed, which can be a name.
        with_values, without = faults(error, RunInput), faults(error, RunInput, with_values=False)
        for (name, fault), (_, plain) in islice(zip(with_values, without, strict=True), _MAX_FAULTS):
            first, dot, rest = name.partition(".")
            place = feed_list if first == "feeds" else _FeedList(_INPUT.title, first)
            problems[place.title].append(f"{place.name}{dot}{rest}: {plain if first == 'feeds' else fault}")
        raise BadInputError("; ".join(f"{title}: {'; '.join(texts)}" for title, texts in problems.items())) from None


def _entries(run_input: RunInput, feed_list: _FeedList) -> list[FeedEntry]:
    """Make the entries of the feeds; refuse what would end the run, or what nobody can have meant."""
    entries: list[FeedEntry] = []
    index_of: dict[str, int] = {}
    _check_sizes(_INPUT.title, run_input)
    for index, config in enumerate(run_input.feeds):
        place = f"{feed_list.title}: {feed_list.name}.{index}"
        if len(_text(config).encode()) > MAX_FEED_BYTES:
            raise BadInputError(f"{place}: a feed has at most {MAX_FEED_BYTES} bytes as JSON in UTF-8")
        if feed_list is not _INPUT and isinstance(config, dict) and config.get("since") is not None:
            raise BadInputError(
                f"{place}: since: a feed with it reads no new posts, so it belongs into the input of an execution:"
                " ./imagelake backfill starts one"
            )
        for feed, entry in map(_entry, _per_server(config)):
            identity = feed.identity if feed else entry.feed_id
            if identity in index_of:
                raise BadInputError(_repeated(place, index_of[identity], index, feed_list))
            _check_sizes(place, run_input, feed)
            index_of[identity] = index
            entries.append(entry)
    _check_total(entries, f"{feed_list.title}: {feed_list.name}")
    return entries


def _repeated(place: str, first: int, index: int, feed_list: _FeedList) -> str:
    # Lambda logs this message, so it has no name of a feed.
    if first == index:
        return f"{place}: server: it has the same server twice; remove one of them"
    return f"{place} duplicates {feed_list.name}.{first}; remove one of them"


def _check_total(entries: list[FeedEntry], place: str) -> None:
    if len(entries) > MAX_FEEDS:
        raise BadInputError(f"{place}: {len(entries)} feeds, each server of a list counted; {MAX_FEEDS} are allowed")
    total = sum(len(json.dumps(entry.config, ensure_ascii=False).encode()) for entry in entries)
    if total > MAX_FEEDS_BYTES:
        raise BadInputError(
            f"{place}: all feeds together have {total:,} bytes as JSON in UTF-8, each server of a list counted;"
            f" {MAX_FEEDS_BYTES:,} are allowed, so put some of them into another run"
        )


def _check_sizes(place: str, run_input: RunInput, feed: Feed | None = None) -> None:
    """Refuse two sizes that reject every image; a feed may have only one of them. The default of a run is no wish."""
    wished = run_input.min_image_size if "min_image_size" in run_input.model_fields_set else None
    try:
        refuse_impossible_sizes(
            (feed and feed.min_image_size) or wished, (feed and feed.max_image_area) or run_input.max_image_area
        )
    except ValueError as error:
        raise BadInputError(f"{place}: {error}") from None


def _removed_feeds(parameter: FeedsParameter, run: Run, room: int, bucket: Bucket) -> list[FeedEntry]:
    """Make at most ``room`` entries of feeds that have open batches and that no schedule lists."""
    listed = {entry.feed_id for config in parameter.all_feeds() for _, entry in map(_entry, _per_server(config))}
    removed = {*open_batches(bucket).values()} - listed
    # Each day has another order, so that a feed that fails again and again does not keep out the others.
    ordered = sorted(removed, key=lambda feed_id: hashlib.sha256(f"{run.dt} {feed_id}".encode()).digest())
    return [FeedEntry(feed_id=feed_id, name=feed_id, config=None, resume_only=True) for feed_id in ordered[:room]]


def _per_server(config: Any) -> list[Any]:
    """Split a feed that names several servers with commas into one feed per server; mask credentials in it."""
    config = mask_feed(config)
    try:
        feed = parse_feed(config)
    except BadFeedError:
        return [config]
    servers = [server.strip() for server in (feed.server or "").split(",")]
    if len(servers) == 1:
        return [config]
    return [feed.model_dump(exclude_none=True) | {"server": server} for server in servers if server]


def _entry(config: Any) -> tuple[Feed | None, FeedEntry]:
    try:
        feed = parse_feed(config)
        # An unknown network can be any text, also a name, and the id of a feed has its network.
        get_source(feed.source)
    except BadFeedError:
        # Fetch raises the same error, so that it fails this one feed and not the run.
        text = _text(config)
        feed_id = f"bad-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return None, FeedEntry(feed_id=feed_id, name=text[:120], config=config)
    return feed, FeedEntry(feed_id=feed.feed_id, name=feed.name, config=config)


def _text(config: Any) -> str:
    return config if isinstance(config, str) else json.dumps(config, sort_keys=True, ensure_ascii=False)
