"""Write Receipt: say what an erasure has erased and what remains, then delete its working objects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import read_key
from imagelake.run.erasure_models import WriteReceiptRequest
from imagelake.run.observability import logger, metrics
from write_receipt.notification import describe_dry_run, describe_receipt
from write_receipt.receipt import make_receipt, store
from write_receipt.settings import WriteReceiptSettings


@logger.inject_lambda_context(correlation_id_path="erasure.erasure_id")
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take a ``WriteReceiptRequest`` and return a ``WriteReceiptResult``."""
    request = WriteReceiptRequest.model_validate(event)
    settings = WriteReceiptSettings.load()
    erasure = request.erasure
    bucket = Bucket(settings.bucket_name)

    if erasure.dry_run:
        result = describe_dry_run(erasure, request.found.counts)
    else:
        key = read_key(settings.suppression_key)
        receipt = make_receipt(erasure, request.found.left, bucket, key, settings, datetime.now(UTC))
        receipt_key, receipt = store(bucket, receipt)
        result = describe_receipt(receipt, receipt_key, bucket.name, erasure.execution_arn)
        metrics.add_metric("ItemsErasedOnRequest", MetricUnit.Count, receipt.items)
    # This comes last: the request in this folder has names, and a killed erasure needs the notes.
    bucket.delete_folder(object_keys.erasure_prefix(erasure.erasure_id))

    logger.info("receipt written", extra={"erasure": erasure.erasure_id, "key": result.receipt_key})
    return result.model_dump(mode="json")
