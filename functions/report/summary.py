"""The summary of a run: the result of every feed, and the outcome of the run."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any, Literal

from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Status
from imagelake.run.contracts import FeedResult
from imagelake.run.errors import FeedBusyError, ReconciliationError
from imagelake.run.failures import Failure
from imagelake.run.feed_names import with_name
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.masking import mask
from imagelake.run.models import Batch, FeedPlan, FeedReconciliation, FeedStatus, OpenBatch, Run, Stop

Outcome = Literal["ok", "partial", "failed"]
TOO_MANY_FAILURES = "TooManyFailures"


class FeedSummary(FrozenModel):
    """The result of one feed; ``problem`` is ``None`` if it succeeded, ``plan`` is ``None`` if it failed early."""

    feed_id: str
    name: str
    config: Any
    status: FeedStatus
    problem: Failure | None
    plan: FeedPlan | None
    counts: dict[str, int]
    image_bytes: int = 0
    errors: dict[str, int]
    open: list[OpenBatch]
    closed: list[Batch]
    # Of a feed without a plan; the plan of the others has these numbers.
    calls: int = 0
    cost_usd: float = 0.0

    @property
    def is_busy(self) -> bool:
        """Tell if another run is reading this feed, so that this run did not."""
        return self.problem is not None and self.problem.error == FeedBusyError.__name__


class Summary(FrozenModel):
    """A run as a whole; ``partial`` means that something is missing, and the summary names it.

    ``totals`` are the counts of all feeds, ``errors`` the numbers of failed and rejected items by error code.
    """

    run: Run
    outcome: Outcome
    totals: dict[str, int]
    errors: dict[str, int]
    feeds: list[FeedSummary]

    @property
    def logged(self) -> dict[str, Any]:
        """The facts for the log, which names feeds by their ids."""
        problems = {feed.feed_id: feed.problem.error for feed in self.feeds if feed.problem is not None}
        return {"outcome": self.outcome, "totals": self.totals, "feed_problems": problems}

    @property
    def warnings(self) -> list[str]:
        """Facts about feeds that did not fail but need attention, one sentence each."""
        return [warning for feed in self.feeds for warning in warnings_of(feed, self.run)]

    @property
    def left_out(self) -> list[str]:
        """Numbers of the rejected and suppressed posts and of the skipped media items, which have no row."""
        plans = [feed.plan for feed in self.feeds if feed.plan is not None]
        rejected = sum(plan.rejected_posts for plan in plans)
        skipped = sum((Counter(plan.skipped_media) for plan in plans), Counter[str]())
        suppressed = sum(plan.suppressed for plan in plans)
        posts = [count(rejected, "rejected post", "rejected posts")] if rejected else []
        posts += [count(suppressed, "suppressed post", "suppressed posts")] if suppressed else []
        return posts + [
            f"{count(number, 'skipped media item', 'skipped media items')}: {reason}"
            for reason, number in skipped.most_common()
        ]

    @property
    def bills(self) -> list[str]:
        """Cost of the posts that were read, one line for each feed of a network that bills them."""
        return [
            f"{feed.name}: {feed.plan.posts + feed.plan.rejected_posts} posts read, {feed.plan.cost_usd:.3f} USD"
            for feed in self.feeds
            if feed.plan is not None and feed.plan.cost_usd
        ] + [f"{feed.name}: failed after {feed.cost_usd:.3f} USD" for feed in self.feeds if feed.cost_usd]

    @property
    def backfills(self) -> list[str]:
        """Progress of each backfill, one line for each."""
        return [_backfill(feed.name, feed.plan) for feed in self.feeds if feed.plan and feed.plan.backfill]


def summarize(run: Run, results: list[FeedResult], bucket: Bucket, tolerance_percent: int) -> Summary:
    """Join the results of the feeds with their reconciliations, in the order of the input.

    The run fails if more than ``tolerance_percent`` of its feeds failed.
    """
    feeds = [_summarize_feed(result, bucket) for result in results]
    totals: Counter[str] = Counter({"planned": 0, "shared": 0, **{status.value: 0 for status in Status}})
    errors: Counter[str] = Counter()
    for feed in feeds:
        totals.update(feed.counts)
        errors.update(feed.errors)
    summary = Summary(run=run, outcome="ok", totals=dict(totals), errors=dict(errors.most_common()), feeds=feeds)
    return summary.model_copy(update={"outcome": _outcome(summary, tolerance_percent)})


def count(number: int, singular: str, plural: str) -> str:
    """Write a number with its noun."""
    return f"{number:,} {singular if number == 1 else plural}"


def warnings_of(feed: FeedSummary, run: Run) -> list[str]:
    """Warnings about one feed."""
    own = feed.plan.warnings if feed.plan is not None else []
    return [mask(warning) for warning in (_missed_posts(feed), _old_batch(feed, run), *own) if warning is not None]


def _summarize_feed(result: FeedResult, bucket: Bucket) -> FeedSummary:
    reconciliation = None
    if result.reconciliation is not None:
        reconciliation = bucket.get_model(result.reconciliation.reconciliation_key, FeedReconciliation)
    return FeedSummary(
        feed_id=result.feed.feed_id,
        # Rows have the name as it is; people read this one.
        name=mask(result.feed.name),
        config=result.feed.config,
        status=result.status,
        problem=_problem(result, reconciliation),
        plan=result.plan,
        counts=reconciliation.counts if reconciliation else {},
        image_bytes=reconciliation.image_bytes if reconciliation else 0,
        errors=reconciliation.errors if reconciliation else {},
        open=reconciliation.open if reconciliation else [],
        closed=reconciliation.closed if reconciliation else [],
        calls=result.calls,
        cost_usd=result.cost_usd,
    )


def _problem(result: FeedResult, reconciliation: FeedReconciliation | None) -> Failure | None:
    """Return the problem of a feed, whose message has the name of the feed in place of its id."""
    failure = _failure(result, reconciliation)
    return failure and failure.model_copy(update={"message": with_name(failure.message, result.feed)})


def _failure(result: FeedResult, reconciliation: FeedReconciliation | None) -> Failure | None:
    if result.error is not None:
        return Failure.of(result.error)
    if reconciliation is None:
        return None
    if result.status == "failed":
        counts = reconciliation.counts
        message = f"{counts['failed']} of {counts['planned']} items failed, more than is tolerated"
        return Failure(error=TOO_MANY_FAILURES, message=message)
    return reconciliation.open[0].failure if reconciliation.open else None


def _outcome(summary: Summary, tolerance_percent: int) -> Outcome:
    problems = [feed.problem.error for feed in summary.feeds if feed.problem is not None]
    if ReconciliationError.__name__ in problems:
        return "failed"
    # Another run reads the busy feeds, so they do not count here, even if all feeds are busy.
    own_feeds = [feed for feed in summary.feeds if not feed.is_busy]
    failed = sum(not _brought_something(feed) for feed in own_feeds)
    if failed * 100 > len(own_feeds) * tolerance_percent:
        return "failed"
    all_well = all(feed.status in ("complete", "up_to_date") for feed in summary.feeds)
    return "ok" if all_well and not summary.errors and not summary.warnings else "partial"


def _brought_something(feed: FeedSummary) -> bool:
    return feed.status in ("complete", "up_to_date") or (feed.status == "incomplete" and bool(feed.closed))


def _missed_posts(feed: FeedSummary) -> str | None:
    plan = feed.plan
    # Fetch itself warns of a budget, and a backfill goes on with the next run.
    if plan is None or plan.stopped_by in (None, Stop.BUDGET) or plan.backfill:
        return None
    limit = plan.stopped_by.replace("_", " ")
    if plan.cost_usd and plan.stopped_by is not Stop.RATE_LIMIT:
        return (
            f"{feed.name}: reading stopped at its {limit} limit after {plan.cost_usd:.3f} USD; older posts since the"
            " last run were not read: raise the limit, or run more often"
        )
    advice = "raise posts_per_feed, or run more often"
    if plan.stopped_by is Stop.BYTES:
        advice = "its pages have very much text; see its rejects"
    return (
        f"{feed.name}: reading stopped at its {limit} limit before it reached the last bookmark; the next run starts"
        f" from the same bookmark: {advice}"
    )


def _backfill(name: str, plan: FeedPlan) -> str:
    state = f"goes on with the next run (stopped by: {plan.stopped_by})" if plan.stopped_by else "is done"
    posts = "no posts read"
    if plan.posts:
        posts = f"{count(plan.posts, 'post', 'posts')} read, {plan.new_posts or 'none'} of them with a new image"
    return f"{name}: {posts}; {f'back to {plan.oldest_at[:10]}; ' if plan.oldest_at else ''}it {state}"


def _old_batch(feed: FeedSummary, run: Run) -> str | None:
    oldest = min((batch.dt for batch in feed.open), default=run.dt)
    if (date.fromisoformat(run.dt) - date.fromisoformat(oldest)).days <= 1:
        return None
    return f"{feed.name}: a batch planned for {oldest} is still open"
