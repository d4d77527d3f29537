"""Reconcile: check that every planned item of a feed has its row and its mapping, and every batch its file."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import Status
from imagelake.run.contracts import ReconcileRequest, ReconcileResult
from imagelake.run.models import Batch
from imagelake.run.observability import RUN_ID, logger, metrics
from reconcile.reconciliation import audit_batches, reconcile
from reconcile.settings import ReconcileSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``ReconcileRequest`` and return a ``ReconcileResult``."""
    request = ReconcileRequest.model_validate(event)
    settings = ReconcileSettings.load()
    run, feed = request.run, request.feed
    bucket = Bucket(settings.bucket_name)

    batches = bucket.get_models(request.plan.list_key, Batch)
    audits = audit_batches(run, batches, bucket, MediaIndex(settings.image_keys_table))
    failures = [failure for audit in audits for failure in audit.failures]
    bucket.put_lines(object_keys.failures(run.run_id, feed.feed_id), failures)
    reconciliation = reconcile(run, audits)
    key = object_keys.feed_reconciliation(run, feed.feed_id)
    bucket.put_json(key, reconciliation.model_dump())

    metrics.add_metric("BatchesOpen", MetricUnit.Count, len(reconciliation.open))
    for status in Status:
        metrics.add_metric(f"Items{status.capitalize()}", MetricUnit.Count, reconciliation.counts[status])
    result = ReconcileResult(status=reconciliation.status, reconciliation_key=key, counts=reconciliation.counts)
    logger.info("feed reconciled", extra={"feed_id": feed.feed_id, "counts": result.counts, "status": result.status})
    return result.model_dump(mode="json")
