"""A run's summary: what became of every feed, and of the run as a whole."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Status
from imagelake.run.errors import FeedBusyError, ReconciliationError
from imagelake.run.failures import CaughtError, Failure
from imagelake.run.models import FeedEntry, Run

FeedStatus = Literal["complete", "up_to_date", "incomplete", "failed"]


class FeedSummary(BaseModel):
    """What became of one feed. ``problem`` says what is wrong and is ``None`` where nothing is."""

    model_config = ConfigDict(frozen=True)

    feed_id: str
    name: str
    config: Any
    status: FeedStatus
    problem: Failure | None
    plan: dict[str, Any]
    counts: dict[str, int]
    errors: dict[str, int]
    open: list[dict[str, Any]]
    closed: list[dict[str, Any]]

    @property
    def is_busy(self) -> bool:
        """Whether another run is at this feed, so that this one left it alone."""
        return self.problem is not None and self.problem.error == FeedBusyError.__name__


class Summary(BaseModel):
    """A run as a whole: ``ok``, ``partial`` (something is missing, and named) or ``failed``."""

    model_config = ConfigDict(frozen=True)

    run: Run
    outcome: Literal["ok", "partial", "failed"]
    totals: dict[str, int]
    errors: dict[str, int]
    feeds: list[FeedSummary]

    @property
    def warnings(self) -> list[str]:
        """What a reader should know of feeds that did not fail."""
        return [
            warning
            for feed in self.feeds
            for warning in (_missed_posts(feed), _old_batches(feed, self.run), *feed.plan.get("warnings", []))
            if warning is not None
        ]

    @property
    def bills(self) -> list[str]:
        """What was read of networks that ask money for it, a line for each feed."""
        return [
            f"{feed.name}: {plan['posts'] + plan['rejected_posts']} posts read, {plan['cost_usd']:.3f} USD"
            for feed in self.feeds
            if (plan := feed.plan).get("cost_usd")
        ]


def summarise(run: Run, results: list[dict[str, Any]], bucket: Bucket) -> Summary:
    """Join the feeds' results with their reconciliation; the order is that of the input."""
    feeds = [_feed(result, bucket) for result in results]
    totals: Counter[str] = Counter({"planned": 0, "shared": 0, **{status.value: 0 for status in Status}})
    errors: Counter[str] = Counter()
    for feed in feeds:
        totals.update(feed.counts)
        errors.update(feed.errors)
    summary = Summary(run=run, outcome="ok", totals=dict(totals), errors=dict(errors.most_common()), feeds=feeds)
    return summary.model_copy(update={"outcome": _outcome(summary)})


def _feed(result: dict[str, Any], bucket: Bucket) -> FeedSummary:
    entry = FeedEntry.model_validate(result["feed"])
    reconciliation = (
        bucket.get_json(result["reconciliation"]["reconciliation_key"]) if "reconciliation" in result else {}
    )
    problem = None
    if "error" in result:
        problem = Failure.of(CaughtError.model_validate(result["error"]))
    elif result["status"] == "failed":
        counts = reconciliation["counts"]
        message = f"{counts['failed']} of {counts['planned']} items failed, more than is tolerated"
        problem = Failure(error="TooManyFailures", message=message)
    elif reconciliation.get("open"):
        problem = Failure.model_validate(reconciliation["open"][0]["failure"])
    return FeedSummary(
        feed_id=entry.feed_id,
        name=entry.name,
        config=entry.config,
        status=result["status"],
        problem=problem,
        plan=result.get("plan", {}),
        counts=reconciliation.get("counts", {}),
        errors=reconciliation.get("errors", {}),
        open=reconciliation.get("open", []),
        closed=reconciliation.get("closed", []),
    )


def _outcome(summary: Summary) -> Literal["ok", "partial", "failed"]:
    if any(feed.problem is not None and feed.problem.error == ReconciliationError.__name__ for feed in summary.feeds):
        return "failed"
    # A run that came second is no failure, even if it came second everywhere: the first does the work, and says how.
    ours = [feed for feed in summary.feeds if not feed.is_busy]
    if ours and not any(
        feed.status in ("complete", "up_to_date") or (feed.status == "incomplete" and feed.closed) for feed in ours
    ):
        return "failed"
    clean = all(feed.status in ("complete", "up_to_date") for feed in summary.feeds)
    return "ok" if clean and not summary.errors and not summary.warnings else "partial"


def _missed_posts(feed: FeedSummary) -> str | None:
    stopped_by = feed.plan.get("stopped_by")
    if stopped_by is None:
        return None
    limit = stopped_by.replace("_", " ")
    if feed.plan.get("cost_usd") and stopped_by != "rate_limit":
        return (
            f"{feed.name}: reading stopped at its {limit} limit, {feed.plan['cost_usd']:.3f} USD were spent; older"
            " posts since the last run were not read: raise the limit, or run more often"
        )
    return (
        f"{feed.name}: reading stopped at its {limit} limit before it came to what was already seen; the bookmark"
        " stays, so the next run tries again: raise posts_per_feed, or run more often"
    )


def _old_batches(feed: FeedSummary, run: Run) -> str | None:
    oldest = min((batch["dt"] for batch in feed.open), default=run.dt)
    if (date.fromisoformat(run.dt) - date.fromisoformat(oldest)).days <= 1:
        return None
    return f"{feed.name}: a batch planned for {oldest} is still open"
