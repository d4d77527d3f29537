"""One alert: its title and text, its severity, its time and a link to the console."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from imagelake.run.console import DOMAINS, Console, is_local
from relay_alert.notification import Notification

Severity = Literal["failure", "warning", "ok"]

# The first URL of a notification leads to the execution.
_CONSOLE = re.compile(rf"https://[a-z0-9-]+\.(?:{'|'.join(map(re.escape, DOMAINS.values()))})/[^\s\"]+")
_OK = re.compile(r"Imagelake \S+ ok:")
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
        text = message if notification.subject else _unquoted(message)
        title = notification.subject or text.splitlines()[0]
        link = _CONSOLE.search(text)
        return cls(title=title, text=text, severity=_severity(notification), link=link[0] if link else None, at=at)


def _severity(notification: Notification) -> Severity:
    """Read the outcome in the subject; a message of a rule has no subject, and is about a run without a report."""
    subject = notification.subject
    if subject is None or "FAILED" in subject:
        return "failure"
    return "ok" if _OK.match(subject) else "warning"


def _unquoted(text: str) -> str:
    """Remove the quotes that EventBridge demands around each line of a rule's text."""
    return "\n".join(line[1:-1] if len(line) > 1 and line[0] == line[-1] == '"' else line for line in text.splitlines())


def _alarm(message: str) -> dict[str, Any] | None:
    try:
        content = json.loads(message)
    except ValueError:
        return None
    return content if isinstance(content, dict) and {"AlarmName", "NewStateValue"} <= content.keys() else None


def _of_alarm(alarm: dict[str, Any], at: str) -> Alert:
    name, state = alarm["AlarmName"], alarm["NewStateValue"]
    arn = str(alarm.get("AlarmArn", ""))
    link = Console.of(arn).alarm(name) if arn.count(":") >= 3 and not is_local(arn) else None
    lines = [
        f"What: {name} is in state {state}, after {alarm.get('OldStateValue', 'no state')}.",
        f"Since: {alarm.get('StateChangeTime', at)}",
        f"Why: {alarm.get('NewStateReason', 'CloudWatch gave no reason')}",
        f"What to do: {alarm.get('AlarmDescription') or 'see docs/runbook.md'}",
        *([f"Where: {link}"] if link else []),
    ]
    return Alert(f"{state}: {name}", "\n".join(lines), _SEVERITIES.get(state, "warning"), link, at)
