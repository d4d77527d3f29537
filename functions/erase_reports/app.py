"""Erase Reports: remove what is on the suppression list from one run's report, or from the lake at a glance."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from erase_reports.coverage import erase_coverage
from erase_reports.glance import erase_glance
from erase_reports.report import erase_report
from erase_reports.settings import EraseReportsSettings
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import Change, ErasedObjects
from imagelake.lake.suppression import suppressions
from imagelake.run.erasure_models import EraseReportsRequest, EraseResult
from imagelake.run.observability import logger


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take an ``EraseReportsRequest`` and return an ``EraseResult``."""
    request = EraseReportsRequest.model_validate(event)
    settings = EraseReportsSettings.load()
    bucket = Bucket(settings.bucket_name)
    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    objects = ErasedObjects(bucket, request.erasure.erasure_id)

    report, changes = request.report, list[Change]()
    if report.run_id is None:
        changes += erase_glance(objects, listed)
    else:
        changes += erase_report(report.run_id, bucket, objects, listed)
        if report.dt is not None:
            changes += erase_coverage(report.dt, report.run_id, objects, listed)
    result = EraseResult(changed=len(changes), erased=sum(len(change.items) for change in changes))
    logger.info("report erased", extra={"run": report.run_id, **result.model_dump()})
    return result.model_dump(mode="json")
