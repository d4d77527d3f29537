"""No log line, cause, metric, object key or key of a table has the name of a feed, an account, an author or a post.

Nobody can rewrite those. Lambda logs the message of each error that a function raises, and traces have it too.
"""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import pytest

import check_input.app
import ingest_stream.app
from imagelake.run.aws import client
from imagelake.run.errors import BadInputError
from imagelake.run.observability import logger
from imagelake.sources import parse_feed
from ingest_stream.records import BrokenRecordError
from tests.reliability import pipeline
from tests.reliability.pipeline import execute
from tests.support.factories import Context, event
from tests.support.fake_lake import BOOKMARKS, Lake
from tests.support.images import encoded, photo
from tests.support.web_server import Answer, WebServer

DAY = "2026-04-01"
NAME = "plantedname"
TAKEN = re.compile(NAME, re.IGNORECASE)


def item(number: int, image: str, site: str) -> str:
    return (
        f"<item><guid>{NAME}-{number}</guid><pubDate>Wed, 01 Apr 2026 05:00:00 GMT</pubDate>"
        f"<author>{NAME}@a.example (Planted{NAME})</author><link>{site}/{NAME}/{number}</link>"
        f'<description>By {NAME}</description><enclosure url="{image}" type="image/jpeg" length="9"/></item>'
    )


def good_feed(website: WebServer) -> str:
    """A feed with an image, a dead link, a link that is refused, and a reject; all of them name the author."""
    site = website.origin
    good = website.put(f"/{NAME}.jpg", encoded(photo(120, 80)))
    cut = website.put(f"/{NAME}-cut.jpg", encoded(photo(120, 80))[:90])
    images = [good, cut, f"{site}/{NAME}-gone.jpg", f"http://{NAME}.invalid/a.jpg"]
    items = "".join(item(number, image, site) for number, image in enumerate(images))
    bad = f"<item><guid>{NAME}-bad</guid><link>{site}/{NAME}</link></item>"
    body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>{NAME}</title>{items}{bad}</channel></rss>'
    return f"rss:{website.put(f'/{NAME}.xml', Answer.text(body, 'application/rss+xml'))}"


def failing_feeds(website: WebServer) -> list[Any]:
    moved = Answer(b"", 301, {"location": f"{website.origin}/new-{NAME}"})
    refused = Answer(json.dumps({"error": f"no profile {NAME}"}).encode(), 400, {"content-type": "application/json"})
    network = website.origin
    website.put("/api/v1/accounts/lookup", refused)
    return [
        f"rss:{website.put(f'/moved-{NAME}', moved)}",
        f"rss:{website.put(f'/page-{NAME}', Answer.text(f'<html>{NAME}', 'text/html'))}",
        f"rss:{website.put(f'/json-{NAME}', Answer.text(json.dumps([NAME]), 'application/json'))}",
        f"rss:{network}/gone-{NAME}",
        f"mastodon:{network}@{NAME}",
        {"source": "mastodon", "server": network, "account": f"{NAME}2"},
        f"facebook:{NAME}",
        f"instagram:@{NAME}.",
        f"bluesky:{NAME}",
        f"bluesky:#{NAME * 8}",
        f"x:{NAME} and more",
        {"source": "x", "acount": NAME},
        {"source": "x", "account": NAME, "limit": NAME},
        f"{NAME}:{NAME}",
        f"{NAME} is no feed",
        "\u2603 " + NAME * 30,
    ]


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The log of all functions; Lambda's runtime adds the message of each error."""
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    caught = pipeline._caught

    def logged_and_caught(error: Any) -> Any:
        log.write(f"[ERROR] {type(error).__name__}: {error.args}\n")
        return caught(error)

    monkeypatch.setattr(pipeline, "_caught", logged_and_caught)
    return log


def named(text: str) -> list[str]:
    return [line for line in text.splitlines() if TAKEN.search(line)]


def test_whole_run_logs_no_name(
    lake: Lake, website: WebServer, logged: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    feeds = [good_feed(website), *failing_feeds(website)]
    told = execute(lake, "run-1", feeds, dt=DAY, failure_tolerance_percent=0)
    execute(lake, "run-2", feeds[:1], dt=DAY)
    text = logged.getvalue() + "".join(capfd.readouterr())
    # The search itself: the functions logged, all wrong feeds failed, and people read their names.
    assert all(line in text for line in ("input accepted", "pages fetched", "batches planned", "batch transformed",
                                         "file written", "batch closed", "feed reconciled", "run reported",
                                         "FeedAgeHours"))  # fmt: skip
    assert text.count("[ERROR]") == len(feeds) - 1
    assert all(parse_feed(feed).feed_id in text for feed in feeds[:5])
    assert feeds[0] in told["message"]
    assert f"{feeds[1]}: the feed has moved" in told["message"]
    assert named(text) == []
    assert TAKEN.search(told["subject"]) is None


def test_no_key_has_a_name(lake: Lake, website: WebServer, logged: io.StringIO) -> None:
    execute(lake, "run-1", [good_feed(website), *failing_feeds(website)], dt=DAY)
    keys = lake.bucket.list("")
    assert any(key.startswith("reports/_feeds/") for key in keys)
    assert [key for key in keys if TAKEN.search(key)] == []
    bookmarks = client("dynamodb").scan(TableName=BOOKMARKS)["Items"]
    assert bookmarks
    assert [mark["feed_id"] for mark in bookmarks if TAKEN.search(mark["feed_id"]["S"])] == []


@pytest.mark.parametrize(
    "given",
    [
        {"feeds": [f"bluesky:{NAME}.example", f"bluesky:@{NAME}.example"]},
        {"feeds": [{"source": "mastodon", "server": "a.example,a.example", "account": NAME}]},
        {"feeds": f"bluesky:{NAME}.example"},
        {"feeds": [f"rss:https://a.example/{NAME * 60}"]},
        {"feeds": [{"source": "x", "account": NAME, "limit": 3}] * 2},
        f"bluesky:{NAME}.example",
        [f"bluesky:{NAME}.example"],
    ],
)
def test_refusal_of_the_input_has_no_name(lake: Lake, logged: io.StringIO, given: Any) -> None:
    with pytest.raises(BadInputError) as refused:
        check_input.app.handler(event("check_input", input=given), Context())
    assert named(f"{refused.value}\n{logged.getvalue()}") == []


def test_record_on_which_our_code_breaks_is_logged_without_its_text(
    lake: Lake, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(record: Any) -> None:
        raise KeyError(record["post"]["author_id"])

    monkeypatch.setattr("ingest_stream.records.to_post", broken)
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:M")
    body = {"schema": "imagelake.post/1", "post": {"post_id": NAME, "author_id": NAME, "posted_at": f"{DAY}T05:00:00Z"}}
    given = event("ingest_stream")
    (one,) = given["Records"]
    data = base64.b64encode(json.dumps(body).encode()).decode()
    given["Records"] = [one | {"kinesis": one["kinesis"] | {"data": data}}]
    with pytest.raises(BrokenRecordError, match=r"KeyError at .*\.py:\d+$") as raised:
        ingest_stream.app.handler(given, Context())
    assert "record not read" in logged.getvalue()
    assert named(f"{raised.value}\n{logged.getvalue()}") == []
