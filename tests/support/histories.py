"""Recorded histories of a feed on a made-up network: runs that the real pager reads, and what is truly known of them.

``History`` has the posts, the clock and the runs. Its oracle is an array with one element per second: a second is known
if a run has received every post of it. It is computed from the pages alone, not from the progress.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

import fetch.pager
from fetch.bookmarks import FeedPosition
from fetch.pager import Pager
from imagelake.lake.bucket import Bucket
from imagelake.lake.coverage import CoverageRow
from imagelake.lake.suppression import SuppressionList
from imagelake.run.errors import FeedBusyError, ImagelakeError, RateLimitedError, SourceUnavailableError
from imagelake.run.failures import Failure
from imagelake.run.models import BackfillPosition, FeedPlan, Progress, Retry, Run
from imagelake.run.posts import Post
from imagelake.sources import SOURCES, Bookmark, Feed, Page
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.web.messages import Request, Response
from report.coverage import advance, cover
from report.summary import FeedSummary
from report.timeline import Timeline
from tests.support.factories import NO_BUDGETS, RUN, feed_plan
from validate.planner import SHOWN

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
# Later seconds count for nothing.
DAYS = 16
Seconds = npt.NDArray[np.bool_]
NEVER = datetime(2300, 1, 1, tzinfo=UTC)


def at(day: float, time: str = "00:00:00") -> datetime:
    """A time of the history, by its day from 0 and its time of day."""
    hours, minutes, seconds = (int(part) for part in (time + ":00:00").split(":")[:3])
    return BEGIN + timedelta(days=day, hours=hours, minutes=minutes, seconds=seconds)


def index(time: datetime) -> int:
    return int((time - BEGIN) // timedelta(seconds=1))


def seconds(start: datetime, end: datetime) -> Seconds:
    """The seconds from one time to another."""
    found = np.zeros(DAYS * 86_400, dtype=np.bool_)
    found[max(0, index(start)) : max(0, index(end))] = True
    return found


@dataclass
class MadeUp:
    """The adapter of the network and its server in one; ``posts`` are the times of all posts, ids count from 0."""

    posts: list[datetime]
    newest_first: bool = True
    lookback: timedelta | None = None
    # Only so many of the newest posts are listed.
    newest: int | None = None
    post_usd: float | None = None
    page_size: int = 10
    # Every page takes so long, and posts come meanwhile.
    seconds_a_page: int = 0
    name: str = "madeup"
    overlap: int = 0
    media_hosts: frozenset[str] | None = None
    # Posts whose stated time is not that of their place in the listing, such as backdated ones.
    stated: dict[int, datetime] = field(default_factory=dict)

    @property
    def manifest(self) -> Manifest:
        return Manifest(
            title="Made up",
            feeds=("madeup:cats",),
            lookback=(Lookback("posts", time=self.lookback, posts=self.newest),),
            page_size=self.page_size,
            credentials=(),
            credentials_required=False,
            post_usd=self.post_usd,
            deletion="never",
            terms="none",
        )

    def listed(self, now: datetime) -> list[int]:
        """The ids of the posts that the network lists at a time, the newest in front."""
        oldest = now - self.lookback if self.lookback else BEGIN
        return [number for number, time in enumerate(self.posts) if oldest <= time <= now][::-1][: self.newest]

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        since = bookmark.newest_id if bookmark and not self.newest_first else ""
        return Request("https://madeup.example/posts", {"after": cursor or "", "since": since})

    def parse(self, feed: Feed, response: Response) -> Page:
        raise NotImplementedError

    def without(self, *_: Any) -> bytes:
        raise NotImplementedError

    def price(self, request: Request) -> float:
        return self.page_size * (self.post_usd or 0.0)

    def page(self, request: Request, now: datetime) -> Page:
        listed = self.listed(now)
        if since := request.params["since"]:
            listed = [number for number in listed[::-1] if number > int(request.params["after"] or since)]
        elif request.params["after"]:
            listed = [number for number in listed if number < int(request.params["after"])]
        here = listed[: self.page_size]
        times = {n: self.stated.get(n, self.posts[n]) for n in here}
        posts = [Post(post_id=str(n), author_id="a", posted_at=times[n], media=[]) for n in here]
        newest_at = max(times.values(), default=None)
        newest = Bookmark(newest_id=str(max(here)), newest_at=newest_at) if newest_at else None
        cursor = str(here[-1]) if len(listed) > len(here) else None
        return Page(posts, [], cursor, newest=newest, cost_usd=len(here) * (self.post_usd or 0.0))


class Free(MadeUp):
    """A network without a price; only such networks have posts whose stated time is not that of their place."""

    price = None  # type: ignore[assignment]


@dataclass
class History:
    """A feed and its runs, one after the other."""

    network: MadeUp
    limit: int = 1_000
    config: Any = "madeup:cats"
    bookmark: Bookmark | None = None
    position: BackfillPosition = field(default_factory=BackfillPosition)
    timeline: Timeline = field(default_factory=Timeline)
    rows: list[CoverageRow] = field(default_factory=list)
    known: Seconds = field(default_factory=lambda: np.zeros(DAYS * 86_400, dtype=np.bool_))
    # Seconds after the start of a run and before its first page; only what a later reading says of them counts.
    after_start: Seconds = field(default_factory=lambda: np.zeros(DAYS * 86_400, dtype=np.bool_))
    read_posts: set[int] = field(default_factory=set)
    _pending: Seconds = field(default_factory=lambda: np.zeros(DAYS * 86_400, dtype=np.bool_))
    # What backfills without a report have read; the next backfill tells it.
    _pending_backfills: Seconds = field(default_factory=lambda: np.zeros(DAYS * 86_400, dtype=np.bool_))
    _pages: list[tuple[Page, datetime]] = field(default_factory=list)
    _asked: list[Request] = field(default_factory=list)
    _now: datetime = BEGIN
    _start: datetime = BEGIN
    _faults: dict[int, Exception] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def read(self, request: Request) -> tuple[Response, Page]:
        """Answer a request of the pager like a session."""
        if error := self._faults.get(len(self._pages)):
            raise error
        self._now += timedelta(seconds=self.network.seconds_a_page)
        page = self.network.page(request, self._now)
        self._pages.append((page, self._now))
        self._asked.append(request)
        return Response(200, {}, json.dumps(len(page.posts)).encode(), request.url), page

    def run(self, start: datetime, *, faults: dict[int, Exception] | None = None, **more: Any) -> CoverageRow | None:
        """Read the feed in one run. ``killed`` is a run without a report, which may have moved the bookmark."""
        self._pages, self._asked, self._now, self._start, self._faults = [], [], start, start, faults or {}
        before, posts, position = self.known.copy(), set(self.read_posts), self.position
        with patch.object(fetch.pager, "now", lambda: self._now):
            plan, error = self._read(more.get("cap"))
        if plan and not more.get("killed_early"):
            self._commit(plan)
        if more.get("fails_later"):
            plan, error = None, SourceUnavailableError("a later step failed")
        if more.get("killed_early"):
            self.known, self.read_posts = before, posts
        elif (more.get("killed") or more.get("fails_later")) and self._since:
            # Only the position of the backfill tells what it has read, and the next backfill tells it.
            self._pending_backfills |= self.known & ~before
            self.known = before
        elif more.get("killed") or more.get("fails_later"):
            # Only the bookmark tells what it has read, and the next run tells it.
            assert self.bookmark is not None
            if self.position != position:
                self._pending_backfills |= self.known & ~before
            self._pending |= self.known & ~before & seconds(BEGIN, self.bookmark.newest_at)
            self.known = before
        if more.get("killed") or more.get("killed_early"):
            return None
        if plan is not None:
            self.known |= self._pending_backfills if self._since else self._pending
        return self._report(start, plan, error)

    @property
    def _since(self) -> datetime | None:
        """The day of a backfill."""
        since = self.config.get("since") if isinstance(self.config, dict) else None
        return datetime.fromisoformat(since).replace(tzinfo=UTC) if since else None

    def _commit(self, plan: FeedPlan) -> None:
        """Store the bookmark and the position like Commit Bookmark: both, or none if the bookmark would go back."""
        newest = Bookmark.model_validate(plan.bookmark.model_dump()) if plan.bookmark.newest_at else None
        if self.bookmark is not None and (newest is None or newest.newest_at < self.bookmark.newest_at):
            return
        self.bookmark, self.position = newest or self.bookmark, plan.backfill_position

    def not_read(self, start: datetime, why: str) -> CoverageRow:
        """A run that reads nothing: the feed is ``busy`` or ``removed``, or the run is a ``retry``."""
        error = FeedBusyError("another run reads it") if why == "busy" else None
        retry = Retry(run_id="earlier") if why == "retry" else None
        plan = None if why == "busy" else FeedPlan.model_validate(feed_plan())
        return self._report(start, plan, error, config=None if why == "removed" else self.config, retry=retry)

    def backfill(self, start: datetime, since: datetime, posts: int, **more: Any) -> CoverageRow | None:
        """Read so many older posts in one run of a backfill."""
        config, limit = self.config, self.limit
        self.config, self.limit = {"source": "madeup", "account": "cats", "since": f"{since:%Y-%m-%d}"}, posts
        try:
            return self.run(start, **more)
        finally:
            self.config, self.limit = config, limit

    def _read(self, cap: float | None) -> tuple[FeedPlan | None, ImagelakeError | None]:
        since = f"{self._since:%Y-%m-%d}" if self._since else None
        feed = Feed.of("madeup:cats").model_copy(update={"cost_cap_usd": cap, "since": since})
        run: Run = RUN.model_copy(update={"posts_per_feed": self.limit})
        bucket = cast(Bucket, _NoBucket())
        reading = Pager(
            cast(Any, self.network), feed, "cats", run, cast(Any, self), bucket, SuppressionList(), NO_BUDGETS
        )
        try:
            progress = reading.read(Progress(), FeedPosition(self.bookmark, self.position), lambda: 300.0)
        except ImagelakeError as error:
            return None, error
        assert progress.status == "done"
        self._learn(progress)
        changes = progress.model_dump(include={*SHOWN, "posts", "stopped_by", "cost_usd", "backfill_position"})
        bookmark = {"newest_id": progress.newest_id, "newest_at": progress.newest_at}
        return FeedPlan.model_validate(feed_plan(bookmark=bookmark, **changes)), None

    def _learn(self, progress: Progress) -> None:
        """Mark the seconds of which the kept pages have every post."""
        kept = self._pages[: progress.pages]
        numbers = [int(post.post_id) for page, _ in kept for post in page.posts]
        self.read_posts |= set(numbers)
        if kept:
            self.after_start |= seconds(self._start, self._pages[0][1])
        # Posts that are out of order say nothing about the seconds.
        times = [self.network.posts[number] for number in numbers if number not in self.network.stated]
        # A page beyond the limit is not kept, but that it was asked for says that the listing goes on.
        is_end = bool(kept) and kept[-1][0].cursor is None and len(kept) == len(self._pages)
        # A run vouches for the time before its start, and for what is before its bookmark.
        end = max(self._start, *times, self._start).replace(microsecond=0) if progress.newest_at else self._start
        floor = self.bookmark.newest_at if self.bookmark else None
        if self._since:
            floor, end = self._since, self._start
            if cursor := self._asked[0].params["after"] if self._asked else None:
                # Posts of the same second are before the cursor, so the run that left it has read them.
                end = self.network.posts[int(cursor)] + timedelta(seconds=1)
        elif floor is not None and not self.network.newest_first:
            if is_end:
                self.known |= seconds(floor, end)
            elif times:
                self.known |= seconds(floor, max(times).replace(microsecond=0))
            return
        if times:
            self.known |= seconds(min(times).replace(microsecond=0) + timedelta(seconds=1), end)
        if floor is not None and any(time < floor or (time == floor and not self._since) for time in times):
            low = floor
        elif is_end:
            low = self._end_of_listing(times, floor, end)
        else:
            return
        self.known |= seconds(low, end)

    def _end_of_listing(self, times: list[datetime], floor: datetime | None, end: datetime) -> datetime:
        """Return the time back to which a listing is complete that has no further page."""
        if self.network.lookback:
            return max(self._now - self.network.lookback, floor or self.timeline.begin or BEGIN)
        if self.network.newest and len(self.network.listed(self._now)) >= self.network.newest:
            is_first = self.timeline.begin is None
            return min(times, default=end).replace(microsecond=0) + timedelta(seconds=0 if is_first else 1)
        # A first run claims nothing before its first post.
        return floor or self.timeline.begin or min(times, default=end).replace(microsecond=0)

    def _report(
        self, start: datetime, plan: FeedPlan | None, error: Exception | None, config: Any = ..., retry: Any = None
    ) -> CoverageRow:
        SOURCES["madeup"] = cast(Any, self.network)
        problem = Failure(error=type(error).__name__, message=str(error)) if error else None
        summary = FeedSummary(
            feed_id="cats", name="madeup:cats", config=self.config if config is ... else config,
            status="failed" if error else "complete", problem=problem, plan=plan, counts={}, errors={}, open=[],
            closed=[],
        )  # fmt: skip
        run_id, started_at = f"run-{len(self.rows):03d}", start.strftime("%Y-%m-%dT%H:%M:%SZ")
        update = {"run_id": run_id, "dt": f"{start:%Y-%m-%d}", "started_at": started_at, "retry": retry}
        run = RUN.model_copy(update=update)
        row = cover(summary, run, self.timeline)
        after = advance(self.timeline, row, run.dt)
        assert advance(after, row, run.dt) == after, "a repeated report changes nothing"
        assert cover(summary, run, Timeline.model_validate_json(self.timeline.model_dump_json())) == row
        self.timeline = after
        self.rows.append(row)
        return row

    # ---- The states by the rows alone --------------------------------------------------------------------------------

    @property
    def time(self) -> Seconds:
        """The seconds of the feed's time."""
        begin, until = self.timeline.begin, self.timeline.until
        return seconds(begin, until) if begin and until else seconds(BEGIN, BEGIN)

    def states(self) -> dict[str, Seconds]:
        """The seconds of each state: that of the row whose span they are in, until a later run has read them."""
        nothing = seconds(BEGIN, BEGIN)
        found = {state: nothing.copy() for state in ("complete", "no_activity", "gap", "failed")}
        for row in self.rows:
            if row.span_start is None or row.span_end is None:
                continue
            gap = seconds(row.gap_start, row.gap_end) if row.gap_start and row.gap_end else nothing
            rest = "no_activity" if row.state == "no_activity" else "complete"
            found["failed" if row.state == "failed" else "gap"] |= gap
            found[rest] |= seconds(row.span_start, row.span_end) & ~gap
        for row in self.rows:
            for start, end in ((row.read_start, row.read_end), (row.unreported_start, row.unreported_end)):
                read = seconds(start, end) if start and end else nothing
                for state in ("gap", "failed"):
                    found["complete"] |= found[state] & read
                    found[state] &= ~read
        return found


class _NoBucket:
    def put(self, *_: Any) -> None:
        """Drop the raw page."""

    def put_json(self, *_: Any) -> None:
        """Drop the definition of the feed."""


def rate_limited() -> RateLimitedError:
    """A rate limit that ends too late to wait for it."""
    return RateLimitedError("slow down", NEVER)
