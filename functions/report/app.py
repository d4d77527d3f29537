"""Report: write ``run.json``, a page with images, and the notification."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import suppressions
from imagelake.run.contracts import ReportRequest, ReportResult
from imagelake.run.events import publish
from imagelake.run.observability import RUN_ID, logger, metrics
from report.contact_sheet import contact_sheet
from report.events import events_of
from report.feed_problems import FeedProblems
from report.glance_objects import update_glance
from report.notification import message, subject
from report.page import write_page
from report.plan import report_plan
from report.run_coverage import Coverage
from report.run_metrics import send_metrics
from report.settings import ReportSettings
from report.summary import summarize


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``ReportRequest`` and return a ``ReportResult``."""
    request = ReportRequest.model_validate(event)
    run, settings = request.run, ReportSettings.load()
    bucket = Bucket(settings.bucket_name)
    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    if run.plan:
        return report_plan(request, bucket, listed.has_feed).model_dump(mode="json")
    summary = summarize(run, request.nameless(listed.has_feed), bucket, settings.run_failure_tolerance_percent)
    bucket.put_json(object_keys.run_summary(run.run_id), summary.model_dump(mode="json"))
    now = datetime.now(UTC)
    coverage = Coverage(summary, bucket, now, settings.stack_name)
    images = contact_sheet(summary, bucket)
    write_page(summary, coverage, images, bucket)
    problems = FeedProblems(summary, bucket)
    update_glance(summary, coverage, images, bucket)
    publish(settings.event_bus_name, *events_of(summary, bucket.name))
    send_metrics(summary, coverage.hours_until_lost, now)
    logger.info("run reported", extra=summary.logged)
    answer = {
        "outcome": summary.outcome,
        # Whoever started a run by hand waits for its result. Other runs report a problem once a day, and the first run
        # that notices a silence reports it.
        "notify": run.by_hand or coverage.became_silent or (summary.outcome != "ok" and not problems.all_notified),
        "error": "RunFailed" if summary.outcome == "failed" else None,
        "subject": subject(summary),
        "message": message(summary, coverage, bucket.name, settings.runbook, problems.since),
        "report_key": object_keys.html_report(run.run_id),
    }
    return ReportResult.model_validate(answer).model_dump(mode="json")
