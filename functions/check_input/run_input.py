"""The execution input: what it may hold, and how it becomes a run and its feeds."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from check_input.settings import CheckInputSettings
from imagelake.run.errors import BadFeedError, BadInputError
from imagelake.run.models import Day, FeedEntry, Preset, Retry, Run, Tensor
from imagelake.sources import Feed

# Each feed carries its definition and, if it fails, its error through the state machine: 256 KiB for all.
MAX_FEEDS = 50
MAX_FEED_CHARACTERS = 500
_MOST_IN_A_BATCH = 1000
# Write Parquet holds a batch in memory several times over, and these are 0.15 and 0.6 MB each.
_MOST_TENSORS: dict[str | None, int] = {"uint8": 400, "float32": 100}


class Execution(BaseModel):
    """What Step Functions says of the execution."""

    model_config = ConfigDict(frozen=True)

    arn: str
    name: str
    started_at: AwareDatetime


class RunInput(BaseModel):
    """The execution input. Everything but the feeds has a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    feeds: list[Any] = Field(min_length=1, max_length=MAX_FEEDS)
    # Which list of the feeds parameter is read, if it holds a list for each schedule.
    schedule: str = "daily"
    # The day the run is for. Without it: the day of ``scheduled_time``, or of the start, in ``time_zone``.
    dt: Day | None = None
    scheduled_time: AwareDatetime | None = None
    time_zone: str = "UTC"
    batch_size: PositiveInt | None = Field(default=None, le=_MOST_IN_A_BATCH)
    posts_per_feed: PositiveInt | None = Field(default=None, le=100_000)
    failure_tolerance_percent: int | None = Field(default=None, ge=0, le=100)
    preset: Preset = "balanced"
    tensor: Tensor | None = None
    retry: Retry | None = None

    @field_validator("feeds")
    @classmethod
    def _short(cls, value: list[Any]) -> list[Any]:
        for place, feed in enumerate(value):
            if len(_text(feed)) > MAX_FEED_CHARACTERS:
                raise ValueError(f"{place}: a feed has at most {MAX_FEED_CHARACTERS} characters as JSON")
        return value

    @field_validator("dt")
    @classmethod
    def _real_day(cls, value: str | None) -> str | None:
        if value is not None:
            datetime.strptime(value, "%Y-%m-%d")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{value!r} is not a time zone of the IANA database") from error
        return value


def start_run(raw: Any, execution: Execution, settings: CheckInputSettings) -> tuple[Run, list[FeedEntry]]:
    """The run and its feeds, in order; raise ``BadInputError`` naming the field."""
    given = _parse(raw)
    day = (
        given.dt
        or (given.scheduled_time or execution.started_at).astimezone(ZoneInfo(given.time_zone)).date().isoformat()
    )
    run = Run(
        run_id=execution.name,
        execution_arn=execution.arn,
        dt=day,
        batch_size=min(given.batch_size or settings.batch_size, _MOST_TENSORS.get(given.tensor, _MOST_IN_A_BATCH)),
        posts_per_feed=given.posts_per_feed or settings.posts_per_feed,
        failure_tolerance_percent=_tolerance(given, settings),
        preset=given.preset,
        tensor=given.tensor,
        retry=given.retry,
    )
    return run, _entries(given.feeds)


def _tolerance(given: RunInput, settings: CheckInputSettings) -> int:
    if given.failure_tolerance_percent is not None:
        return given.failure_tolerance_percent
    # All that is retried has failed before: that it does again is no news.
    return settings.failure_tolerance_percent if given.retry is None else 100


def _parse(raw: Any) -> RunInput:
    if not isinstance(raw, dict):
        raise BadInputError(f"the execution input is a JSON {type(raw).__name__}; it has to be an object")
    given = dict(raw)
    # Load Feeds leaves the SSM parameter here when the input names no feeds.
    parameter = given.pop("feeds_parameter", None)
    if "feeds" not in given and parameter is not None:
        given["feeds"] = _scheduled(parameter, given.get("schedule", "daily"))
    try:
        return RunInput.model_validate(given)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)[:5]
        ]
        raise BadInputError("execution input: " + "; ".join(problems)) from error


def _scheduled(parameter: dict[str, str], schedule: Any) -> Any:
    """The parameter's feeds: one list, or ``{"daily": [...], "frequent": [...]}``, a list for each schedule."""
    try:
        feeds = json.loads(parameter["value"])
    except ValueError as error:
        raise BadInputError(f"SSM parameter {parameter['name']}: not JSON: {error}") from error
    if not isinstance(feeds, dict):
        return feeds
    if not isinstance(schedule, str) or schedule not in feeds:
        raise BadInputError(f"SSM parameter {parameter['name']}: no feeds for the schedule {schedule!r}: {list(feeds)}")
    return feeds[schedule]


def _entries(feeds: list[Any]) -> list[FeedEntry]:
    entries: list[FeedEntry] = []
    places: dict[str, int] = {}
    for place, config in enumerate(feeds):
        for entry in map(_entry, _by_server(config)):
            if entry.feed_id in places:
                raise BadInputError(
                    f"execution input: feeds.{place}: {entry.name} is feeds.{places[entry.feed_id]} again"
                )
            places[entry.feed_id] = place
            entries.append(entry)
    if len(entries) > MAX_FEEDS:
        raise BadInputError(f"execution input: feeds: {len(entries)} with each server of a list, {MAX_FEEDS} at most")
    return entries


def _by_server(config: Any) -> list[Any]:
    """``config``, or one for each server where it names several with commas between them."""
    try:
        feed = Feed.of(config)
    except BadFeedError:
        return [config]
    servers = [server.strip() for server in (feed.server or "").split(",")]
    if len(servers) == 1:
        return [config]
    return [feed.model_dump(exclude_none=True) | {"server": server} for server in servers if server]


def _entry(config: Any) -> FeedEntry:
    try:
        feed = Feed.of(config)
    except BadFeedError:
        # Fetch says what is wrong with it, where it fails this one feed and no other.
        text = _text(config)
        return FeedEntry(feed_id=f"bad-{hashlib.sha256(text.encode()).hexdigest()[:8]}", name=text[:120], config=config)
    return FeedEntry(feed_id=feed.feed_id, name=feed.name, config=config)


def _text(config: Any) -> str:
    return config if isinstance(config, str) else json.dumps(config, sort_keys=True, ensure_ascii=False)
