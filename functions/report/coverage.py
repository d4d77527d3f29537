"""The coverage of one feed in one run, from its result and from what earlier runs have covered; nothing is read here.

A feed's time begins with the oldest post of its first run and grows with every run up to that run's start. Each run
adds one span, so the spans of all rows are a partition of it. What a run leaves unread is a gap until a later run has
read it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, timedelta
from statistics import median

from imagelake.lake.coverage import CoverageRow, State, second
from imagelake.lake.rows import Status
from imagelake.run.errors import BadFeedError
from imagelake.run.models import FeedPlan, Run
from imagelake.sources import Feed, get_source, parse_feed
from report.spans import Span, listed_from, look_back, read_span, time_of, unreported_span
from report.summary import FeedSummary
from report.timeline import LOOKBACK, UNREPORTED, Gap, Timeline, can_be_filled

# Days of one weekday whose median is the usual number of new posts.
WEEKS = 14
USUAL_AT_LEAST = 5
# A daily run starts up to a few hours earlier than the one before, if somebody changes the schedule.
SILENT_AFTER = timedelta(hours=20)
# The table has all gaps; the timeline of a feed keeps the newest ones.
MAX_GAPS = 100


def start_of(run: Run) -> datetime:
    """Return the start of a run; executions of an earlier version know only their day."""
    return second(run.started_at or run.dt)


def definition(feed: FeedSummary) -> Feed | None:
    """Return the definition of a feed, ``None`` if it is removed or wrong, or if nobody knows its network."""
    with suppress(BadFeedError):
        defined = parse_feed(feed.config) if feed.config is not None else None
        return defined if defined and get_source(defined.source) else None
    return None


def cover(feed: FeedSummary, run: Run, before: Timeline) -> CoverageRow:
    """Make the row of one feed; ``before`` is what earlier runs have covered."""
    start, defined = start_of(run), definition(feed)
    plan = None if _is_not_requested(feed, run) else feed.plan
    read = read_span(plan, defined, start, before) if plan else None
    unreported = unreported_span(plan, defined, start, before) if plan else None
    is_backfill = plan.backfill if plan else isinstance(feed.config, dict) and "since" in feed.config
    # No run can ever read a feed that is not defined, so it has no time.
    has_no_time = _is_not_requested(feed, run) or (is_backfill and not plan) or defined is None
    span = None if has_no_time else _span(plan, read, start, before)
    gap = _gap(span, [read, unreported], plan, before)
    state = _state(feed, run, gap, before)
    reason = _reason(feed, state, gap, defined, start)
    usual = _usual(before, run.dt) if plan and not plan.backfill else None
    return CoverageRow(
        run_id=run.run_id,
        feed_id=feed.feed_id,
        feed=feed.name,
        source=defined.source if defined else None,
        state=state,
        backfill=is_backfill,
        requested_start=time_of(plan.asked_from) if plan else None,
        requested_end=start,
        read_start=read.start if read else None,
        read_end=read.end if read else None,
        unreported_start=unreported.start if unreported else None,
        unreported_end=unreported.end if unreported else None,
        bookmark_at=_bookmark(plan, before),
        span_start=span.start if span else None,
        span_end=span.end if span else None,
        gap_start=gap.start if gap else None,
        # The gap of a first run begins at an unknown time.
        gap_end=gap.end if gap else (read.start if read else start) if state == "gap" else None,
        gap_reason=reason,
        recoverable_until=_recoverable_until(gap, reason, defined, start),
        usual=usual,
        silent=_is_silent(plan, state, usual, start, before),
        **_numbers(feed, plan),
    )


def advance(before: Timeline, row: CoverageRow, dt: str) -> Timeline:
    """Return the timeline after a row; the same row changes it only once."""
    if row.run_id == before.run_id or row.state == "not_requested":
        return before
    if before.until and row.requested_end < before.until:
        # The report is repeated after that of a later run, which has the rest.
        return before.model_copy(update={"gaps": _unread(before.gaps, row)})
    gaps = before.gaps
    if row.gap_start and row.gap_end:
        reason, until = row.gap_reason or "", row.recoverable_until
        gaps = [*gaps, Gap(start=row.gap_start, end=row.gap_end, reason=reason, recoverable_until=until)]
    gaps = _unread(gaps, row)
    # If the bookmark stays where it is, the next run counts these posts again.
    is_counted_later = not row.backfill and row.bookmark_at == row.requested_start
    is_new = not row.backfill and (row.new_posts > 0 or row.images > row.already_known)
    return Timeline(
        run_id=row.run_id,
        begin=min(filter(None, (before.begin, row.span_start)), default=None),
        # Only the first row of a feed adds time at both ends.
        until=(row.backfill and before.until) or max(filter(None, (before.until, row.span_end)), default=None),
        bookmark_at=row.bookmark_at,
        gaps=[gap for gap in gaps if can_be_filled(gap, row.requested_end)][-MAX_GAPS:],
        posts=before.posts + (0 if is_counted_later else row.new_posts),
        images=before.images + row.images - row.already_known,
        days=_days(before, row, dt),
        last_new_at=row.requested_end if is_new else before.last_new_at or row.requested_end,
        # Only a new post ends a silence: on a quiet weekday, and in a run that fails, nobody can notice it.
        silent_run="" if is_new else before.silent_run or (row.run_id if row.silent else ""),
    )


def _is_not_requested(feed: FeedSummary, run: Run) -> bool:
    """Tell if the run reads no posts of the feed: it retries items, the feed is removed, or another run reads it."""
    has_no_result = feed.plan is None and feed.problem is None
    return run.retry is not None or feed.config is None or feed.is_busy or has_no_result


def _span(plan: FeedPlan | None, read: Span | None, start: datetime, before: Timeline) -> Span | None:
    """Return what a run adds to the feed's time: what is later, or in a backfill, what is earlier."""
    asked = time_of(plan.asked_from) if plan else None
    if plan and plan.backfill:
        end = before.begin or start
        return Span(asked, end) if asked and asked < end else None
    begin = before.until or asked or (read.start if read else start)
    return Span(begin, max(begin, start))


def _gap(span: Span | None, readings: list[Span | None], plan: FeedPlan | None, before: Timeline) -> Span | None:
    """Return what is left of the span; an earlier run has read what is before the bookmark."""
    if span is None:
        return None
    if not (plan and plan.backfill):
        asked = time_of(plan.asked_from) if plan else None
        known = min(filter(None, (asked, before.bookmark_at)), default=span.start)
        span = Span(min(max(span.start, known), span.end), span.end)
    pieces = [span]
    for reading in readings:
        pieces = [rest for piece in pieces for rest in piece.without(reading)]
    # There is more than one piece only if a run without a report has read what is between them.
    return Span(pieces[0].start, pieces[-1].end) if pieces and pieces[0].start < pieces[-1].end else None


def _bookmark(plan: FeedPlan | None, before: Timeline) -> datetime | None:
    if plan is None or plan.backfill:
        return before.bookmark_at
    return time_of(plan.bookmark.newest_at) or time_of(plan.asked_from)


def _state(feed: FeedSummary, run: Run, gap: Span | None, before: Timeline) -> State:
    if _is_not_requested(feed, run):
        return "not_requested"
    plan = feed.plan
    if plan is None:
        return "failed"
    # A first run has no bookmark, so it has a gap only if it stopped earlier than the user wants.
    is_cut_off = before.until is None and not plan.asked_from and plan.stopped_by is not None
    if gap or is_cut_off:
        return "gap"
    return "complete" if _has_news(plan) or plan.rejected_posts else "no_activity"


def _has_news(plan: FeedPlan) -> bool:
    """Tell if there is a new post, or a new image in a post that is not later than the bookmark."""
    return plan.new_posts > 0 or plan.images > plan.already_known


def _reason(feed: FeedSummary, state: State, gap: Span | None, defined: Feed | None, start: datetime) -> str | None:
    plan = feed.plan
    if state != "gap" or plan is None:
        return feed.problem.error if state in ("failed", "not_requested") and feed.problem else None
    if plan.limit:
        return plan.limit.value
    lists_newest_only = defined and get_source(defined.source).manifest.lookback_of(defined).posts is not None
    listed = listed_from(plan, defined, start)
    is_lost = lists_newest_only or (gap and listed and gap.end <= listed)
    return LOOKBACK if is_lost else UNREPORTED


def _recoverable_until(gap: Span | None, reason: str | None, feed: Feed | None, start: datetime) -> datetime | None:
    lookback = look_back(feed)
    if gap is None:
        return None
    # Without a time, the number of listed posts was too small, and the older posts are already gone.
    return gap.start + lookback if lookback else start if reason == LOOKBACK else None


def _unread(gaps: list[Gap], row: CoverageRow) -> list[Gap]:
    """Return what the readings of a row leave of gaps."""
    for start, end in ((row.read_start, row.read_end), (row.unreported_start, row.unreported_end)):
        if start and end:
            gaps = [rest for gap in gaps for rest in _rest(gap, Span(start, end))]
    return gaps


def _rest(gap: Gap, read: Span | None) -> list[Gap]:
    """Return what a reading leaves of a gap; a later begin is lost later."""
    return [
        gap.model_copy(
            update={
                "start": piece.start,
                "end": piece.end,
                "recoverable_until": gap.recoverable_until and gap.recoverable_until + (piece.start - gap.start),
            }
        )
        for piece in Span(gap.start, gap.end).without(read)
    ]


def _usual(before: Timeline, dt: str) -> float | None:
    weekday = date.fromisoformat(dt).weekday()
    counts = [
        number for day, number in before.days.items() if day != dt and date.fromisoformat(day).weekday() == weekday
    ]
    return float(median(counts)) if counts else None


def _is_silent(plan: FeedPlan | None, state: State, usual: float | None, start: datetime, before: Timeline) -> bool:
    if plan is None or plan.backfill or _has_news(plan) or state not in ("complete", "no_activity"):
        return False
    is_long = before.last_new_at is not None and start - before.last_new_at >= SILENT_AFTER
    return usual is not None and usual > USUAL_AT_LEAST and is_long


def _days(before: Timeline, row: CoverageRow, dt: str) -> dict[str, int]:
    """Add the new posts to their day. A first run reads the posts of many days, and a failed one reads none."""
    if row.backfill or row.state == "failed" or before.bookmark_at is None:
        return before.days
    days = before.days | {dt: before.days.get(dt, 0) + row.new_posts}
    same = sorted(day for day in days if (date.fromisoformat(day) - date.fromisoformat(dt)).days % 7 == 0)
    return {day: days[day] for day in sorted(days) if day not in same[:-WEEKS]}


def _numbers(feed: FeedSummary, plan: FeedPlan | None) -> dict[str, object]:
    counts = {name: feed.counts.get(name, 0) for name in ("planned", "shared", *Status)}
    copied = ("pages", "calls", "posts", "new_posts", "images", "already_known", "rejected_posts", "suppressed")
    of_plan = {name: getattr(plan, name) if plan else 0 for name in copied} | ({} if plan else {"calls": feed.calls})
    return counts | of_plan | {
        "skipped": plan.skipped_media if plan else {},
        "declared": plan.declared if plan else None,
        "usd": plan.cost_usd if plan else feed.cost_usd,
    }  # fmt: skip
