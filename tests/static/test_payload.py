"""The size of the largest state: it fits even if every feed of a full run fails, or succeeds with long texts.

Step Functions ends a run whose state is larger than 256 KiB, and no Catch runs then. The state is largest when For Each
Feed ends. It has the run, the feeds and a result for each feed; the result of a failed feed has the feed and its error,
that of another feed has its plan.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from typing import Any, cast

import pytest

from check_input.run_input import MAX_FEEDS, start_run
from check_input.settings import CheckInputSettings
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.run.contracts import CheckInputRequest, FeedRequest, FeedResult, ReconcileResult
from imagelake.run.errors import BadInputError
from imagelake.run.models import BackfillPosition, FeedEntry, Progress, Run
from imagelake.sources import Feed, Reject
from imagelake.sources.contract import MAX_PAGE_URL
from tests.support.sample import sample
from validate.planner import MAX_SKIP_REASONS, Planner, Selection

LIMIT = 200 * 1024
# The cause of a refused connection in Fetch had 7 frames and 1,559 bytes; these numbers leave room for more.
FRAMES, FRAME_BYTES = 12, 200
MEASURED_FRAMES = 8
# Our longest message that does not repeat the input.
MESSAGE_BYTES = 500
RUN = Run(
    run_id="r" * 80,
    execution_arn="a" * 256,
    dt="2026-01-01",
    batch_size=1000,
    posts_per_feed=100_000,
    failure_tolerance_percent=100,
)
SETTINGS = CheckInputSettings(
    bucket_name="bucket", event_bus_name="bus", batch_size=1, posts_per_feed=1, failure_tolerance_percent=1
)
# A server of 60 characters and a hashtag of 40.
CONFIG = f"mastodon:{'s' * 52}.example#{'t' * 40}"


def failed_feed(
    config: Any = CONFIG, frames: int = FRAMES, *, repeated: bool = False
) -> tuple[dict[str, object], dict[str, object]]:
    """Make a feed and the result that Feed Failed makes of it, whose message may repeat the feed."""
    feed = Feed.of(config)
    entry = FeedEntry(feed_id=feed.feed_id, name=feed.name, config=config).model_dump()
    cause = {
        "errorMessage": (feed.name if repeated else "") + "m" * MESSAGE_BYTES,
        "errorType": "SourceUnavailableError",
        "requestId": "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        # Quotes and line ends are escaped twice: in the cause, and in the state, which has the cause as text.
        "stackTrace": ['  File "' + "f" * (FRAME_BYTES - 14) + '", 1\n  f\n'] * frames,
    }
    # Lambda's runtime for Python 3.12 and later writes characters beyond ASCII as they are, and so does Step Functions.
    error = {"Error": "SourceUnavailableError", "Cause": json.dumps(cause, ensure_ascii=False)}
    return entry, {"feed": entry, "status": "failed", "error": error}


def state_bytes(configs: list[Any], frames: int) -> int:
    """Return the size of the state after a run whose feeds all failed, with messages that repeat them."""
    made = [failed_feed(config, frames, repeated=True) for config in configs]
    state = {"run": RUN.model_dump(), "feeds": [entry for entry, _ in made], "results": [result for _, result in made]}
    return len(json.dumps(state, ensure_ascii=False).encode())


def is_accepted(configs: list[Any]) -> bool:
    given = {"input": {"feeds": configs}, "execution": {"arn": "a", "name": "r", "started_at": "2026-04-01T00:00:00Z"}}
    try:
        result = start_run(CheckInputRequest.model_validate(given), SETTINGS)
    except BadInputError:
        return False
    return not any(feed.feed_id.startswith("bad-") for feed in result.feeds)


def full(feed: Any, character: str, number: int) -> list[Any]:
    """Return this number of feeds, as long as Check Input accepts them."""

    def made(length: int) -> list[Any]:
        text = json.dumps(feed)
        repeated = json.dumps(character * length)[1:-1]
        return [json.loads(text.replace("{}", str(one), 1).replace("{}", repeated)) for one in range(number)]

    # Too long is every length above the longest accepted one, so the search can halve the range.
    return made(bisect_left(range(1, 500), True, key=lambda length: not is_accepted(made(length))))


@pytest.mark.slow
@pytest.mark.parametrize("most", sample([24, 35, MAX_FEEDS], MAX_FEEDS))
@pytest.mark.parametrize(
    "feed",
    [
        "rss:https://a.example/{}{}",
        "commons:{}{}",
        {"source": "mastodon", "server": "s{}.example", "hashtag": "{}"},
    ],
    ids=["rss", "commons", "object"],
)
@pytest.mark.parametrize("character", ["x", "é", "日", "🐈", '"'], ids=["ASCII", "accent", "CJK", "emoji", "quote"])
def test_state_fits_when_the_longest_feeds_of_a_full_run_fail(feed: Any, character: str, most: int) -> None:
    """Step Functions counts bytes of UTF-8: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html."""
    configs = full(feed, character, most)
    assert len(configs) == most
    assert state_bytes(configs, frames=MEASURED_FRAMES) < LIMIT
    assert state_bytes(configs, frames=FRAMES) < 256 * 1024


def test_state_fits_when_every_feed_of_a_full_run_fails() -> None:
    entry, result = failed_feed()
    state = {"run": RUN.model_dump(), "feeds": [entry] * MAX_FEEDS, "results": [result] * MAX_FEEDS}
    assert len(json.dumps(state)) < LIMIT


class NoBucket:
    def put_json(self, *_: object) -> None:
        """Store nothing."""

    def put_lines(self, *_: object) -> None:
        """Store nothing."""


@pytest.mark.parametrize("backfill", [False, True])
@pytest.mark.parametrize("reason", [3, 100])
@pytest.mark.parametrize("version", [19, 600], ids=["id", "ETag and Last-Modified"])
def test_state_fits_when_every_feed_of_a_full_run_succeeds(version: int, reason: int, backfill: bool) -> None:
    """A cursor and the id of the newest post are as long as the network makes them; Fetch refuses longer cursors."""
    entry, _ = failed_feed(f"rss:https://a.example/{'f' * 100}")
    feed = FeedEntry.model_validate(entry)
    time = "2026-04-01T05:00:00.000000Z"
    progress = Progress(
        newest_id="v" * version,
        newest_at=time,
        oldest_at=time,
        asked_from=time,
        asked_to=time,
        backfill=backfill,
        backfill_position=BackfillPosition(cursor="c" * MAX_PAGE_URL, reached_to=time),
    )
    skipped = [Reject(None, f"{number:03}" + "r" * (reason - 3), {}, ()) for number in range(MAX_SKIP_REASONS)]
    request = FeedRequest(run=RUN, feed=feed, progress=progress)
    planner = Planner(request, cast(Bucket, NoBucket()), cast(MediaIndex, None))
    plan = planner.write(Selection([], skipped_media=skipped), ["w" * 150])
    reconciliation = ReconcileResult(
        status="complete",
        reconciliation_key="k" * 100,
        counts=dict.fromkeys(("planned", "shared", "ok", "duplicate", "rejected", "failed", "erased"), 1_000),
    )
    result = FeedResult(feed=feed, status="complete", plan=plan, reconciliation=reconciliation).model_dump(mode="json")
    state = {"run": RUN.model_dump(), "feeds": [entry] * MAX_FEEDS, "results": [result] * MAX_FEEDS}
    assert len(json.dumps(state)) < 256 * 1024
