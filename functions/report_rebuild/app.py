"""Report Rebuild: check that every file of a rebuild is done, and write the report and the notification."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.contracts import ReportRebuildRequest
from imagelake.run.observability import RUN_ID, logger, metrics
from report_rebuild.notification import make_result
from report_rebuild.reconciliation import reconcile
from report_rebuild.settings import ReportRebuildSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``ReportRebuildRequest`` and return a ``ReportRebuildResult``."""
    request = ReportRebuildRequest.model_validate(event)
    settings = ReportRebuildSettings.load()
    bucket = Bucket(settings.bucket_name)

    report = reconcile(request, bucket)
    # The name of a feed can be the name of a person, and no erasure changes these reports.
    stored = report.model_dump(mode="json", exclude={"rebuild": {"feeds"}})
    bucket.put_json(object_keys.rebuild_report(request.run.run_id), stored)
    result = make_result(request, report, settings.runbook)

    metrics.add_metric("FilesOpen", MetricUnit.Count, len(report.open))
    logger.info("rebuild reported", extra={"report": stored})
    return result.model_dump(mode="json")
