"""The SSM parameter with the feeds, as the state Load Feeds reads it."""

from __future__ import annotations

import json
from typing import Any

from imagelake.run.errors import BadInputError


class FeedsParameter:
    """One list of feeds for every schedule, or a list for each: ``{"daily": [...], "frequent": [...]}``."""

    def __init__(self, parameter: dict[str, str]) -> None:
        self._name = parameter["name"]
        try:
            self._feeds = json.loads(parameter["value"])
        except ValueError as error:
            raise BadInputError(f"SSM parameter {self._name}: not JSON: {error}") from error

    def feeds(self, schedule: Any) -> Any:
        """Take the feeds of a schedule."""
        if not isinstance(self._feeds, dict):
            return self._feeds
        if not isinstance(schedule, str) or schedule not in self._feeds:
            raise BadInputError(
                f"SSM parameter {self._name} has no list for the schedule {schedule!r}; it has:"
                f" {', '.join(self._feeds)}"
            )
        return self._feeds[schedule]

    def all_feeds(self) -> list[Any]:
        """Take the feeds of all schedules; a list that is none has no feeds."""
        lists = self._feeds.values() if isinstance(self._feeds, dict) else [self._feeds]
        return [feed for feeds in lists if isinstance(feeds, list) for feed in feeds]
