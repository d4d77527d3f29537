"""The payload of an alert for each kind of webhook, within the limits of the service.

The text is put into a code block, because it is aligned with spaces and has commands to copy. It also holds names that
strangers chose: inside a code block these are neither markup nor mentions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from relay_alert.alert import Alert

# https://discord.com/developers/docs/resources/message#embed-object-embed-limits
_DISCORD_TITLE, _DISCORD_DESCRIPTION = 256, 4096
# https://docs.slack.dev/reference/block-kit/blocks/header-block and section-block
_SLACK_HEADER, _SLACK_SECTION = 150, 3000
# Most tables have a text field of this length.
_PLAIN_TEXT = 10_000

_CUT = "\n[...]\n"
_COLORS = {"failure": 0xB3261E, "warning": 0xE8A317, "ok": 0x2E7D32}
_MARKS = {"failure": ":red_circle:", "warning": ":warning:", "ok": ":white_check_mark:"}

Payload = dict[str, Any]


def discord(alert: Alert) -> Payload:
    """Make one embed; https://discord.com/developers/docs/resources/webhook#execute-webhook."""
    embed: Payload = {
        "title": fit(alert.title, _DISCORD_TITLE, _utf16),
        "description": _block(alert.text, _DISCORD_DESCRIPTION, _utf16),
        "color": _COLORS[alert.severity],
        "timestamp": alert.at,
    }
    if alert.link is not None:
        embed["url"] = alert.link
    return {"username": "Imagelake", "embeds": [embed], "allowed_mentions": {"parse": []}}


def slack(alert: Alert) -> Payload:
    """Make a header, the text and the link; push notifications show ``text``."""
    title = f"{_MARKS[alert.severity]} {alert.title}"
    section = _escaped(_block(alert.text, _SLACK_SECTION, lambda text: len(_escaped(text))))
    blocks: list[Payload] = [
        {"type": "header", "text": {"type": "plain_text", "text": fit(title, _SLACK_HEADER), "emoji": True}},
        {"type": "section", "text": {"type": "mrkdwn", "text": section}},
    ]
    if alert.link is not None:
        link = f"<{_escaped(alert.link)}|Open in the AWS console>"
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": link}})
    return {"text": _escaped(fit(alert.title, _SLACK_HEADER)), "blocks": blocks}


def plain(alert: Alert) -> Payload:
    """Make flat JSON, for automations that map fields to columns."""
    return {
        "version": "1",
        "title": alert.title,
        "text": fit(alert.text, _PLAIN_TEXT),
        "severity": alert.severity,
        "link": alert.link or "",
        "at": alert.at,
    }


FORMATS: Mapping[str, Callable[[Alert], Payload]] = {"discord": discord, "slack": slack, "json": plain}


def fit(text: str, limit: int, size: Callable[[str], int] = len) -> str:
    """Shorten ``text`` to ``limit`` by cutting its middle, because its end says how to resume."""
    if size(text) <= limit:
        return text
    room = limit - size(_CUT)
    tail = text[len(text) - _largest(lambda count: size(text[len(text) - count :]) <= room // 3, len(text)) :]
    head = text[: _largest(lambda count: size(text[:count]) <= room - size(tail), len(text))]
    return head + _CUT + tail


def _largest(fits: Callable[[int], bool], high: int) -> int:
    """Find the largest count up to ``high`` that fits, by bisection: every smaller count fits too."""
    low = 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _block(text: str, limit: int, size: Callable[[str], int]) -> str:
    return f"```\n{fit(text.replace('```', '...'), limit - 8, size)}\n```"


def _utf16(text: str) -> int:
    """Count UTF-16 units, as JavaScript does; this is never less than Python's length."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _escaped(text: str) -> str:
    # https://docs.slack.dev/messaging/formatting-message-text#escaping
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
