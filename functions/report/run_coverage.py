"""The coverage of a run's feeds: its rows in the lake, and the timelines that the next run reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version, named_if_damaged, to_json
from imagelake.lake.coverage import CoverageRow, RunRow, read_rows, second, write_rows
from imagelake.lake.rows import Status
from imagelake.run import prices
from imagelake.run.console import is_local
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.models import Run
from report.coverage import advance, cover, start_of
from report.summary import FeedSummary, Summary
from report.timeline import LOOKBACK, Gap, Timeline

_TRIES = 20
_NEVER = datetime.max.replace(tzinfo=UTC)


class Coverage:
    """The rows and timelines of a run's feeds; Report finds the same ones if it is retried."""

    def __init__(self, summary: Summary, bucket: Bucket, now: datetime, stack: str = "") -> None:
        run = summary.run
        self.configs = {feed.feed_id: feed.config for feed in summary.feeds}
        # A lake on this machine needs no name of a stack.
        self.stack = "" if is_local(run.execution_arn) else stack
        self._run_id = run.run_id
        self._start = start_of(run)
        self.rows = [row for row in _rows(summary, bucket) if row.feed_id in self.configs]
        (self.run_row,) = write_rows(bucket, object_keys.run_rows(run), [_run_row(summary, self.rows, now)])
        self.timelines = {row.feed_id: _read(row.feed_id, bucket)[0] for row in self.rows}

    @property
    def gaps(self) -> list[tuple[CoverageRow, Gap]]:
        """All gaps of the run's feeds that can be filled, the one that is lost first in front, then new lost ones."""
        found = [(row, gap) for row in self.rows for gap in self.timelines[row.feed_id].gaps]
        lost = [
            (row, Gap(start=row.gap_start, end=row.gap_end, reason=LOOKBACK))
            for row in self.rows
            if row.gap_start and row.gap_end and row.gap_reason == LOOKBACK
        ]
        return sorted(found, key=lambda one: (one[1].recoverable_until or _NEVER, one[1].start)) + lost

    @property
    def hours_until_lost(self) -> float | None:
        """Hours until the first gap begins to be lost, 0 if it has begun; ``None`` if no gap can be lost."""
        times = [gap.recoverable_until for _, gap in self.gaps if gap.recoverable_until]
        return max(0.0, (min(times) - self._start).total_seconds() / 3600) if times else None

    @property
    def became_silent(self) -> bool:
        """Tell if this run is the first one that noticed the silence of a feed."""
        return any(row.silent and self.timelines[row.feed_id].silent_run == self._run_id for row in self.rows)


def _read(feed_id: str, bucket: Bucket) -> tuple[Timeline, Version | None]:
    key = object_keys.timeline(feed_id)
    with suppress(ObjectMissingError):
        body, version = bucket.get_with_version(key)
        with named_if_damaged(key):
            return Timeline.model_validate_json(body), version
    return Timeline(), None


def _rows(summary: Summary, bucket: Bucket) -> Sequence[CoverageRow]:
    """Return the rows of a run; if they are not written, add them to the timelines first, then write them."""
    run = summary.run
    key = object_keys.coverage_rows(run)
    with suppress(ObjectMissingError):
        return read_rows(bucket, key, CoverageRow)
    has_rows = cache(lambda dt, run_id: bucket.exists(object_keys.coverage_rows_of(dt, run_id)))
    return write_rows(bucket, key, [_add(feed, run, bucket, has_rows) for feed in summary.feeds])


def _add(feed: FeedSummary, run: Run, bucket: Bucket, has_rows: Callable[[str, str], bool]) -> CoverageRow:
    """Make the row of a feed and add it to the feed's timeline; a report that is repeated finds it there.

    Windows of a stream have no lease, so two reports can do this at once, and the second one begins where the first one
    ends. For the same reason, the run before can still be about to write its rows.
    """
    key = object_keys.timeline(feed.feed_id)
    has_lease = not isinstance(feed.config, dict) or feed.config.get("window") is None
    for _ in range(_TRIES):
        stored, version = _read(feed.feed_id, bucket)
        if stored.row is not None and stored.run_id == run.run_id:
            return stored.row.model_copy(update={"feed": feed.name})
        is_lost = has_lease and stored.before is not None and not has_rows(stored.dt, stored.run_id)
        before = stored.before if is_lost and stored.before else stored
        row = cover(feed, run, before)
        after = advance(before, row, run.dt)
        if after == before:
            return row
        if after.run_id == run.run_id:
            own = {"row": row.model_copy(update={"feed": ""}), "dt": run.dt}
            after = after.model_copy(update={**own, "before": before.model_copy(update={"row": None, "before": None})})
        if bucket.put_if_unchanged(key, to_json(after.model_dump(mode="json")), "application/json", version):
            return row
    raise StorageUnavailableError(f"{key}: other reports change it all the time")


def _run_row(summary: Summary, rows: list[CoverageRow], now: datetime) -> RunRow:
    run, start = summary.run, start_of(summary.run)
    states = [row.state for row in rows]
    batches = sum(len(feed.closed) + len(feed.open) for feed in summary.feeds)
    sums = {name: sum(getattr(row, name) for row in rows) for name in ("calls", "posts", "new_posts")}
    images = sum(summary.totals[status] for status in Status)
    return RunRow(
        run_id=run.run_id,
        outcome=summary.outcome,
        by_hand=run.by_hand,
        retry_of=run.retry.run_id if run.retry else None,
        started_at=start,
        reported_at=second(now),
        seconds=max(0, round((second(now) - start).total_seconds())),
        feeds=len(rows),
        complete=states.count("complete"),
        no_activity=states.count("no_activity"),
        gap=states.count("gap"),
        failed_feeds=states.count("failed"),
        not_requested=states.count("not_requested"),
        batches=batches,
        usd_networks=round(sum(row.usd for row in rows), 6),
        usd_aws=round(prices.usd_of_run(len(rows), batches, images), 6),
        **sums,
        **{name: summary.totals[name] for name in ("planned", "shared", *Status)},
    )
