"""One alert: its title and text, its severity, its time and a link to the console."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from relay_alert.notification import Notification

Severity = Literal["failure", "warning", "ok"]

_CONSOLE = re.compile(r"https://[a-z0-9-]+\.console\.aws\.amazon\.com/\S+")
_SEVERITIES: dict[str, Severity] = {"ALARM": "failure", "OK": "ok"}


@dataclass(frozen=True)
class Alert:
    """An alert; ``title`` is a summary of ``text`` in one line, ``at`` the time of publication in ISO 8601."""

    title: str
    text: str
    severity: Severity
    link: str | None
    at: str

    @classmethod
    def of(cls, notification: Notification) -> Alert:
        """Read a message of SNS: the notification of a run, an alarm, or the sentence of an EventBridge rule."""
        message, at = notification.message, notification.published_at
        alarm = _alarm(message)
        if alarm is not None:
            return _of_alarm(alarm, at)
        title = notification.subject or message.splitlines()[0]
        link = _CONSOLE.search(message)
        return cls(
            title=title,
            text=message,
            # Failures say FAILED in the subject, and messages of rules have no subject; the rest are warnings.
            severity="failure" if "FAILED" in title or not notification.subject else "warning",
            link=link[0] if link else None,
            at=at,
        )


def _alarm(message: str) -> dict[str, Any] | None:
    try:
        content = json.loads(message)
    except ValueError:
        return None
    return content if isinstance(content, dict) and {"AlarmName", "NewStateValue"} <= content.keys() else None


def _of_alarm(alarm: dict[str, Any], at: str) -> Alert:
    name, state = alarm["AlarmName"], alarm["NewStateValue"]
    parts = str(alarm.get("AlarmArn", "")).split(":")
    link = None
    if len(parts) > 3:
        region = parts[3]
        query = f"region={region}#alarmsV2:alarm/{quote(name, safe='')}"
        link = f"https://{region}.console.aws.amazon.com/cloudwatch/home?{query}"
    lines = [
        f"What: {name} is in state {state}, after {alarm.get('OldStateValue', 'no state')}.",
        f"Since: {alarm.get('StateChangeTime', at)}",
        f"Why: {alarm.get('NewStateReason', 'CloudWatch gave no reason')}",
        f"What to do: {alarm.get('AlarmDescription') or 'see docs/runbook.md'}",
        *([f"Where: {link}"] if link else []),
    ]
    return Alert(f"{state}: {name}", "\n".join(lines), _SEVERITIES.get(state, "warning"), link, at)
