"""The staged window: its posts as one object, its rejects as another, and the execution that reads it."""

from __future__ import annotations

import base64
import json
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import SuppressionList, suppressions
from imagelake.run.observability import logger, metrics
from imagelake.sources import Reject
from imagelake.sources.stream import ADAPTER, author_ids, to_post
from ingest_stream.execution import start
from ingest_stream.records import ReadRecord
from ingest_stream.settings import IngestStreamSettings
from ingest_stream.window import Window


def stage(window: Window, read: list[ReadRecord], settings: IngestStreamSettings) -> None:
    """Store rejects and posts, and start the execution; a window without posts needs none.

    Posts and rejects on the suppression list are left out.
    """
    bucket = Bucket(settings.bucket_name)
    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    rejects = [
        record.reject for record in read if record.reject is not None and not _names_listed(record.reject, listed)
    ]
    posts = [record.post for record in read if record.post is not None and not _is_listed(record.post, listed)]
    if rejects:
        bucket.put_lines(window.rejects_key, rejects)
    if posts:
        bucket.put_json(object_keys.staged_window(window.name), posts)
        start(settings.state_machine_arn, window)
    metrics.add_metric("StreamRecords", MetricUnit.Count, len(read))
    metrics.add_metric("StreamRecordsRejected", MetricUnit.Count, len(rejects))
    logger.info(
        "window staged",
        extra={"window": window.name, "shard": window.shard, "first": window.first, "last": window.last,
               "posts": len(posts), "rejected": len(rejects), "suppressed": len(read) - len(posts) - len(rejects)},
    )  # fmt: skip


def _names_listed(reject: dict[str, Any], listed: SuppressionList) -> bool:
    """Tell if a record that is no post names what is on the list; what is not JSON has no names."""
    try:
        record = json.loads(base64.b64decode(reject["raw"]["data_base64"]))
    except (ValueError, RecursionError):
        return False
    return listed.covers(ADAPTER.name, Reject(None, "", record, author_ids(record)))


def _is_listed(record: dict[str, Any], listed: SuppressionList) -> bool:
    # Reading the post a second time takes longer than a look at the list.
    return bool(listed.hashes) and listed.covers(ADAPTER.name, to_post(record))
