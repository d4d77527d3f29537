"""The real handlers of a rebuild in the state machine's order, in this process."""

from __future__ import annotations

import json
from typing import Any

import plan_rebuild.app
import rebuild_images.app
import record_failure.app
import report_rebuild.app
import unpack.app
import write_parquet.app
from imagelake.run.errors import FileChangedError, PermanentError
from tests.support.factories import Context
from tests.support.fake_lake import Lake

ARN = "arn:aws:states:us-east-1:123456789012:execution:Rebuild:"
Event = dict[str, Any]


def execute_rebuild(lake: Lake, name: str, **request: Any) -> Event:
    """Run one execution to its end and return what Report Rebuild says."""
    execution = {"arn": ARN + name, "name": name, "started_at": "2026-05-01T05:30:00Z"}
    planned = plan_rebuild.app.handler({"input": request, "execution": execution}, Context())
    for batch in lake.bucket.get_json(planned["list_key"]):
        event = {"run": planned["run"], "batch": batch, "rebuild": planned["rebuild"]}
        try:
            rebuild_file(event)
        except PermanentError as error:
            caught = {"Error": type(error).__name__, "Cause": json.dumps({"errorMessage": str(error)})}
            record_failure.app.handler({"run": event["run"], "batch": batch, "error": caught}, Context())
    reported: Event = report_rebuild.app.handler(planned, Context())
    return reported


def rebuild_file(event: Event) -> None:
    """Take one file through its steps; a file that changes meanwhile is read again."""
    while True:
        unpacked = unpack.app.handler(event, Context())
        if unpacked["status"] != "planned":
            return
        given = {"run": event["run"], "batch": unpacked["batch"]}
        try:
            rebuild_images.app.handler(given, Context())
            write_parquet.app.handler(given, Context())
        except FileChangedError:
            continue
        return
