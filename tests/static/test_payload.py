"""The size of the largest state: it fits even if every feed of a full run fails.

Step Functions ends a run whose state is larger than 256 KiB, and no Catch runs then. The state is largest when For Each
Feed ends. It has the run, the feeds and a result for each feed; the result of a failed feed has the feed and its error.
"""

from __future__ import annotations

import json

from check_input.run_input import MAX_FEEDS
from imagelake.run.models import FeedEntry, Run
from imagelake.sources import Feed

LIMIT = 200 * 1024
# The cause of a refused connection in Fetch had 7 frames and 1,559 bytes; these numbers leave room for more.
FRAMES, FRAME_BYTES = 12, 200
# Our longest message that does not repeat the input.
MESSAGE_BYTES = 500
# A server of 60 characters and a hashtag of 40.
CONFIG = f"mastodon:{'s' * 52}.example#{'t' * 40}"


def failed_feed() -> tuple[dict[str, object], dict[str, object]]:
    """Make a feed and the result that Feed Failed makes of it."""
    feed = Feed.of(CONFIG)
    entry = FeedEntry(feed_id=feed.feed_id, name=feed.name, config=CONFIG).model_dump()
    cause = {
        "errorMessage": "m" * MESSAGE_BYTES,
        "errorType": "SourceUnavailableError",
        "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        # Quotes and line ends are escaped twice: in the cause, and in the state, which has the cause as text.
        "stackTrace": ['  File "' + "f" * (FRAME_BYTES - 14) + '", 1\n  f\n'] * FRAMES,
    }
    error = {"Error": "SourceUnavailableError", "Cause": json.dumps(cause)}
    return entry, {"feed": entry, "status": "failed", "error": error}


def test_state_fits_when_every_feed_of_a_full_run_fails() -> None:
    run = Run(
        run_id="r" * 80,
        execution_arn="a" * 256,
        dt="2026-01-01",
        batch_size=1000,
        posts_per_feed=100_000,
        failure_tolerance_percent=100,
    )
    entry, result = failed_feed()
    state = {"run": run.model_dump(), "feeds": [entry] * MAX_FEEDS, "results": [result] * MAX_FEEDS}
    assert len(json.dumps(state)) < LIMIT
