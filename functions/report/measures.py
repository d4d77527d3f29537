"""A run as metrics: what the dashboard draws by error and by feed, and the share that an alarm watches.

CloudWatch bills a metric for the hours in which it is sent: one of a daily run costs a cent a month, so a feed may have
its own.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aws_lambda_powertools.metrics import MetricUnit

from imagelake.lake.rows import Status
from imagelake.run.observability import add_metric_of, metrics
from report.summary import FeedSummary, Summary

# Of fewer items, one dead link would be an alarm.
_FEWEST = 20


def measure(summary: Summary, now: datetime) -> None:
    """Send the metrics of a run that was reported at ``now``."""
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
    """Percent of the items that were refused or could not be had, ``None`` if there are too few to say."""
    items = sum(summary.totals[status] for status in Status)
    if items < _FEWEST:
        return None
    return 100 * (summary.totals[Status.REJECTED] + summary.totals[Status.FAILED]) / items


def _age_hours(feed: FeedSummary, now: datetime) -> float | None:
    """How old the newest post is that the run saw of a feed, ``None`` if it saw none."""
    newest_at = feed.plan.get("bookmark", {}).get("newest_at")
    if not newest_at:
        return None
    newest = datetime.fromisoformat(newest_at)
    return max(0.0, (now.astimezone(UTC) - newest).total_seconds() / 3600)
