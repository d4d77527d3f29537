"""A webhook for alerts on loopback."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.support.web_server import Answer, Received
from tests.support.wire.server import WireServer

PATH = "/hooks/s3cret"


class Webhook(WireServer):
    """Keeps the alerts that it gets; answers with ``status`` after ``seconds``."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: list[dict[str, Any]] = []
        self.status, self.seconds = 200, 0.0

    def page(self, asked: Received) -> Answer:
        assert asked.path == PATH
        self.alerts.append(json.loads(asked.body))
        time.sleep(self.seconds)
        return Answer(b"", status=self.status)

    def wait_for(self, text: str, count: int = 1) -> list[dict[str, Any]]:
        """The alerts with ``text`` in them, once there are ``count``: SNS delivers after the run has ended."""
        deadline = time.monotonic() + 20
        while len(alerts := [alert for alert in self.alerts if text in json.dumps(alert)]) < count:
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return alerts
