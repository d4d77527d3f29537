"""Passwords and tokens in URLs, wherever somebody puts them, are in nothing that is kept or sent."""

from __future__ import annotations

import base64
import gzip
import html
import io
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow.parquet as pq
import pytest

import check_input.app
import ingest_stream.app
from check_input.settings import CheckInputSettings
from imagelake.run.errors import BadInputError
from imagelake.run.observability import logger
from tests.reliability.pipeline import execute
from tests.support.factories import Context, event
from tests.support.fake_bus import Bus
from tests.support.fake_lake import Lake
from tests.support.images import encoded, photo
from tests.support.web_server import Answer, WebServer

DAY = "2026-04-01"
SECRET = "planted00secret"
USER = f"user:{SECRET}@"
TAKEN = re.compile(SECRET.encode())


def feed_of(website: WebServer) -> str:
    """A feed whose links, pages, images and redirects all hold a password."""
    site = website.origin.replace("://", f"://{USER}")
    website.put("/moves.jpg", Answer(b"", 302, {"location": f"{site}/there.jpg"}))
    website.put("/good.jpg", encoded(photo(120, 80)))
    images = [f"{site}/one.jpg", f"{website.origin}/moves.jpg", f"{website.origin}/good.jpg"]
    items = "".join(
        f"<item><guid>{number}</guid><pubDate>Wed, 01 Apr 2026 05:00:00 GMT</pubDate><link>{site}/{number}</link>"
        f'<description>See {site}/text</description><enclosure url="{url}" type="image/jpeg" length="9"/></item>'
        for number, url in enumerate(images, 1)
    )
    following = f'<atom:link rel="next" href="{site}/next"/>'
    body = (
        '<?xml version="1.0"?><rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom"><channel>'
        f"<title>T</title>{following}{items}<item><guid>bad</guid><link>{site}/bad</link></item></channel></rss>"
    )
    return f"rss:{website.put('/feed.xml', Answer.text(body, 'application/rss+xml'))}"


def moved_feed(website: WebServer) -> str:
    location = website.origin.replace("://", f"://{USER}") + f"/new?token={SECRET}"
    return f"rss:{website.put('/moved.xml', Answer(b'', 301, {'location': location}))}"


WRONG: list[Any] = [
    f"rss:https://{USER}a.example/feed",
    f"rss:https://{SECRET}@b.example/feed",
    f"rss:https://user:pa/{SECRET}@c.example/feed",
    f"mastodon:https://{USER}d.example#cats",
    f"mastodon:https://{USER}e.example@alice",
    f"mastodon:{USER}f.example#cats",
    f"mastodon:{USER}g.example@alice",
    {"source": "mastodon", "server": f"https://{USER}h.example", "hashtag": "cats"},
    {"source": "mastodon", "server": f"{USER}i.example", "hashtag": "cats"},
    {"source": "rss", "account": f"https://{USER}j.example/feed"},
    {"source": "rss", "acount": f"https://{USER}k.example/feed"},
    f"https://{USER}l.example/feed",
    f"nonsense https://{USER}m.example/feed",
]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    log = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", log)
    return log


def kept(lake: Lake) -> Iterator[tuple[str, bytes]]:
    for key in lake.bucket.list(""):
        body = lake.bucket.get(key)
        yield key, body
        yield f"{key} metadata", repr(lake.bucket.version(key)).encode()
        if body[:2] == b"\x1f\x8b":
            yield f"{key} inflated", gzip.decompress(body)
        if body[:4] == b"PAR1":
            rows = pq.read_table(io.BytesIO(body)).drop_columns(["image"]).to_pylist()
            yield f"{key} rows", repr(rows).encode()
    yield "media index", repr(lake.mapping()).encode()


def unescaped(text: bytes) -> Iterator[bytes]:
    for _ in range(3):
        yield text
        text = html.unescape(unquote_to_bytes(text).replace(b"\\/", b"/").decode("latin-1")).encode(
            "latin-1", "replace"
        )


def leaks(places: dict[str, bytes]) -> list[str]:
    return [place for place, text in places.items() if any(TAKEN.search(form) for form in unescaped(text))]


def test_password_in_a_url_is_nowhere(
    lake: Lake, website: WebServer, bus: Bus, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    feeds = [feed_of(website), moved_feed(website), *WRONG]
    told = execute(lake, "run-1", feeds, dt=DAY, failure_tolerance_percent=100)
    places = dict(kept(lake)) | {
        "notification": json.dumps(told).encode(),
        "events": json.dumps(bus.published).encode(),
        "log": "".join([log.getvalue(), *capfd.readouterr()]).encode(),
    }
    # The search itself: the feeds were read and refused, and the places are full.
    assert told["message"].count("BadFeedError") == len(WRONG) + 1
    assert any(b"REDACTED@" in text for place, text in places.items() if place.startswith("raw/posts/"))
    assert any(b"url_refused" in text for place, text in places.items() if place.endswith(" rows"))
    assert any(place.startswith("rejects/") for place in places)
    assert b"No run can succeed for these feeds" in places["notification"]
    assert b"Feed Failed" in places["events"]
    assert b"run reported" in places["log"]
    assert leaks(places) == []


def test_token_in_the_url_of_a_feed_is_in_no_message(
    lake: Lake, website: WebServer, bus: Bus, log: io.StringIO
) -> None:
    feed = f"rss:{website.put('/feed', Answer.text('no feed', 'text/html'))}?page=1&api_key={SECRET}"
    told = execute(lake, "run-1", [feed], dt=DAY)
    assert f"{website.origin}/feed?page=1&api_key=REDACTED" in told["message"]
    assert "first put the values back in place of REDACTED" in told["message"]
    places = {
        "notification": json.dumps(told).encode(),
        "report": lake.bucket.get("reports/run-1/index.html"),
        "events": json.dumps(bus.published).encode(),
        "log": log.getvalue().encode(),
    }
    assert leaks(places) == []


@pytest.mark.parametrize(
    "feed",
    [
        f"rss:https://a.example/?url=https://b.example/?token={SECRET}",
        f"rss:https://a.example/?url=https%3A%2F%2Fb.example%2F%3Ftoken%3D{SECRET}",
        f"rss:https://a.example/?user[token]={SECRET}",
        f"rss:https:/user:{SECRET}@a.example/",
        {"source": "rss", "account": "https://a.example/", "api_key": [SECRET]},
    ],
)
def test_accepted_feed_is_logged_without_its_token(lake: Lake, bus: Bus, log: io.StringIO, feed: Any) -> None:
    result = check_input.app.handler(event("check_input", input={"feeds": [feed]}), Context())
    assert "input accepted" in log.getvalue()
    places = {"log": log.getvalue().encode(), "events": json.dumps(bus.published).encode()}
    assert leaks(places | {"feed id": result["feeds"][0]["feed_id"].encode()}) == []


@pytest.mark.parametrize(
    "given",
    [
        {"feeds": [WRONG[0], WRONG[0]]},
        {"feeds": ["bluesky:a.example"], "schedule": [], f"https://{USER}x.example": 1},
        {"feeds": ["bluesky:a.example"], "time_zone": f"https://{USER}x.example"},
        {"feeds": ["bluesky:a.example"], "preset": f"https://{USER}x.example"},
        {"feeds": f"rss:https://{USER}x.example"},
        f"https://{USER}x.example",
    ],
)
def test_refusal_of_the_input_holds_no_password(lake: Lake, given: Any) -> None:
    with pytest.raises(BadInputError) as refused:
        check_input.app.handler(event("check_input", input=given), Context())
    assert SECRET not in str(refused.value)


def test_refusal_of_a_variable_holds_no_password(environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_SIZE", f"https://{USER}x.example")
    with pytest.raises(
        BadInputError, match=r"^environment variable BATCH_SIZE: it has to be a whole number"
    ) as refused:
        CheckInputSettings.load()
    assert SECRET not in str(refused.value)


def test_stream_record_is_stored_without_the_password(
    lake: Lake, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest_stream.staging.start", lambda *_: None)
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:aws:states:us-east-1:123456789012:stateMachine:M")
    post = {"post_id": "1", "author_id": "a", "posted_at": f"{DAY}T05:00:00Z", "text": f"see https://{USER}x.example/"}
    bodies = [{"schema": "imagelake.post/1", "post": post}, {"schema": f"https://{USER}x.example"}]
    given = event("ingest_stream")
    (one,) = given["Records"]
    given["Records"] = [
        one | {"kinesis": one["kinesis"] | {"data": base64.b64encode(json.dumps(body).encode()).decode()}}
        for body in bodies
    ]
    ingest_stream.app.handler(given, Context())
    places = dict(kept(lake)) | {"log": log.getvalue().encode()}
    (reject,) = [
        json.loads(text) for place, text in places.items() if place.startswith("rejects/") and text[:1] == b"{"
    ]
    places["record"] = base64.b64decode(reject["raw"]["data_base64"])
    assert b"REDACTED@" in places["record"]
    assert any(place.startswith("work/stream/") for place in places)
    assert leaks(places) == []
