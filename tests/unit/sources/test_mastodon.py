from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from imagelake.sources.mastodon import Mastodon
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import FIXED, damaged, rendered
from tests.support.page_properties import Asked, PageProperties
from tests.support.wire.mastodon import MastodonServer

SOURCE = Mastodon()
ACCOUNT = Feed(source="mastodon", server="social.example", account="alice")
HASHTAG = Feed(source="mastodon", server="social.example", hashtag="cats")
BOOKMARK = Bookmark(newest_id="110", newest_at=datetime(2026, 9, 1, tzinfo=UTC))

API = "https://social.example/api/v1/"
LOOKUP = f"{API}accounts/lookup?acct=alice"
STATUSES = f"{API}accounts/108/statuses"
TAG = f"{API}timelines/tag/cats"
INSTANCE = "https://social.example/api/v2/instance"


def attachment(name: str = "9001", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "type": "image",
        "url": f"https://files.example/original/{name}.png",
        "preview_url": f"https://files.example/small/{name}.png",
        "remote_url": None,
        "description": "a cat",
        "blurhash": "UBL_:rOpGG",
        "meta": {"original": {"width": 1200, "height": 900, "size": "1200x900"}, "focus": {"x": 0.0, "y": 0.0}},
        **more,
    }


def status(name: str = "113", **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "created_at": "2026-09-30T09:00:00.000Z",
        "in_reply_to_id": None,
        "sensitive": False,
        "spoiler_text": "",
        "visibility": "public",
        "language": "en",
        "uri": f"https://social.example/users/alice/statuses/{name}",
        "url": f"https://social.example/@alice/{name}",
        "edited_at": None,
        "content": '<p>Cats<br>on a wall <a href="https://social.example/tags/cats">#<span>cats</span></a></p>',
        "reblog": None,
        "account": {"id": "108", "username": "alice", "acct": "alice", "display_name": "Alice", "noindex": False},
        "media_attachments": [attachment()],
        "mentions": [],
        "tags": [{"name": "cats", "url": "https://social.example/tags/cats"}],
        "emojis": [],
        "card": None,
        "poll": None,
        **more,
    }


def links(**ids: str) -> str:
    """A ``Link`` header; its host must never be followed."""
    result = [("max_id", "next"), ("min_id", "prev")]
    return ", ".join(
        f'<https://evil.example/api?limit=40&{key}={ids[key]}>; rel="{rel}"' for key, rel in result if key in ids
    )


def response(body: Any, url: str = STATUSES, status: int = 200, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else rendered(body).encode()
    names = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, raw, url)


def page(*entries: Any, url: str = STATUSES, **headers: Any) -> Page:
    return SOURCE.parse(ACCOUNT, response(list(entries), url, **headers))


def only(entry: Any) -> Post:
    result = page(entry)
    assert result.rejects == []
    (post,) = result.posts
    return post


def refusal(given: Any) -> str:
    """Return the reason of the reject; the good post beside it is read."""
    result = page(given, status("100"))
    assert [post.post_id for post in result.posts] == ["100"]
    (reject,) = result.rejects
    return reject.reason


def test_request_when_account_is_new_looks_it_up() -> None:
    request = SOURCE.request(ACCOUNT.model_copy(update={"account": "@alice"}), BOOKMARK, None)
    assert (request.url, request.params) == (f"{API}accounts/lookup", {"acct": "alice"})


def test_request_when_hashtag_is_new_asks_for_the_settings() -> None:
    request = SOURCE.request(HASHTAG, None, None)
    assert (request.url, request.params) == (INSTANCE, {})


def test_walk_when_account_has_no_bookmark_goes_back_from_the_newest() -> None:
    looked_up = SOURCE.parse(ACCOUNT, response({"id": "108", "acct": "alice"}, LOOKUP))
    assert (looked_up.posts, looked_up.rejects, looked_up.newest) == ([], [], None)
    first = SOURCE.request(ACCOUNT, None, looked_up.cursor)
    assert first.url == STATUSES
    assert first.params == {"only_media": "true", "limit": "40", "exclude_reblogs": "true"}
    result = page(status(), link=links(max_id="90", min_id="113"))
    second = SOURCE.request(ACCOUNT, None, result.cursor)
    assert second.url == STATUSES
    assert second.params == {**first.params, "max_id": "90"}
    assert page(status(), url=f"{STATUSES}?max_id=90", link=links(min_id="89")).cursor is None


def test_walk_when_account_has_a_bookmark_reads_the_overlap_and_then_goes_forward_from_it() -> None:
    cursor = SOURCE.parse(ACCOUNT, response({"id": "108"}, LOOKUP)).cursor
    behind = SOURCE.request(ACCOUNT, BOOKMARK, cursor)
    assert (behind.params["max_id"], behind.params["behind"], behind.params["limit"]) == ("110", "80", "40")
    result = page(status("109"), url=f"{STATUSES}?{urlencode(behind.params)}", link=links(max_id="70", min_id="109"))
    assert (result.newest, result.positions) == (None, [])
    behind = SOURCE.request(ACCOUNT, BOOKMARK, result.cursor)
    assert (behind.params["max_id"], behind.params["behind"], behind.params["limit"]) == ("70", "40", "40")
    result = page(status("69"), url=f"{STATUSES}?{urlencode(behind.params)}", link=links(max_id="30", min_id="69"))
    first = SOURCE.request(ACCOUNT, BOOKMARK, result.cursor)
    assert first.params == {"only_media": "true", "limit": "40", "exclude_reblogs": "true", "min_id": "110"}
    result = page(status("113"), status("111"), url=f"{STATUSES}?min_id=110", link=links(max_id="111", min_id="113"))
    assert result.newest == Bookmark(newest_id="113", newest_at=datetime(2026, 9, 30, 9, tzinfo=UTC))
    second = SOURCE.request(ACCOUNT, BOOKMARK, result.cursor)
    assert second.params["min_id"] == "113"
    assert "max_id" not in second.params
    assert page(url=f"{STATUSES}?limit=40&min_id=113") == Page(posts=[], rejects=[], cursor=None)
    assert not SOURCE.newest_first


def test_walk_when_feed_is_a_hashtag_asks_for_the_tag_after_the_settings() -> None:
    feed = Feed(source="mastodon", server="http://127.0.0.1:49152", hashtag="#Kätzchen/ß", limit=5)
    settings = response({"domain": "social.example"}, "http://127.0.0.1:49152/api/v2/instance")
    request = SOURCE.request(feed, BOOKMARK, SOURCE.parse(feed, settings).cursor)
    assert request.url == "http://127.0.0.1:49152/api/v1/timelines/tag/K%C3%A4tzchen%2F%C3%9F"
    assert request.params == {"only_media": "true", "limit": "4", "max_id": "110", "behind": "4"}
    # The bookmark is the only post that the first run has read.
    request = SOURCE.request(feed.model_copy(update={"limit": 1}), BOOKMARK, SOURCE.parse(feed, settings).cursor)
    assert request.params == {"only_media": "true", "limit": "1", "min_id": "110"}


@pytest.mark.parametrize(
    ("server", "field"),
    [
        ("https://social.example", "social.example"),
        ("https://social.example", "Social.Example"),
        ("https://social.example", "https://social.example/"),
        ("https://social.example:443", "social.example"),
        ("https://xn--strae-oqa.example", "straße.example"),
    ],
)
def test_token_of_a_server_is_found_however_its_name_is_written(server: str, field: str) -> None:
    request = Request(f"{server}/api/v1/timelines/tag/cats")
    secret = {"other.example": "no", "not a host": "no", field: "s3cret"}
    assert SOURCE.authorize(request, secret).headers["authorization"] == "Bearer s3cret"
    assert SOURCE.authorize(Request("https://third.example/x"), secret) == Request("https://third.example/x")


def test_walk_when_ids_are_not_numbers_keeps_them() -> None:
    looked_up = SOURCE.parse(ACCOUNT, response({"id": "01H/&?=x"}, LOOKUP))
    request = SOURCE.request(ACCOUNT, None, looked_up.cursor)
    assert request.url == f"{API}accounts/01H%2F%26%3F%3Dx/statuses"
    result = page(status("AbC.9xyz"), url=request.url, link=links(max_id="AbC%26.9"))
    assert result.posts[0].post_id == "AbC.9xyz"
    assert SOURCE.request(ACCOUNT, None, result.cursor).params["max_id"] == "AbC&.9"


@pytest.mark.parametrize(
    "link",
    ["", "garbage", "<http://[?max_id=1>; rel=next-ish", '<x>; rel="next"', '<x?min_id=1>; rel="prev"', "<" * 50],
)
def test_walk_when_link_leads_nowhere_ends(link: str) -> None:
    assert page(status(), link=link).cursor is None


def test_request_when_server_is_missing_or_reversed_is_refused() -> None:
    with pytest.raises(BadFeedError, match="name the server"):
        SOURCE.request(Feed.of("mastodon:alice"), None, None)
    with pytest.raises(BadFeedError, match="SERVER@ACCOUNT"):
        SOURCE.request(Feed.of("mastodon:alice@social.example"), None, None)


def access(local: Any, remote: Any) -> dict[str, Any]:
    feeds = {"hashtag_feeds": {"local": local, "remote": remote}, "live_feeds": {"local": "disabled"}}
    return {"domain": "social.example", "configuration": {"timelines_access": feeds}}


@pytest.mark.parametrize(
    ("local", "remote"), [("disabled", "disabled"), ("authenticated", "disabled"), ("authenticated", "authenticated")]
)
def test_settings_when_hashtag_feeds_are_closed_say_so(local: str, remote: str) -> None:
    with pytest.raises(FeedNotPermittedError, match=f"local: {local}, remote: {remote}"):
        SOURCE.parse(HASHTAG, response(access(local, remote), INSTANCE))


def test_settings_when_hashtag_feeds_are_for_the_signed_in_lead_on_with_a_token() -> None:
    request = SOURCE.authorize(SOURCE.request(HASHTAG, None, None), {"social.example": "t0ken"})
    asked = f"{request.url}?{urlencode(request.params)}"
    assert SOURCE.parse(HASHTAG, response(access("authenticated", "disabled"), asked)).cursor == "timelines/tag/cats"
    with pytest.raises(FeedNotPermittedError, match="no hashtag feeds at all"):
        SOURCE.parse(HASHTAG, response(access("disabled", "disabled"), asked))


@pytest.mark.parametrize("cursor", [None, "timelines/tag/cats"])
def test_authorize_when_there_is_a_token_for_the_server_sends_it(cursor: str | None) -> None:
    request = SOURCE.request(HASHTAG, None, cursor)
    signed = SOURCE.authorize(request, {"social.example": "t0ken", "other.example": "0ther"})
    assert signed.headers == {**request.headers, "authorization": "Bearer t0ken"}
    assert "t0ken" not in f"{signed.url}{signed.params}"
    assert SOURCE.authorize(request, {"other.example": "0ther"}) == request


@pytest.mark.parametrize(
    "body",
    [
        access("public", "public"),
        access("public", "disabled"),
        access("disabled", "public"),
        access(["disabled"], {}),
        {"configuration": {"timelines_access": {"hashtag_feeds": None}}},
        {"configuration": []},
        {},
        [],
        b"<html>not result</html>",
    ],
)
def test_settings_when_they_do_not_close_hashtag_feeds_lead_on(body: Any) -> None:
    assert SOURCE.parse(HASHTAG, response(body, INSTANCE)) == Page([], [], "timelines/tag/cats")


def test_settings_when_the_server_has_none_lead_on() -> None:
    assert SOURCE.parse(HASHTAG, response({"error": "Not found"}, INSTANCE, 404)).cursor == "timelines/tag/cats"
    with pytest.raises(SourceUnavailableError):
        SOURCE.parse(HASHTAG, response({}, INSTANCE, 503))


@pytest.mark.parametrize("body", [[], {}, {"id": 108}, {"id": ""}, {"id": None}, "108", None])
def test_lookup_when_it_has_no_id_is_a_changed_source(body: Any) -> None:
    with pytest.raises(
        SourceChangedError, match=r"mastodon:social\.example@alice: the response to the lookup of the account has no id"
    ):
        SOURCE.parse(ACCOUNT, response(body, LOOKUP))


def test_lookup_when_the_account_is_suspended_is_not_found() -> None:
    with pytest.raises(FeedNotFoundError, match="suspended"):
        SOURCE.parse(ACCOUNT, response({"id": "108", "suspended": True}, LOOKUP))


def test_post_when_it_is_public_is_read_whole() -> None:
    assert only(status()) == Post(
        post_id="113",
        author_id="alice@social.example",
        author_name="Alice",
        permalink="https://social.example/@alice/113",
        posted_at=datetime(2026, 9, 30, 9, tzinfo=UTC),
        text="Cats\non a wall #cats",
        tags=["cats"],
        sensitive=False,
        license=None,
        media=[
            Media(
                media_id="mastodon/social.example/9001",
                index=0,
                kind="image",
                url="https://files.example/original/9001.png",
                alt_text="a cat",
                width=1200,
                height=900,
            )
        ],
    )


@pytest.mark.parametrize("server", ["Social.Example", "https://social.example", "http://SOCIAL.example:3000/"])
def test_media_id_when_server_is_written_otherwise_is_the_same(server: str) -> None:
    result = SOURCE.parse(ACCOUNT.model_copy(update={"server": server}), response([status()]))
    assert result.posts[0].media[0].media_id == "mastodon/social.example/9001"


def test_author_when_of_another_server_keeps_the_full_handle() -> None:
    post = only(status(account={"id": "9", "acct": "Bob@Other.Example", "display_name": ""}))
    assert (post.author_id, post.author_name) == ("bob@other.example", "bob@other.example")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("image", "image"),
        ("gifv", "animation"),
        ("video", "video"),
        ("audio", "audio"),
        ("unknown", "unknown"),
        ("3d", "unknown"),
    ],
)
def test_media_when_of_any_kind_are_kept(kind: str, expected: str) -> None:
    assert [media.kind for media in only(status(media_attachments=[attachment(type=kind)])).media] == [expected]


@pytest.mark.parametrize(
    ("more", "size"),
    [
        ({"meta": None}, (None, None)),
        ({"meta": {}}, (None, None)),
        ({"meta": []}, (None, None)),
        ({"meta": {"original": None}}, (None, None)),
        ({"meta": {"original": {"duration": 3.2, "bitrate": 128}}}, (None, None)),
        ({"meta": {"original": {"width": 0, "height": 10}}}, (None, 10)),
    ],
)
def test_media_when_their_size_is_not_stated(more: dict[str, Any], size: tuple[int | None, int | None]) -> None:
    (media,) = only(status(media_attachments=[attachment(**more)])).media
    assert (media.width, media.height) == size


def test_media_when_still_processed_have_no_url() -> None:
    media = only(status(media_attachments=[attachment("1", url=None, description=None), attachment("2")])).media
    assert [
        (media_item.index, media_item.kind, media_item.url is None, media_item.alt_text) for media_item in media
    ] == [
        (0, "image", True, None),
        (1, "image", False, "a cat"),
    ]


def test_post_when_behind_a_warning_is_sensitive_and_keeps_the_warning() -> None:
    post = only(status(spoiler_text="spiders", content="<p>one</p><p>two &amp; three</p>"))
    assert post.sensitive
    assert post.text == "spiders\n\none\n\ntwo & three"
    assert only(status(sensitive=True)).sensitive


@pytest.mark.parametrize("visibility", ["unlisted", "private", "direct", "local"])
def test_post_when_not_public_is_a_reject(visibility: str) -> None:
    assert refusal(status(visibility=visibility)) == f"visibility: {visibility}, not public"


def test_post_when_its_author_asks_not_to_be_indexed_is_a_reject() -> None:
    def by(**more: Any) -> dict[str, Any]:
        return status(account={"id": "108", "acct": "alice", "display_name": "Alice", **more})

    assert refusal(by(noindex=True)) == "the author asks not to be indexed"
    assert only(by(noindex=None, indexable=False)).post_id == "113"


def test_post_when_reposted_is_a_reject_and_moves_the_bookmark() -> None:
    repost = status("120", reblog=status("99"), media_attachments=[])
    assert refusal(repost) == "a repost of another post"
    result = page(repost, status("113"))
    assert result.newest is not None
    assert result.newest.newest_id == "120"


def test_bookmark_when_a_server_claims_the_future_stays_in_the_present() -> None:
    forged = status(created_at="2099-01-01T00:00:00Z")
    result = page(forged, date="Thu, 01 Oct 2026 12:00:00 GMT")
    assert result.newest == Bookmark(newest_id="113", newest_at=datetime(2026, 10, 1, 12, tzinfo=UTC))
    assert page(forged).posts == result.posts


def test_bookmark_when_the_first_entry_is_misshapen_is_the_next_one() -> None:
    result = page(status("120", created_at=None), status("113"), status("111"))
    assert result.newest is not None
    assert result.newest.newest_id == "113"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (7, "entry"),
        ([], "entry"),
        ({}, "id"),
        (status(id=113), "id"),
        (status(created_at="30.9.2026"), "created_at"),
        (status(created_at="0001-01-01T00:00:00Z"), "created_at"),
        (status(visibility=None), "visibility"),
        (status(reblog="x"), "reblog"),
        (status(account=None), "account"),
        (status(media_attachments=None), "media_attachments"),
    ],
)
def test_post_when_misshapen_is_a_reject_that_names_the_field(given: Any, field: str) -> None:
    assert refusal(given).startswith(f"{field}: ")


def test_post_when_optional_fields_are_odd_is_kept() -> None:
    """The schema of Mastodon has no null here, but forks send it: only what names the post and its images counts."""
    odd = status(content=None, tags=None, spoiler_text=7, url={}, account={"acct": "", "display_name": 3})
    post = only(odd)
    assert (post.text, post.tags, post.permalink) == ("", [], None)
    assert (post.author_id, post.author_name) == ("unknown@social.example", "unknown")
    assert only(status(tags=["cats", {"name": "dogs"}, None])).tags == ["dogs"]


@pytest.mark.parametrize(
    ("value", "sensitive"), [(None, False), (False, False), (0, False), ("", False), ("no", True), (1.5, True)]
)
def test_sensitive_when_not_a_flag_counts_as_set_unless_it_is_empty(value: Any, sensitive: bool) -> None:
    assert only(status(sensitive=value)).sensitive is sensitive


@pytest.mark.parametrize(
    ("width", "read"), [(10.0, 10), (1e3, 1000), (10.5, None), ("9", None), (-9, None), (0, None), ({}, None)]
)
def test_width_when_written_as_a_float_is_that_number(width: Any, read: int | None) -> None:
    """JSON has one type of number (RFC 8259, section 6), and Pleroma writes 10.0."""
    (media,) = only(status(media_attachments=[attachment(meta={"original": {"width": width, "height": 7}})])).media
    assert (media.width, media.height) == (read, 7)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (attachment(id=7), "not readable: id: it has to be text"),
        (attachment(url=7), "not readable: url: it has to be text"),
        (None, "not readable: entry: it has to be an object"),
        ([], "not readable: entry: it has to be an object"),
    ],
)
def test_attachment_when_misshapen_is_skipped_alone(bad: Any, reason: str) -> None:
    first, skipped, last = only(status(media_attachments=[attachment("1"), bad, attachment("3")])).media
    assert (first.media_id, last.media_id) == ("mastodon/social.example/1", "mastodon/social.example/3")
    assert (skipped.media_id, skipped.index, skipped.skip_reason) == ("mastodon/social.example/113/1", 1, reason)


def test_attachment_when_its_type_is_odd_is_what_its_url_says() -> None:
    odd = [attachment("1", type=None), attachment("2", type={}, url="https://files.example/2.mp4")]
    assert [media.kind for media in only(status(media_attachments=odd)).media] == ["image", "video"]


def test_text_when_it_holds_odd_unicode_is_safe_to_store() -> None:
    body = json.dumps([status(content="<p>\x00\ud800 👩‍🚀 שלום &#0;</p>")]).encode()
    post = SOURCE.parse(ACCOUNT, response(body)).posts[0]
    assert post.text == "\ufffd 👩‍🚀 שלום \ufffd"


def test_page_when_it_goes_on_has_a_rate() -> None:
    headers = {"X-RateLimit-Remaining": "299", "X-RateLimit-Reset": "2026-10-01T12:05:00.123456Z"}
    result = SOURCE.parse(HASHTAG, Response(200, headers, b"[]", TAG))
    assert result.rate == RateLimit(299, datetime(2026, 10, 1, 12, 5, 0, 123456, tzinfo=UTC))


@pytest.mark.parametrize(
    "body", [b"<!DOCTYPE html>", b"", b"{}", b"null", b'[{"id": "1"', b'{"error": "x"}', b"[" * 100_000]
)
def test_page_when_not_as_documented_is_a_changed_source(body: bytes) -> None:
    with pytest.raises(SourceChangedError, match=r"^mastodon:social\.example@alice: "):
        SOURCE.parse(ACCOUNT, response(body))


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (401, {"error": "This API requires an authenticated user"}, CredentialsError),
        (403, b"<html>blocked</html>", FeedNotPermittedError),
        (404, {"error": "レコードが見つかりません"}, FeedNotFoundError),
        (404, b"", FeedNotFoundError),
        (410, {"error": "Gone"}, FeedNotFoundError),
        (422, {"error": "Validation failed"}, SourceChangedError),
        (429, {"error": "Too many requests"}, RateLimitedError),
        (502, b"<html>Bad gateway</html>", SourceUnavailableError),
    ],
)
@pytest.mark.parametrize("url", [LOOKUP, STATUSES])
def test_response_when_refused_raises_its_error_and_names_the_feed(
    url: str, code: int, body: Any, kind: type[ImagelakeError]
) -> None:
    with pytest.raises(kind, match=r"mastodon:social\.example@alice") as caught:
        SOURCE.parse(ACCOUNT, response(body, url, code))
    assert type(caught.value) is kind


def test_limit_when_reached_ends_at_the_servers_reset() -> None:
    with pytest.raises(RateLimitedError) as caught:
        SOURCE.parse(ACCOUNT, response({}, status=429, x_ratelimit_reset="2026-10-01T12:05:00.123456Z"))
    assert caught.value.reset_at == datetime(2026, 10, 1, 12, 5, 0, 123456, tzinfo=UTC)


def test_reject_names_its_authors_by_their_full_handles() -> None:
    """So that nothing of an erased author is stored; in an entry, a local account has its name alone."""
    theirs = status("200") | {"account": {"acct": "Bob@Other.example"}}
    rejects = page(status("113", reblog=theirs), status("114", visibility="private"), None, {"account": 7}).rejects
    assert [reject.author_ids for reject in rejects] == [
        ("alice@social.example", "bob@other.example"), ("alice@social.example",), (), (),
    ]  # fmt: skip


class TestPage(PageProperties):
    source, feed, url = SOURCE, ACCOUNT, STATUSES
    good = [
        status("113"),
        status("112", spoiler_text="x"),
        status("111", media_attachments=[attachment("5", meta=None)]),
    ]
    full = [
        status(
            "99", spoiler_text="spiders", reblog=None, media_attachments=[attachment(), attachment("2", type="gifv")]
        )
    ]
    others = [
        Asked(HASHTAG, TAG, good[:1]),
        Asked(HASHTAG, LOOKUP, {"id": "108", "suspended": False}),
        Asked(HASHTAG, INSTANCE, access("public", "disabled")),
    ]
    headers = {"link": links(max_id="111")}
    garbage_can_be_empty = True
    required = ["id", "created_at", "visibility", "reblog", "account", "account.noindex", "media_attachments"]
    image_fields = ["media_attachments.*"]

    def body(self, entries: list[Any]) -> Any:
        return entries

    def answer(self, request: Request) -> Response:
        server = MastodonServer()
        server.posts = self.good
        return server.respond(request)


@FIXED
@given(
    damaged(access("public", "disabled")) | damaged({"id": "108", "suspended": False}),
    st.sampled_from([LOOKUP, INSTANCE]),
)
def test_page_when_lookup_or_settings_are_damaged_raises_only_imagelake_errors(body: Any, url: str) -> None:
    try:
        result = SOURCE.parse(HASHTAG, response(body, url))
    except ImagelakeError:
        return
    assert result.cursor


def test_media_id_when_the_attachment_id_is_long_is_a_digest() -> None:
    (post,) = page(status(media_attachments=[attachment(id="図" * 900)])).posts
    assert re.fullmatch("mastodon/sha256-[0-9a-f]{64}", post.media[0].media_id)


def test_post_when_it_has_too_many_media_items_is_a_reject() -> None:
    (reject,) = page(status(media_attachments=[attachment(id=str(number)) for number in range(1_001)])).rejects
    assert reject.reason == "media: 1,001 media items, more than 1,000"
