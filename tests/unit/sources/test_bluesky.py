from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.posts import Media, Post
from imagelake.sources import Bookmark, Feed, Page, RateLimit
from imagelake.sources.bluesky import Bluesky
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import rendered
from tests.support.page_properties import PageProperties

SOURCE = Bluesky()
FEED = Feed(source="bluesky", account="alice.example")
TAG = Feed(source="bluesky", hashtag="cats")
SEEN = Bookmark(newest_id="x", newest_at=datetime(2026, 1, 1, tzinfo=UTC))
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECRET = {"identifier": "alice.example", "app_password": "abcd-efgh-ijkl-mnop"}
DID = "did:plc:abcdefghijklmnopqrstuvwx"
CDN = f"https://cdn.bsky.app/img/feed_fullsize/plain/{DID}"


def image(cid: str, alt: str = "", **more: Any) -> dict[str, Any]:
    return {"thumb": f"{CDN}/{cid}-thumb", "fullsize": f"{CDN}/{cid}", "alt": alt, **more}


def images(*cids: str) -> dict[str, Any]:
    ratio = {"width": 4, "height": 3}
    return {
        "$type": "app.bsky.embed.images#view",
        "images": [image(cid, f"a {cid}", aspectRatio=ratio) for cid in cids],
    }


GALLERY = {
    "$type": "app.bsky.embed.gallery#view",
    "items": [
        {"$type": "app.bsky.embed.gallery#viewImage", "thumbnail": f"{CDN}/t", "fullsize": f"{CDN}/g{n}", "alt": ""}
        for n in range(12)
    ],
}
VIDEO = {
    "$type": "app.bsky.embed.video#view",
    "cid": "bafyvideo",
    "playlist": f"https://video.bsky.app/watch/{DID}/bafyvideo/playlist.m3u8",
    "thumbnail": f"https://video.bsky.app/watch/{DID}/bafyvideo/thumbnail.jpg",
    "alt": "a clip",
}
CARD = {
    "$type": "app.bsky.embed.external#view",
    "external": {"uri": "https://news.example", "title": "News", "description": "", "thumb": f"{CDN}/card"},
}
QUOTE = {
    "$type": "app.bsky.embed.record#view",
    "record": {"$type": "app.bsky.embed.record#viewRecord", "uri": "at://x", "embeds": [images("quoted")]},
}


def record_with(media: dict[str, Any]) -> dict[str, Any]:
    return {"$type": "app.bsky.embed.recordWithMedia#view", "record": QUOTE, "media": media}


def label(val: str, cts: str = "2026-09-30T10:00:00.000Z", **more: Any) -> dict[str, Any]:
    return {"src": "did:plc:labeler", "uri": f"at://{DID}/x", "val": val, "cts": cts, **more}


def entry(key: str = "3kaaa", embed: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A ``feedViewPost`` with two images; ``more`` replaces keys of the post, of ``record`` as ``record_KEY``."""
    record = {
        "$type": "app.bsky.feed.post",
        "text": "Cats on a wall",
        "createdAt": "2026-09-30T09:00:00.000Z",
        "langs": ["en"],
    }
    record |= {name.removeprefix("record_"): more.pop(name) for name in list(more) if name.startswith("record_")}
    reason = more.pop("reason", None)
    post = {
        "uri": f"at://{DID}/app.bsky.feed.post/{key}",
        "cid": "bafyreia",
        "author": {"did": DID, "handle": "alice.example", "displayName": "Alice", "labels": []},
        "record": record,
        "embed": images("one", "two") if embed is None else embed,
        "replyCount": 0,
        "indexedAt": "2026-09-30T09:00:01.500Z",
        "labels": [],
        **more,
    }
    return {"post": post} | ({"reason": reason} if reason else {})


def response(body: Any, status: int = 200, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else rendered(body).encode()
    names = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, raw, "https://public.api.bsky.app/xrpc/app.bsky.feed.getAuthorFeed?actor=a")


def page(*entries: Any, cursor: Any = None, **headers: Any) -> Page:
    body = {"feed": list(entries)} | ({} if cursor is None else {"cursor": cursor})
    return SOURCE.parse(FEED, response(body, **headers))


def only(*entries: Any) -> Post:
    """Return the only post of a page without rejects."""
    result = page(*entries)
    assert result.rejects == []
    (post,) = result.posts
    return post


def refusal(given: Any) -> str:
    """Return the reason of the reject; the good post beside it is read."""
    result = page(entry("3kgood"), given)
    assert [post.post_id for post in result.posts] == [f"at://{DID}/app.bsky.feed.post/3kgood"]
    (reject,) = result.rejects
    return reject.reason


def kinds(post: Post) -> list[tuple[str, str | None]]:
    return [(media.kind, media.url) for media in post.media]


def test_request_when_first_asks_the_public_api_for_posts_with_media() -> None:
    request = SOURCE.request(FEED, None, None)
    assert (request.method, request.url) == ("GET", "https://public.api.bsky.app/xrpc/app.bsky.feed.getAuthorFeed")
    assert request.params == {"actor": "alice.example", "filter": "posts_with_media", "limit": "100"}


def test_request_when_it_goes_on_carries_cursor_and_small_limit() -> None:
    feed = Feed(source="bluesky", account="@alice.example", server="http://127.0.0.1:49152", limit=7)
    request = SOURCE.request(feed, Bookmark(newest_id="x", newest_at=datetime(2026, 1, 1, tzinfo=UTC)), "2026::x")
    assert request.url == "http://127.0.0.1:49152/xrpc/app.bsky.feed.getAuthorFeed"
    assert request.params == {"actor": "alice.example", "filter": "posts_with_media", "limit": "7", "cursor": "2026::x"}


@pytest.mark.parametrize("account", [DID, "did:web:alice.example", "Alice.Bsky.Social", "a-b.c.example"])
def test_request_when_account_is_a_did_or_handle(account: str) -> None:
    assert SOURCE.request(Feed(source="bluesky", account=account), None, None).params["actor"] == account


@pytest.mark.parametrize("account", ["alice", "alice.example/x", "alice.example&x=1", "did:plc", "alice .example"])
def test_request_when_account_is_neither_is_refused(account: str) -> None:
    with pytest.raises(BadFeedError, match="write the whole handle"):
        SOURCE.request(Feed(source="bluesky", account=account), None, None)


def test_request_when_feed_is_a_hashtag_searches_where_one_logs_in() -> None:
    request = SOURCE.request(TAG, SEEN, "25")
    assert request.url == "https://bsky.social/xrpc/app.bsky.feed.searchPosts"
    assert request.params == {
        "q": "#cats",
        "tag": "cats",
        "sort": "latest",
        "limit": "100",
        "cursor": "25",
    }
    with pytest.raises(BadFeedError, match="64 characters"):
        SOURCE.request(Feed(source="bluesky", hashtag="a b"), None, None)


def test_login_when_the_feed_is_a_hashtag_is_made_once_for_a_while() -> None:
    search = SOURCE.request(TAG, None, None)
    login = SOURCE.renewal(search, SECRET, NOON)
    assert login == Request("https://bsky.social/xrpc/com.atproto.server.createSession", method="POST")
    assert SOURCE.authorize(login, SECRET).json == {"identifier": "alice.example", "password": "abcd-efgh-ijkl-mnop"}
    brought = SOURCE.renewed(TAG, response({"accessJwt": "eyJ.a.b", "refreshJwt": "eyJ.c.d", "did": DID}), NOON)
    assert brought == {"session": "eyJ.a.b", "session_until": "2026-11-20T13:30:00+00:00"}
    assert SOURCE.authorize(search, {**SECRET, **brought}).headers["authorization"] == "Bearer eyJ.a.b"
    assert SOURCE.renewal(search, {**SECRET, **brought}, NOON + timedelta(minutes=89)) is None
    assert SOURCE.renewal(search, {**SECRET, **brought}, NOON + timedelta(minutes=90)) is not None


def test_login_when_the_feed_is_an_account_is_not_needed() -> None:
    request = SOURCE.request(FEED, None, None)
    assert SOURCE.renewal(request, {}, NOON) is None
    assert SOURCE.authorize(request, {}) is request


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": "AuthenticationRequired", "message": "Invalid identifier or password"}, CredentialsError),
        (401, {"error": "AuthFactorTokenRequired"}, CredentialsError),
        (400, {"error": "AccountTakedown"}, FeedNotFoundError),
        (429, {"error": "RateLimitExceeded"}, RateLimitedError),
        (200, {"did": DID}, SourceChangedError),
        (200, b"<html>", SourceChangedError),
    ],
)
def test_login_when_refused_raises_its_error(status: int, body: Any, kind: type[ImagelakeError]) -> None:
    with pytest.raises(kind):
        SOURCE.renewed(TAG, response(body, status), NOON)


def test_page_when_it_is_of_a_search_is_read_like_any_other() -> None:
    result = SOURCE.parse(TAG, response({"posts": [entry()["post"], {"uri": 7}], "cursor": "25", "hitsTotal": 99}))
    assert result.posts == page(entry()).posts
    assert (len(result.rejects), result.cursor) == (1, "25")


def test_post_when_it_has_images_is_read_whole() -> None:
    post = only(
        entry(
            record_facets=[
                {"index": {}, "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "cats"}]},
                {"index": {}, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": "https://x"}]},
            ],
            record_tags=["walls", "cats"],
        )
    )
    assert post == Post(
        post_id=f"at://{DID}/app.bsky.feed.post/3kaaa",
        author_id=DID,
        author_name="Alice",
        permalink=f"https://bsky.app/profile/{DID}/post/3kaaa",
        posted_at=datetime(2026, 9, 30, 9, tzinfo=UTC),
        text="Cats on a wall",
        tags=["cats", "walls"],
        sensitive=False,
        license=None,
        media=[
            Media(media_id=f"bluesky/{DID}/3kaaa/0", index=0, kind="image", url=f"{CDN}/one", alt_text="a one"),
            Media(media_id=f"bluesky/{DID}/3kaaa/1", index=1, kind="image", url=f"{CDN}/two", alt_text="a two"),
        ],
    )


@pytest.mark.parametrize(
    ("embed", "expected"),
    [
        (GALLERY, [("image", f"{CDN}/g{n}") for n in range(12)]),
        (record_with(images("mine")), [("image", f"{CDN}/mine")]),
        (record_with(GALLERY), [("image", f"{CDN}/g{n}") for n in range(12)]),
        (VIDEO, [("video", None)]),
        (record_with(VIDEO), [("video", None)]),
        (CARD, []),
        (QUOTE, []),
        (record_with(CARD), []),
        ({"$type": "app.bsky.embed.hologram#view", "thumb": "https://x"}, [("unknown", None)]),
        (
            {"$type": "app.bsky.embed.gallery#view", "items": [{"$type": "app.bsky.embed.gallery#viewVideo"}]},
            [("unknown", None)],
        ),
        ({"$type": "app.bsky.embed.images#view", "images": []}, []),
        ({"$type": "app.bsky.embed.images#view", "images": [{"fullsize": "https://x"}]}, [("image", "https://x")]),
    ],
)
def test_media_when_embedded_are_only_what_the_author_posted(
    embed: dict[str, Any], expected: list[tuple[str, str | None]]
) -> None:
    assert kinds(only(entry(embed=embed))) == expected


def test_media_when_post_has_no_embed_is_empty() -> None:
    bare = entry()
    del bare["post"]["embed"]
    assert only(bare).media == []


def test_alt_text_when_empty_is_none_and_of_a_video_is_kept() -> None:
    assert only(entry(embed=GALLERY)).media[0].alt_text is None
    assert only(entry(embed=VIDEO)).media[0].alt_text == "a clip"


@pytest.mark.parametrize(
    ("more", "sensitive"),
    [
        ({"labels": [label("porn")]}, True),
        ({"labels": [label("sexual")]}, True),
        ({"labels": [label("nudity")]}, True),
        ({"labels": [label("graphic-media")]}, True),
        ({"labels": [label("spam")]}, False),
        ({"labels": [label("porn"), label("porn", "2026-09-30T11:00:00.000Z", neg=True)]}, False),
        ({"labels": [label("porn", "2026-09-30T11:00:00.000Z", neg=True), label("porn")]}, False),
        ({"labels": [label("porn", neg=True), label("porn", "2026-09-30T11:00:00.000Z")]}, True),
        ({"labels": [label("porn"), label("nudity", "2026-09-30T11:00:00.000Z", neg=True)]}, True),
        ({"labels": [label("!hide"), label("!hide", "2026-09-30T11:00:00.000Z", neg=True)]}, False),
        ({"labels": [label("porn"), label("porn", "2026-10-01T10:00:00Z", src="did:plc:x", neg=True)]}, True),
        ({"record_labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "nudity"}]}}, True),
        ({"author": {"did": DID, "handle": "alice.example", "labels": [label("porn")]}}, True),
    ],
)
def test_sensitive_when_labeled(more: dict[str, Any], sensitive: bool) -> None:
    assert only(entry(**more)).sensitive is sensitive


@pytest.mark.parametrize(
    "more",
    [
        {"labels": [label("!no-unauthenticated")]},
        {"labels": [label("porn"), label("!hide")]},
        {"author": {"did": DID, "handle": "alice.example", "labels": [label("!no-unauthenticated")]}},
        {"record_labels": {"values": [{"val": "!no-unauthenticated"}]}},
    ],
)
def test_post_when_hidden_from_signed_out_readers_is_a_reject(more: dict[str, Any]) -> None:
    assert "hidden from signed-out readers" in refusal(entry(**more))


def test_post_when_all_are_hidden_still_moves_the_bookmark() -> None:
    result = page(entry(labels=[label("!hide")]))
    assert result.posts == []
    assert result.newest == Bookmark(
        newest_id=f"at://{DID}/app.bsky.feed.post/3kaaa", newest_at=datetime(2026, 9, 30, 9, tzinfo=UTC)
    )


def test_post_when_reposted_is_a_reject_and_moves_no_bookmark() -> None:
    repost = entry("3kzzz", reason={"$type": "app.bsky.feed.defs#reasonRepost", "indexedAt": "2026-10-01T00:00:00Z"})
    assert refusal(repost) == "a repost of another post"
    assert page(repost).newest is None


def test_post_when_there_for_an_unknown_reason_is_a_reject() -> None:
    assert "unknown reason" in refusal(entry(reason={"$type": "app.bsky.feed.defs#reasonAdvert"}))


def test_bookmark_when_a_post_is_pinned_ignores_it() -> None:
    pinned = entry("3kpin", reason={"$type": "app.bsky.feed.defs#reasonPin"}, record_createdAt="2026-09-30T09:00:01Z")
    result = page(pinned, entry("3kold", record_createdAt="2026-01-01T00:00:00Z"), entry("3knew"))
    assert len(result.posts) == 3
    assert result.newest is not None
    assert result.newest.newest_id.endswith("/3knew")


@pytest.mark.parametrize(
    ("created", "posted"),
    [
        ("2099-01-01T00:00:00Z", "2026-09-30T09:00:01.500+00:00"),
        ("2015-05-05T05:05:05+02:00", "2015-05-05T03:05:05+00:00"),
        ("2026-09-30T09:00:00", "2026-09-30T09:00:00+00:00"),
    ],
)
def test_time_when_the_author_forges_the_future_is_when_it_was_indexed(created: str, posted: str) -> None:
    result = page(entry(record_createdAt=created))
    assert result.posts[0].posted_at == datetime.fromisoformat(posted)
    assert result.newest is not None
    assert result.newest.newest_at == datetime.fromisoformat(posted)


def test_text_when_it_holds_odd_unicode_is_safe_to_store() -> None:
    body = json.dumps({"feed": [entry(record_text="\x00\ud800 👩‍🚀 שלום", embed=images("x\x00"))]}).encode()
    post = SOURCE.parse(FEED, response(body)).posts[0]
    assert post.text == "\ufffd 👩‍🚀 שלום"
    assert post.media[0].url == f"{CDN}/x"
    post.model_dump_json().encode()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (7, "entry"),
        (None, "entry"),
        ({}, "post"),
        ({"post": None}, "post"),
        ({"post": {"$type": "app.bsky.feed.defs#notFoundPost", "uri": "at://x", "notFound": True}}, "author"),
        (entry(uri=7), "uri"),
        (entry(uri="at://did:plc:a/app.bsky.feed.like/3k"), "uri"),
        (entry(indexedAt="9999-12-31T23:59:59-14:00"), "indexedAt"),
        (entry(labels="porn"), "labels"),
        (entry(record_labels={"values": "porn"}), "record.labels.values"),
        ({"post": entry()["post"] | {"embed": "x"}}, "embed"),
        (entry(labels=[{"src": "x"}]), "labels.0.val"),
        (entry(embed={"images": []}), "embed.$type"),
        (entry(embed={"$type": ["app.bsky.embed.images#view"]}), "embed.$type"),
        (entry(embed={"$type": "app.bsky.embed.images#view"}), "images"),
        (entry(embed={"$type": "app.bsky.embed.recordWithMedia#view"}), "media"),
        (entry(reason={"by": {}}), "reason.$type"),
    ],
)
def test_post_when_misshapen_is_a_reject_that_names_the_field(given: Any, field: str) -> None:
    assert refusal(given).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "created", [1790856000, "yesterday", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z", None, {}]
)
def test_time_when_not_readable_is_that_of_indexing(created: Any) -> None:
    result = page(entry(record_createdAt=created))
    assert result.posts[0].posted_at == datetime(2026, 9, 30, 9, 0, 1, 500000, tzinfo=UTC)


def test_post_when_optional_fields_are_odd_is_kept() -> None:
    post = only(
        entry(
            record_text=None,
            record_tags=[7, "cats", None],
            record_facets=[{"features": [{"tag": 7}, {"tag": "dogs"}]}, "x"],
            author={"did": DID, "handle": 7, "displayName": [], "labels": {}},
        )
    )
    assert (post.text, post.tags, post.author_name, len(post.media)) == ("", ["dogs", "cats"], None, 2)


def test_image_when_it_has_no_url_or_is_odd_is_skipped_alone() -> None:
    views = [image("a"), {"alt": "b"}, image("c", fullsize=7), 7, image("d") | {"alt": 7}]
    media = only(entry(embed={"$type": "app.bsky.embed.images#view", "images": views})).media
    assert [(item.kind, item.url) for item in media] == [
        ("image", f"{CDN}/a"),
        ("image", None),
        ("image", None),
        ("unknown", None),
        ("image", f"{CDN}/d"),
    ]
    assert media[3].skip_reason == "not readable: entry: it has to be an object"


def test_reject_when_made_keeps_the_entry_and_its_id() -> None:
    bad = {"post": entry()["post"] | {"embed": "x"}}
    (reject,) = page(bad).rejects
    assert (reject.post_id, reject.raw) == (bad["post"]["uri"], bad)


def test_page_when_it_goes_on_has_cursor_and_rate() -> None:
    result = page(entry(), cursor="2026::x", RateLimit_Remaining="2999", ratelimit_reset="1790856000")
    assert result.cursor == "2026::x"
    assert result.rate == RateLimit(2999, datetime(2026, 10, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize("cursor", [None, ""])
def test_page_when_it_has_no_cursor_is_the_last(cursor: str | None) -> None:
    assert page(entry(), cursor=cursor).cursor is None


def test_page_when_empty_may_still_go_on() -> None:
    assert page(cursor="next") == Page(posts=[], rejects=[], cursor="next")


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html>",
        b"upstream connect error",
        b'{"feed": [{"post": {"uri"',
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"feed": null}',
        b'{"feed": {}}',
        b'{"data": []}',
        b'{"feed": [], "cursor": 7}',
        b"[" * 100_000,
    ],
)
def test_page_when_not_as_documented_is_a_changed_source(body: bytes) -> None:
    with pytest.raises(SourceChangedError, match=r"^bluesky:alice\.example: "):
        SOURCE.parse(FEED, response(body))


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": "InvalidRequest", "message": "Profile not found"}, FeedNotFoundError),
        (400, {"error": "InvalidRequest", "message": "Error: limit must be positive"}, SourceChangedError),
        (400, {"error": "AccountTakedown", "message": "Account has been suspended"}, FeedNotFoundError),
        (400, {"error": "AccountDeactivated", "message": "Account is deactivated"}, FeedNotFoundError),
        (400, {"error": "BlockedActor"}, FeedNotPermittedError),
        (400, {"error": "BlockedByActor"}, FeedNotPermittedError),
        (400, {"error": "ExpiredToken", "message": "Token has expired"}, CredentialsError),
        (401, {"error": "AuthMissing"}, CredentialsError),
        (403, b"<html><body>403 Forbidden</body></html>", FeedNotPermittedError),
        (429, {"error": "RateLimitExceeded"}, RateLimitedError),
        (502, {"error": "UpstreamFailure"}, SourceUnavailableError),
        (503, b"", SourceUnavailableError),
    ],
)
def test_response_when_refused_raises_its_error(status: int, body: Any, kind: type[ImagelakeError]) -> None:
    with pytest.raises(kind) as caught:
        SOURCE.parse(FEED, response(body, status))
    assert type(caught.value) is kind


def test_limit_when_reached_ends_at_the_networks_reset() -> None:
    with pytest.raises(RateLimitedError) as caught:
        SOURCE.parse(FEED, response({"error": "RateLimitExceeded"}, 429, ratelimit_reset="1790856000"))
    assert caught.value.reset_at == datetime(2026, 10, 1, 12, tzinfo=UTC)


class TestPage(PageProperties):
    source, feed = SOURCE, FEED
    url = "https://public.api.bsky.app/xrpc/app.bsky.feed.getAuthorFeed?actor=a"
    good = [entry("3kone"), entry("3ktwo", GALLERY), entry("3ksix", VIDEO)]
    full = [
        entry(
            "3kfull",
            record_with(images("one")),
            labels=[label("spam")],
            record_facets=[{"index": {}, "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "cats"}]}],
            record_labels={"values": [{"val": "nudity"}]},
            record_tags=["cats"],
            reason={"$type": "app.bsky.feed.defs#reasonPin"},
        ),
        entry("3kgal", GALLERY),
        entry("3kvid", VIDEO),
    ]
    damage_raises = SourceChangedError
    required = [
        "post", "post.uri", "post.indexedAt", "post.record", "post.author", "reason", "reason.$type", "*.labels",
        "*.labels.*", "post.embed", "post.embed.$type", "post.embed.media", "post.embed.media.$type", "*.images",
        "*.items",
    ]  # fmt: skip
    image_fields = ["*.images.*", "*.items.*"]

    def body(self, entries: list[Any]) -> Any:
        return {"feed": entries, "cursor": "next"}


def test_bookmark_never_has_a_long_id() -> None:
    long = entry(uri=f"at://{DID}/app.bsky.feed.post/" + "k" * 4_096)
    result = page(long, entry("3kgood"))
    assert [post.post_id for post in result.posts] == [result.newest and result.newest.newest_id]
