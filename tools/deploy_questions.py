"""The questions of ``make deploy``: few, each with its reason, and each answer is checked at once."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from imagelake.run.errors import BadFeedError
from imagelake.sources import get_source, parse_feed

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_HOSTS = ("github.com", "gitlab.com")
# The other parameters have defaults that suit most people.
QUESTIONS = {
    "Feeds": "What do you want to read? Feeds with spaces between them, such as bluesky:nasa.gov commons:Cats."
    "\ndocs/networks.md has the networks. You can edit the list later without a deployment.",
    "ScheduleExpression": "When should a run start? A time such as 05:30 for every day, or cron(...), or rate(...).",
    "ScheduleTimeZone": "In which time zone is that? For example Europe/Berlin.",
    "NotificationEmail": "Which email address gets a message if something fails? AWS first sends a link to confirm it."
    "\nEmpty means nobody; write - to remove an address.",
    "Contact": "How can a network reach you? It sees this email or URL in every request, and may block you without one."
    "\nEmpty means not at all; write - to remove it.",
}


class DeployError(Exception):
    """Nothing can be deployed; the message is a sentence for the person at the keyboard."""


def ask_all(parameters: Mapping[str, Any], current: Mapping[str, str], ask: Callable[[str], str]) -> dict[str, str]:
    """Ask every question until its answer can be used; return the values by parameter."""
    print("\nPress Enter to keep the value in brackets. docs/operations.md explains all parameters.")
    values = {}
    for name, text in QUESTIONS.items():
        print(f"\n{text}")
        while True:
            answer = ask(f"{name} [{current[name]}]: ").strip()
            try:
                values[name] = _read(name, answer, parameters[name]) if answer else current[name]
            except ValueError as error:
                print(f"  {error}")
            else:
                break
    return values


def runbook_url(root: Path) -> str | None:
    """Return the URL of the runbook at the host of the repository; ``None`` if there is no such host."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        remote = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None
    found = re.fullmatch(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/]([\w.-]+/[\w.-]+?)(?:\.git)?/?", remote)
    if not found or found[1] not in _HOSTS:
        return None
    return f"https://{found[1]}/{found[2]}/blob/HEAD/docs/runbook.md"


def _read(name: str, answer: str, parameter: Mapping[str, Any]) -> str:
    """Turn an answer into the value of a parameter; raise ``ValueError`` with a sentence."""
    if answer == "-":
        answer = ""
    value = _READERS.get(name, str)(answer)
    pattern = parameter.get("AllowedPattern", "")
    if not re.search(pattern, value):
        raise ValueError(f"It has to be {parameter['ConstraintDescription']}.")
    if len(value) > parameter.get("MaxLength", len(value)):
        raise ValueError(f"It has to have at most {parameter['MaxLength']} characters.")
    return value


def _read_feeds(answer: str) -> str:
    if answer.startswith(("[", "{")):
        try:
            lists = json.loads(answer)
        except ValueError:
            raise ValueError("It has to be feeds with spaces between them, or JSON.") from None
    else:
        # A comma inside a feed separates servers.
        lists = [feed.strip(",") for feed in answer.split()]
    for feeds in lists.values() if isinstance(lists, dict) else [lists]:
        for feed in feeds if isinstance(feeds, list) else [feeds]:
            try:
                get_source(parse_feed(feed).source)
            except BadFeedError as error:
                raise ValueError(f"{error}.") from None
    return json.dumps(lists)


def _read_schedule(answer: str) -> str:
    time = _TIME.fullmatch(answer)
    return f"cron({int(time[2])} {int(time[1])} * * ? *)" if time else answer


def _read_zone(answer: str) -> str:
    try:
        return str(ZoneInfo(answer))
    except (KeyError, ValueError, OSError):
        raise ValueError("It has to be a time zone of the IANA database, such as Europe/Berlin.") from None


_READERS: Mapping[str, Callable[[str], str]] = {
    "Feeds": _read_feeds,
    "ScheduleExpression": _read_schedule,
    "ScheduleTimeZone": _read_zone,
}
