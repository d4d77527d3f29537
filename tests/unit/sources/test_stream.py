from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.errors import SourceChangedError
from imagelake.run.posts import Post
from imagelake.sources import Feed, get_source
from imagelake.sources.stream import decode, to_post
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import FIXED, damaged, rendered
from tests.support.page_properties import PageProperties

SOURCE = get_source("stream")
FEED = Feed.of({"source": "stream", "account": "posts", "window": "w-1"})
MEDIA = {"media_id": "cms/1/0", "index": 0, "kind": "image", "url": "https://cdn.test/1.jpg", "alt_text": "A cat"}
POST = {
    "schema": "imagelake.post/1",
    "post": {"post_id": "1", "author_id": "alice", "posted_at": "2026-11-20T12:00:00Z", "media": [MEDIA]},
}
DID = "did:plc:abcdefghijklmnopqrstuvwx"
BLUESKY = {
    "schema": "imagelake.raw/1",
    "source": "bluesky",
    "raw": {
        "post": {
            "uri": f"at://{DID}/app.bsky.feed.post/3k",
            "author": {"did": DID, "handle": "alice.example"},
            "record": {"text": "A cat", "createdAt": "2026-11-20T12:00:00Z"},
            "embed": {
                "$type": "app.bsky.embed.images#view",
                "images": [{"fullsize": "https://cdn.bsky.app/img/1", "alt": "A cat"}],
            },
            "indexedAt": "2026-11-20T12:00:01Z",
        }
    },
}
MASTODON = {
    "schema": "imagelake.raw/1",
    "source": "mastodon",
    "server": "server.example",
    "raw": {
        "id": "17",
        "created_at": "2026-11-20T12:00:00.000Z",
        "visibility": "public",
        "account": {"acct": "alice", "display_name": "Alice"},
        "sensitive": False,
        "content": "<p>A cat</p>",
        "tags": [],
        "media_attachments": [{"id": "9", "type": "image", "url": "https://files.example/9.png"}],
    },
}
RECORDS = [POST, BLUESKY, MASTODON]


def parse(*records: Any, body: bytes | None = None) -> Any:
    return SOURCE.parse(FEED, Response(200, {}, body or json.dumps(records).encode(), "stage:w-1"))


def test_post_when_in_our_own_words_is_taken_as_it_is() -> None:
    assert to_post(POST) == Post.model_validate(POST["post"])


@pytest.mark.parametrize(("record", "kind"), [(BLUESKY, "bluesky"), (MASTODON, "mastodon")])
def test_post_when_raw_is_what_its_network_would_have_brought(record: dict[str, Any], kind: str) -> None:
    # The mapping identifies a post by these, from a stream or from a listing.
    body = {"feed": [record["raw"]]} if kind == "bluesky" else [record["raw"]]
    feed = Feed.of({"source": kind, "server": record.get("server"), "account": "alice.example"})
    polled = get_source(kind).parse(feed, Response(200, {}, json.dumps(body).encode(), "https://server.example/"))
    assert [to_post(record)] == polled.posts
    assert to_post(record).media


def test_page_when_staged_has_every_post() -> None:
    page = parse(*RECORDS)
    assert [post.post_id for post in page.posts] == [
        "1",
        f"at://{DID}/app.bsky.feed.post/3k",
        to_post(MASTODON).post_id,
    ]
    assert (page.rejects, page.cursor, page.newest) == ([], None, None)


def test_page_when_a_record_is_none_keeps_the_others() -> None:
    page = parse(POST, {"schema": "x"}, 7)
    assert len(page.posts) == 1
    assert [reject.raw for reject in page.rejects] == [{"schema": "x"}, 7]


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff"])
def test_page_when_it_is_no_list_is_an_error(body: bytes) -> None:
    with pytest.raises(SourceChangedError):
        SOURCE.parse(FEED, Response(200, {}, body, "stage:w-1"))


def test_request_when_asked_names_the_window() -> None:
    assert SOURCE.request(FEED, None, None).url == "stage:w-1"
    assert SOURCE.request(Feed.of("stream:posts"), None, None).url == "stage:"


def test_feed_when_its_window_differs_is_the_same_feed() -> None:
    assert FEED.feed_id == Feed.of("stream:posts").feed_id


class TestPage(PageProperties):
    source, feed, url = SOURCE, FEED, "stage:w-1"
    good = full = RECORDS
    # Producers write our own schema.
    required = ["*"]
    garbage_can_be_empty = True

    def body(self, entries: list[Any]) -> Any:
        return entries

    def answer(self, request: Request) -> Response:
        # A window is staged in the order of the stream.
        return self._response(self.good[::-1])


@FIXED
@given(record=st.sampled_from(RECORDS).flatmap(damaged))
def test_record_when_damaged_is_a_post_or_a_reason(record: Any) -> None:
    _post_or_reason(rendered(record).encode("utf-8", "surrogatepass"))


@FIXED
@given(data=st.binary(max_size=200))
def test_record_when_any_bytes_is_a_post_or_a_reason(data: bytes) -> None:
    _post_or_reason(data)


def _post_or_reason(data: bytes) -> None:
    with suppress(ValueError):
        decoded = decode(data)
        post = to_post(decoded)
        assert parse(decoded).posts == [post]


@pytest.mark.parametrize("field", ["post_id", "author_id"])
@pytest.mark.parametrize("value", [" bob", "bob\u3000", "a\tb", "a\x85b", "bob\n"])
def test_id_that_no_request_can_name_is_refused(field: str, value: str) -> None:
    record = json.loads(json.dumps(POST))
    record["post"][field] = value
    with pytest.raises(ValueError, match=f"^{field}: it has a space at an end"):
        to_post(record)
