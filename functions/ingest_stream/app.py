"""Ingest Stream: stage the posts of a window of Kinesis records, and start the one execution that reads them.

A record that is not a post is stored at once, with the reason, and is never delivered again.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.run.errors import ImagelakeError
from imagelake.run.observability import logger, metrics
from ingest_stream.records import KinesisEvent, read_records
from ingest_stream.settings import IngestStreamSettings
from ingest_stream.staging import stage
from ingest_stream.window import Window


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Take Lambda's event of Kinesis records; return the record from which Lambda has to deliver again."""
    records = KinesisEvent.model_validate(event).records
    settings = IngestStreamSettings.load()

    read = read_records(records)
    window = Window.of(records[: len(read)])
    try:
        stage(window, read, settings)
    except ImagelakeError as error:
        # S3 or Step Functions is down. Ask for the same records again, because an error would let Lambda halve the
        # batch until each record is a run of its own.
        logger.error("window not staged", extra={"window": window.name, "reason": str(error)})
        metrics.add_metric("WindowsNotStaged", MetricUnit.Count, 1)
        return _deliver_from(window.first)
    if len(read) < len(records):
        return _deliver_from(records[len(read)].kinesis.sequence_number)
    return {"batchItemFailures": []}


def _deliver_from(sequence_number: str) -> dict[str, Any]:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    return {"batchItemFailures": [{"itemIdentifier": sequence_number}]}
