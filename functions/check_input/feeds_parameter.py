"""The SSM parameter with the feeds, as the state Load Feeds reads it."""

from __future__ import annotations

from typing import Any

from imagelake.run.contracts import LoadedParameter
from imagelake.run.errors import BadInputError
from imagelake.run.sentences import show, show_name
from imagelake.run.user_json import check_user_json, read_user_json

# Lists that a message names.
_MAX_NAMES = 5


class FeedsParameter:
    """One list of feeds for every schedule, or a list for each: ``{"daily": [...], "frequent": [...]}``."""

    def __init__(self, parameter: LoadedParameter) -> None:
        self.title = f"SSM parameter {parameter.name}"
        try:
            content = read_user_json(parameter.value)
            # One list has the name that it would have in the execution input.
            self._has_schedules = isinstance(content, dict)
            self._lists: dict[str, Any] = content if isinstance(content, dict) else {"feeds": content}
            check_user_json(self._lists)
        except ValueError as error:
            raise BadInputError(f"{self.title}: {error}") from None
        for place, feeds in self._lists.items():
            if not isinstance(feeds, list):
                raise BadInputError(
                    f"{self.title}: {show_name(place)}: it has to be a list of feeds, not {show(feeds)}"
                )

    def feeds(self, schedule: Any) -> tuple[str, list[Any]]:
        """Take the feeds of a schedule, and the name of their list."""
        if not self._has_schedules:
            return "feeds", self._lists["feeds"]
        if not isinstance(schedule, str) or schedule not in self._lists:
            names = list(map(show_name, self._lists))
            more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
            lists = f"{', '.join(names[:_MAX_NAMES])}{more}" or "none"
            raise BadInputError(f"{self.title} has no list for the schedule {show(schedule)}; it has: {lists}")
        return schedule, self._lists[schedule]

    def all_feeds(self) -> list[Any]:
        """Take the feeds of all schedules."""
        return [feed for feeds in self._lists.values() for feed in feeds]
