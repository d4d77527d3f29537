"""Metrics of a run: errors by code, problems by feed, and the share of failed images that an alarm watches.

CloudWatch bills a metric only for the hours in which it is sent. A metric of a daily run costs a cent a month, so each
feed may have its own.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aws_lambda_powertools.metrics import MetricUnit

from imagelake.lake.rows import Status
from imagelake.run.observability import add_metric_of, metrics
from report.summary import FeedSummary, Summary

# With fewer items, one dead link would raise the alarm.
_MIN_ITEMS = 20


def send_metrics(summary: Summary, hours_until_lost: float | None, now: datetime) -> None:
    """Send the metrics of a run whose report was made at ``now``."""
    if hours_until_lost is not None:
        metrics.add_metric("HoursUntilLost", MetricUnit.NoUnit, hours_until_lost)
    metrics.add_metric(f"Runs{summary.outcome.capitalize()}", MetricUnit.Count, 1)
    share = _error_share(summary)
    if share is not None:
        metrics.add_metric("ErrorShare", MetricUnit.Percent, share)
    for code, number in summary.errors.items():
        add_metric_of("ItemErrors", MetricUnit.Count, number, error_code=code)
    for feed in summary.feeds:
        if feed.problem is not None:
            add_metric_of("FeedProblems", MetricUnit.Count, 1, error=feed.problem.error)
        hours = _age_hours(feed, now)
        if hours is not None:
            add_metric_of("FeedAgeHours", MetricUnit.NoUnit, hours, feed=feed.feed_id)


def _error_share(summary: Summary) -> float | None:
    """Compute the percentage of rejected and failed items; ``None`` if there are too few items."""
    items = sum(summary.totals[status] for status in Status)
    if items < _MIN_ITEMS:
        return None
    return 100 * (summary.totals[Status.REJECTED] + summary.totals[Status.FAILED]) / items


def _age_hours(feed: FeedSummary, now: datetime) -> float | None:
    """Compute the age of the newest post that the run saw of a feed; ``None`` if it saw none."""
    if feed.plan is None or not feed.plan.bookmark.newest_at:
        return None
    newest = datetime.fromisoformat(feed.plan.bookmark.newest_at)
    return max(0.0, (now.astimezone(UTC) - newest).total_seconds() / 3600)
