"""A bus in memory, so that no test waits for EventBridge."""

from __future__ import annotations

import json
from typing import Any


class Bus:
    """Stands in for EventBridge and collects the events."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.calls = 0
        self.outage: Exception | None = None
        self.refused: set[int] = set()

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        assert 1 <= len(Entries) <= 10
        if self.outage is not None:
            raise self.outage
        self.entries += Entries
        return {
            "FailedEntryCount": len(self.refused),
            "Entries": [
                {"ErrorCode": "InternalFailure"} if number in self.refused else {"EventId": str(number)}
                for number in range(len(Entries))
            ],
        }

    @property
    def published(self) -> list[tuple[str, dict[str, Any]]]:
        assert {entry["Source"] for entry in self.entries} <= {"imagelake"}
        assert {entry["EventBusName"] for entry in self.entries} <= {"bus"}
        return [(entry["DetailType"], json.loads(entry["Detail"])) for entry in self.entries]
