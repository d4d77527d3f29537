"""Objects of JSON that a report has."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from typing import Any

from imagelake.lake.bucket import Version, to_json
from imagelake.lake.erased_objects import Change


def json_change(
    change: Callable[[Any], Any], items: Callable[[Any], Collection[str]] = lambda _: ()
) -> Callable[[bytes, Version], Change | None]:
    """Return what changes the body of an object of JSON; ``items`` has the ids of what is erased in its value."""

    def changed(body: bytes, version: Version) -> Change | None:
        try:
            before = json.loads(body)
            after, erased = change(before), items(before)
        except (ValueError, LookupError, TypeError, AttributeError):
            # No run and no person can use it, and its names cannot be found one by one.
            return Change(None, [], reason="it cannot be read")
        return None if after == before else Change(to_json(after), erased)

    return changed
