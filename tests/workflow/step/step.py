"""A step that fails on command: ``{"raise": name of an error, "times": how often}``; without a command it succeeds."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """The command is the batch, or the feed's configuration where there is no batch."""
    command = event["batch"] if "batch" in event else event["feed"]["config"]
    if "raise" in command and ("times" not in command or _call_number() <= command["times"]):
        raise type(command["raise"], (Exception,), {})("on command")
    return {"status": "done"}


def _call_number() -> int:
    # Every call may be in a process of its own; all of the engine's share this folder.
    with Path(tempfile.gettempdir(), "calls").open("a") as calls:
        calls.write(".")
        return calls.tell()
