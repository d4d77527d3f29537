"""Erasures that are not finished: those that somebody stopped or that failed, and those in progress."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, NamedTuple

from local.lake import Lake

_FOLDER = "work/erasures/"
_REQUEST = "/request.json"
_DRY_RUN = "-dry-run"


class Unfinished(NamedTuple):
    """An erasure whose request is still stored, because its receipt comes before the deletion of the request."""

    erasure_id: str
    request: dict[str, Any]
    is_in_progress: bool


def unfinished_erasures(lake: Lake) -> list[Unfinished]:
    """List the unfinished erasures of a lake."""
    keys = [entry["Key"] for entry in lake.objects(_FOLDER) if entry["Key"].endswith(_REQUEST)]
    ids = [key.removeprefix(_FOLDER).removesuffix(_REQUEST) for key in keys]
    requests = {one: stored_request(lake, one) for one in sorted(ids) if not one.endswith(_DRY_RUN)}
    in_progress = _requests_in_progress(lake) if requests else []
    return [
        Unfinished(erasure_id, request, request in in_progress) for erasure_id, request in requests.items() if request
    ]


def stored_request(lake: Lake, erasure_id: str) -> dict[str, Any] | None:
    """Read the request of an unfinished erasure; ``None`` if there is none."""
    body = lake.read(f"{_FOLDER}{erasure_id}{_REQUEST}")
    return json.loads(body) if body else None


def command_to_finish(erasure_id: str, lake: Lake) -> str:
    """Return the command that finishes an erasure."""
    return f"./imagelake erase --again {erasure_id} {lake.options}"


def _requests_in_progress(lake: Lake) -> list[dict[str, Any]]:
    from imagelake.run.erasure_models import ErasureRequest

    states = lake.client("stepfunctions")
    pages = states.get_paginator("list_executions").paginate(
        stateMachineArn=lake.outputs["ErasureStateMachineArn"], statusFilter="RUNNING"
    )
    requests = []
    for execution in (execution for page in pages for execution in page["executions"]):
        # The input of an execution may be wrong, because nothing has read it yet.
        with suppress(ValueError):
            given = json.loads(states.describe_execution(executionArn=execution["executionArn"])["input"])
            requests.append(ErasureRequest.model_validate(given).model_dump(mode="json"))
    return requests
