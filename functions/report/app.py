"""Report: say what the run did: ``run.json``, a page with a contact sheet, and the text that SNS sends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.events import Event, FeedFailed, RunFinished, publish
from imagelake.run.models import Run
from imagelake.run.observability import RUN_ID, logger, metrics
from imagelake.run.settings import settings
from report.contact_sheet import contact_sheet
from report.digest import digest, subject
from report.feed_problems import FeedProblems
from report.measures import measure
from report.page import render
from report.summary import Summary, summarise


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "results": one per feed}``; returns the outcome and the notification."""
    run = Run.model_validate(event["run"])
    bucket = Bucket(settings().bucket_name)

    summary = summarise(run, event["results"], bucket)
    bucket.put_json(object_keys.run_summary(run.run_id), summary.model_dump(mode="json"))
    page = render(summary, contact_sheet(summary, bucket))
    bucket.put(object_keys.html_report(run), page.encode(), "text/html; charset=utf-8")

    feed_problems = FeedProblems(summary, bucket)
    publish(*_events(summary, bucket))
    measure(summary, datetime.now(UTC))
    logger.info("run reported", extra={"outcome": summary.outcome, "totals": summary.totals})
    return {
        # What an earlier run of the day has told of all of it, nobody is told again.
        "outcome": f"{summary.outcome}_again" if feed_problems.all_told else summary.outcome,
        "subject": subject(summary),
        "message": digest(summary, bucket.name, feed_problems.since),
        "report_key": object_keys.html_report(run),
    }


def _events(summary: Summary, bucket: Bucket) -> list[Event]:
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
        bucket=bucket.name,
        report_key=object_keys.html_report(run),
    )
    return [*failed, finished]
