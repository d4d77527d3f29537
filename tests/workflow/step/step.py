"""A function that raises an error on command, ``{"raise": NAME, "times": NUMBER}``, and succeeds without one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Take the command from the batch, or from the feed's configuration if there is no batch."""
    if "erasure" in event:
        return _erase(event)
    command = event["batch"] if "batch" in event else event["feed"]["config"]
    if "raise" in command and ("times" not in command or _call_number() <= command["times"]):
        raise type(command["raise"], (Exception,), {})("on command")
    return {"status": "done", "calls": 1, "cost_usd": 0.0, "backfill_position": {"cursor": ""}}


def _erase(event: dict[str, Any]) -> dict[str, Any]:
    """Raise an error if the erasure's reference names this step: ``promote:ObjectMissingError``."""
    step, _, error = event["erasure"]["reference"].partition(":")
    if error and step in (event.get("step"), *event):
        raise type(error, (Exception,), {})("on command")
    return {"changed": 1, "erased": 1}


def _call_number() -> int:
    # Calls may be in different processes; all processes of one engine share this folder.
    with Path(tempfile.gettempdir(), "calls").open("a") as calls:
        calls.write(".")
        return calls.tell()
