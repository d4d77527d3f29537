"""Report: say what the run did: ``run.json``, a page with a contact sheet, and the text that SNS sends."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from report.contact_sheet import contact_sheet
from report.digest import digest, subject
from report.page import render
from report.summary import summarise
from shared import keys
from shared.observability import RUN_ID, logger, metrics
from shared.run import Run
from shared.settings import settings
from shared.storage import Bucket


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "results": one per feed}``; returns the outcome and the notification."""
    run = Run.model_validate(event["run"])
    bucket = Bucket(settings().bucket_name)

    summary = summarise(run, event["results"], bucket)
    bucket.put_json(keys.run_summary(run), summary.model_dump(mode="json"))
    page = render(summary, contact_sheet(summary, bucket))
    bucket.put(keys.html_report(run), page.encode(), "text/html; charset=utf-8")

    metrics.add_metric(f"Runs{summary.outcome.capitalize()}", MetricUnit.Count, 1)
    logger.info("run reported", extra={"outcome": summary.outcome, "totals": summary.totals})
    return {
        "outcome": summary.outcome,
        "subject": subject(summary),
        "message": digest(summary, bucket.name),
        "report_key": keys.html_report(run),
    }
