"""The events that a report publishes."""

from __future__ import annotations

from imagelake.lake import object_keys
from imagelake.run.events import Event, FeedFailed, RunFinished
from report.summary import Summary


def events_of(summary: Summary, bucket_name: str) -> list[Event]:
    """List one ``Feed Failed`` for each failed feed, then ``Run Finished``."""
    run = summary.run
    failed: list[Event] = [
        FeedFailed(
            run_id=run.run_id,
            dt=run.dt,
            feed_id=feed.feed_id,
            feed=feed.name,
            error=feed.problem.error,
            message=feed.problem.message,
        )
        for feed in summary.feeds
        if feed.status == "failed" and feed.problem is not None
    ]
    finished = RunFinished(
        run_id=run.run_id,
        dt=run.dt,
        execution_arn=run.execution_arn,
        outcome=summary.outcome,
        totals=summary.totals,
        errors=summary.errors,
        bucket=bucket_name,
        report_key=object_keys.html_report(run.run_id),
    )
    return [*failed, finished]
