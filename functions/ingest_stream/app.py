"""Ingest Stream: stage the posts of a window of Kinesis records and start the one execution that reads them.

A record that is no post is kept at once, with its reason, and is done with. Of a record on which this code itself
breaks, what stands before it in its shard goes ahead; Lambda then tries it again, alone, and in the end keeps it.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import ImagelakeError
from imagelake.run.observability import logger, metrics
from imagelake.sources.stream import decode, to_post
from imagelake.sources.wire import reason
from ingest_stream.execution import start
from ingest_stream.settings import IngestStreamSettings
from ingest_stream.window import Window


class BrokenRecordError(Exception):
    """This code broke on the first record of a batch; the message has the error."""


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Event: Lambda's Kinesis records; returns the sequence numbers to deliver again."""
    processor = BatchProcessor(EventType.KinesisDataStreams, raise_on_entire_batch_failure=False)
    with processor(event["Records"], handler=_read, lambda_context=context):
        outcomes = processor.process()
    # Lambda delivers everything from the first failure on again: that is not of this window.
    read = [result for _, result, _ in takewhile(lambda outcome: outcome[0] == "success", outcomes)]
    if not read:
        # As a failure of the whole call, Lambda halves the batch until the record is alone; as one of a single record
        # it would deliver the same batch each time.
        raise BrokenRecordError(outcomes[0][1])
    config = IngestStreamSettings.load()
    window = Window.of([KinesisStreamRecord(record) for record in event["Records"][: len(read)]])
    try:
        _keep(window, read, config)
    except ImagelakeError as error:
        # S3 or Step Functions is down: the same batch again, not halved, or each of its records would become a run.
        logger.error("window not staged", extra={"window": window.name, "reason": str(error)})
        metrics.add_metric("WindowsNotStaged", MetricUnit.Count, 1)
        return {"batchItemFailures": [{"itemIdentifier": window.first}]}
    return dict(processor.response())


def _read(record: KinesisStreamRecord) -> dict[str, Any]:
    """``{"record": as decoded}``, or ``{"reject": as received, with a reason}``."""
    data = record.kinesis.data_as_bytes()
    try:
        decoded = decode(data)
        to_post(decoded)
    except ValueError as error:
        return {
            "reject": {
                "kind": "record",
                "post_id": None,
                "reason": reason(error),
                "raw": {
                    "sequence_number": record.kinesis.sequence_number,
                    "partition_key": record.kinesis.partition_key,
                    "arrived_at": record.kinesis.approximate_arrival_timestamp,
                    "data_base64": record.kinesis.data,
                },
            }
        }
    return {"record": decoded}


def _keep(window: Window, read: list[dict[str, Any]], config: IngestStreamSettings) -> None:
    bucket = Bucket(config.bucket_name)
    rejects = [one["reject"] for one in read if "reject" in one]
    records = [one["record"] for one in read if "record" in one]
    if rejects:
        bucket.put_lines(window.rejects_key, rejects)
    if records:
        bucket.put_json(object_keys.staged_window(window.name), records)
        start(config.state_machine_arn, window)
    metrics.add_metric("StreamRecords", MetricUnit.Count, len(read))
    metrics.add_metric("StreamRecordsRejected", MetricUnit.Count, len(rejects))
    logger.info(
        "window staged",
        extra={"window": window.name, "shard": window.shard, "first": window.first, "last": window.last,
               "posts": len(records), "rejected": len(rejects)},
    )  # fmt: skip
