"""Reconcile: check that every planned item of a feed has its row and its mapping, and every batch its file."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import Status
from imagelake.run.models import Batch, FeedEntry, Run
from imagelake.run.observability import RUN_ID, logger, metrics
from reconcile.reconciliation import audit_batches, reconcile
from reconcile.settings import ReconcileSettings


@logger.inject_lambda_context(correlation_id_path=RUN_ID)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: ``{"run", "feed", "plan"}``; returns the feed's counts, its status and the key of its reconciliation."""
    run = Run.model_validate(event["run"])
    feed = FeedEntry.model_validate(event["feed"])
    config = ReconcileSettings.load()
    bucket = Bucket(config.bucket_name)

    batches = [Batch.model_validate(entry) for entry in bucket.get_json(event["plan"]["list_key"])]
    audits = audit_batches(run, batches, bucket, MediaIndex(config.image_keys_table))
    failures = [failure for audit in audits for failure in audit.failures]
    bucket.put_lines(object_keys.failures(run.run_id, feed.feed_id), failures)
    reconciliation = reconcile(run, audits)
    bucket.put_json(object_keys.feed_reconciliation(run, feed.feed_id), reconciliation.model_dump())

    metrics.add_metric("BatchesOpen", MetricUnit.Count, len(reconciliation.open))
    for status in Status:
        metrics.add_metric(f"Items{status.capitalize()}", MetricUnit.Count, reconciliation.counts[status])
    logger.info(
        "feed reconciled",
        extra={"feed": feed.name, "counts": reconciliation.counts, "status": reconciliation.status},
    )
    return {
        "status": reconciliation.status,
        "reconciliation_key": object_keys.feed_reconciliation(run, feed.feed_id),
        "counts": reconciliation.counts,
    }
