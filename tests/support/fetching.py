"""Calls of Fetch, and the names of what it stores."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from fetch.app import handler
from imagelake.lake import object_keys
from imagelake.run.models import Progress
from tests.support.factories import ENTRY, NOON, RUN, Context, event

EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)
DEFINITION = object_keys.feed_definition("bluesky", RUN.dt, RUN.run_id, ENTRY.feed_id)


def read(context: Context | None = None, **replaced: Any) -> dict[str, Any]:
    """Call Fetch; its answer is what the state machine keeps."""
    answer: dict[str, Any] = handler(event("fetch", **replaced), context or Context())
    assert Progress.model_validate(json.loads(json.dumps(answer))).model_dump() == answer
    return answer


def raw_key(number: int) -> str:
    """The key of a page of the feed."""
    return object_keys.raw_page(RUN, "bluesky", ENTRY.feed_id, number)


def until(last: datetime) -> dict[str, str]:
    """The headers of a network whose limit ends then."""
    return {"reset": str(last.timestamp())}
