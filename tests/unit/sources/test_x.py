from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

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
from imagelake.sources import Bookmark, Feed, Page, RateLimit, get_source, parse_feed
from imagelake.sources.x import NOT_BY_WAITING, X
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import rendered
from tests.support.page_properties import Asked, PageProperties

SOURCE = X()
FEED = Feed.of("x:CatCafe")
TIMELINE = Feed(source="x", account="CatCafe", form="timeline")
SEARCH_URL = "https://api.x.com/2/tweets/search/recent?query=from%3ACatCafe&max_results=100"
LOOKUP_URL = "https://api.x.com/2/users/by/username/CatCafe"
TIMELINE_URL = "https://api.x.com/2/users/783214/tweets?max_results=100"
SEEN = Bookmark(newest_id="1991000000000000001", newest_at=datetime(2026, 11, 19, tzinfo=UTC))
RESET = datetime(2026, 11, 20, 12, 15, tzinfo=UTC)


def medium(key: str = "3_1", kind: str = "photo", **more: Any) -> dict[str, Any]:
    result = {"media_key": key, "type": kind, "width": 2048, "height": 1365}
    if kind == "photo":
        result |= {"url": f"https://pbs.twimg.com/media/G{key}.jpg", "alt_text": f"a {key}"}
    else:
        result |= {"preview_image_url": f"https://pbs.twimg.com/ext_tw_video_thumb/{key}.jpg"}
    return {**result, **more}


def entry(name: str = "1991111111111111111", *keys: str, **more: Any) -> dict[str, Any]:
    """A post with the media of ``keys``; ``more`` replaces keys."""
    return {
        "id": name,
        "text": "Two cats &amp; a wall #cats https://t.co/abc",
        "author_id": "783214",
        "created_at": "2026-11-20T09:47:29.000Z",
        "possibly_sensitive": False,
        "edit_history_post_ids": [name],
        "entities": {"hashtags": [{"start": 22, "end": 27, "tag": "cats"}]},
        "attachments": {"media_keys": list(keys or ("3_1",))},
        **more,
    }


def response(body: Any, status: int = 200, url: str = SEARCH_URL, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else rendered(body).encode()
    names = {"content-type": "application/json; charset=utf-8"}
    return Response(status, names | {name.replace("_", "-"): value for name, value in headers.items()}, raw, url)


def page(*entries: Any, media: Any = None, url: str = SEARCH_URL, meta: Any = None, **more: Any) -> Page:
    body = {"data": list(entries), "meta": meta or {"result_count": len(entries)}, **more}
    body["includes"] = {"media": [medium()] if media is None else media, **body.get("includes", {})}
    return SOURCE.parse(FEED, response(body, url=url))


def only(*given: Any, **more: Any) -> Post:
    result = page(*given, **more)
    assert result.rejects == []
    (post,) = result.posts
    return post


def problem(kind: str, **more: Any) -> dict[str, Any]:
    return {"title": "No", "detail": "no", "type": f"https://api.twitter.com/2/problems/{kind}", **more}


# ---- Requests --------------------------------------------------------------------------------------------------------


def test_request_when_an_account_is_searched_for_finds_image_posts_since_the_bookmark() -> None:
    request = SOURCE.request(FEED, SEEN, None)
    assert request.url == "https://api.x.com/2/tweets/search/recent"
    assert request.params == {
        "query": "from:CatCafe has:images -is:retweet",
        "max_results": "100",
        "expansions": "attachments.media_keys",
        "media.fields": "media_key,type,url,width,height,alt_text",
        "post.fields": "created_at,author_id,attachments,entities,possibly_sensitive,withheld,"
        "referenced_posts,note_post",
        "since_id": SEEN.newest_id,
    }


def test_request_when_the_older_vocabulary_is_set_sends_it() -> None:
    params = SOURCE.request(Feed(source="x", account="CatCafe", vocabulary="tweet"), None, None).params
    assert "post.fields" not in params
    assert params["tweet.fields"].endswith("referenced_tweets,note_tweet")
    assert "since_id" not in params


def test_request_when_it_is_a_hashtag_searches_for_it() -> None:
    assert SOURCE.request(Feed.of("x:#cats"), None, None).params["query"] == "#cats has:images -is:retweet"


def test_request_when_it_is_a_timeline_looks_the_account_up_first() -> None:
    lookup = SOURCE.request(TIMELINE, SEEN, None)
    assert (lookup.url, dict(lookup.params)) == (LOOKUP_URL, {})
    result = SOURCE.parse(TIMELINE, response({"data": {"id": "783214", "username": "CatCafe"}}, url=LOOKUP_URL))
    assert result == Page([], [], "users/783214/tweets", cost_usd=0.01)
    listing = SOURCE.request(TIMELINE, SEEN, result.cursor)
    assert listing.url == "https://api.x.com/2/users/783214/tweets"
    assert (listing.params["exclude"], listing.params["since_id"]) == ("retweets", SEEN.newest_id)
    assert "query" not in listing.params


def test_request_when_the_timeline_is_of_an_id_needs_no_lookup() -> None:
    feed = Feed(source="x", account="783214", form="timeline")
    assert SOURCE.request(feed, None, None).url == "https://api.x.com/2/users/783214/tweets"


def test_request_when_the_id_is_a_small_number_leads_on_all_the_same() -> None:
    url = "https://api.x.com/2/users/2/tweets?max_results=100"
    assert page(entry(), url=url, meta={"next_token": "n"}).cursor == "users/2/tweets?since_id=&pagination_token=n"


@pytest.mark.parametrize(("form", "limit", "size"), [("search", 3, 10), ("timeline", 3, 5), ("search", 40, 40)])
def test_request_when_the_feed_has_a_limit_asks_for_no_more_than_it_must(form: str, limit: int, size: int) -> None:
    feed = Feed.of({"source": "x", "account": "783214", "form": form, "limit": limit})
    assert SOURCE.request(feed, None, None).params["max_results"] == str(size)


@pytest.mark.parametrize(("cap", "size"), [(0.05, 10), (0.3, 60), (2, 100)])
def test_request_when_the_cost_is_capped_asks_for_what_it_allows(cap: float, size: int) -> None:
    request = SOURCE.request(Feed(source="x", account="CatCafe", cost_cap_usd=cap), None, None)
    assert request.params["max_results"] == str(size)
    assert SOURCE.price(request) == pytest.approx(size * 0.005)
    assert SOURCE.price(Request(LOOKUP_URL)) == 0.01


def test_request_when_the_cap_is_below_one_page_is_refused() -> None:
    with pytest.raises(BadFeedError, match=r"one page can cost 0\.05"):
        SOURCE.request(Feed(source="x", account="CatCafe", cost_cap_usd=0.04), None, None)


@pytest.mark.parametrize(
    "feed",
    [
        {"source": "x", "account": "cat cafe"},
        {"source": "x", "account": "a OR b"},
        {"source": "x", "account": "../2"},
        {"source": "x", "account": "sixteencharacters"},
        {"source": "x", "hashtag": "a -b"},
        {"source": "x", "hashtag": "a OR #b"},
    ],
)
@pytest.mark.parametrize("form", ["search", "timeline"])
def test_request_when_the_name_is_none_of_xs_is_refused(feed: dict[str, str], form: str) -> None:
    with pytest.raises(BadFeedError):
        SOURCE.request(Feed.of(feed | {"form": form}), None, None)


@pytest.mark.parametrize("name", ["form", "vocabulary", "cost_cap_usd"])
def test_setting_when_the_feed_is_of_another_network_is_refused(name: str) -> None:
    value = {"form": "search", "vocabulary": "post", "cost_cap_usd": 1}[name]
    with pytest.raises(BadFeedError, match=f"{name} is a setting of x feeds only"):
        parse_feed({"source": "bluesky", "account": "alice.example", name: value})


@pytest.mark.parametrize("bad", [{"form": "stream"}, {"vocabulary": "toot"}, {"cost_cap_usd": 0}, {"cost_cap_usd": -1}])
def test_setting_when_out_of_bounds_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(BadFeedError):
        Feed.of({"source": "x", "account": "CatCafe", **bad})


def test_request_when_authorized_has_the_token_in_a_header_only() -> None:
    request = SOURCE.authorize(SOURCE.request(FEED, None, None), {"bearer_token": "AAAA%2Fsecret"})
    assert request.headers["authorization"] == "Bearer AAAA%2Fsecret"
    assert "AAAA" not in repr((request.url, request.params))


# ---- Posts -----------------------------------------------------------------------------------------------------------


def test_post_when_it_has_a_photo_is_read_whole() -> None:
    assert only(entry()) == Post(
        post_id="1991111111111111111",
        author_id="783214",
        permalink="https://x.com/i/status/1991111111111111111",
        posted_at=datetime(2026, 11, 20, 9, 47, 29, tzinfo=UTC),
        text="Two cats & a wall #cats https://t.co/abc",
        tags=["cats"],
        media=[
            Media(
                media_id="x/3_1",
                index=0,
                kind="image",
                url="https://pbs.twimg.com/media/G3_1?format=jpg&name=large",
                alt_text="a 3_1",
                width=2048,
                height=1365,
            )
        ],
    )


def test_post_when_written_in_either_vocabulary_is_the_same() -> None:
    note = {"text": "a long text", "entities": {"hashtags": [{"tag": "walls"}]}}
    new = entry(note_post=note, referenced_posts=[{"type": "quoted", "id": "1"}])
    old = entry(note_tweet=note, referenced_tweets=[{"type": "quoted", "id": "1"}])
    old["edit_history_tweet_ids"] = old.pop("edit_history_post_ids")
    assert only(new) == only(old)
    assert (only(new).text, only(new).tags) == ("a long text", ["cats", "walls"])


@pytest.mark.parametrize("key", ["referenced_posts", "referenced_tweets"])
@pytest.mark.parametrize("kind", ["retweeted", "reposted"])
def test_post_when_reposted_is_a_reject(key: str, kind: str) -> None:
    result = page(entry() | {key: [{"type": kind, "id": "1"}]})
    assert [reject.reason for reject in result.rejects] == ["a repost of another post"]


def test_media_when_mixed_keep_their_order_and_kinds() -> None:
    media = [medium("7_2", "video"), medium("3_1"), medium("16_3", "animated_gif"), medium("9_4", "hologram")]
    post = only(entry("1", "3_1", "7_2", "16_3", "9_4"), media=media)
    assert [(media_item.media_id, media_item.kind, media_item.url is None) for media_item in post.media] == [
        ("x/3_1", "image", False),
        ("x/7_2", "video", True),
        ("x/16_3", "animation", True),
        ("x/9_4", "unknown", True),
    ]


def test_media_when_the_key_leads_nowhere_is_kept_with_its_reason() -> None:
    post = only(entry("1", "3_1", "3_9"))
    assert [(media_item.media_id, media_item.kind, media_item.skip_reason) for media_item in post.media] == [
        ("x/3_1", "image", None),
        ("x/3_9", "unknown", "x did not deliver this media item"),
    ]
    (photo,) = only(entry(), media=[medium(url=None)]).media
    assert (photo.kind, photo.url, photo.skip_reason) == ("image", None, "x gives no URL for this photo")


def test_post_when_optional_fields_are_odd_is_kept() -> None:
    entities = {"hashtags": [7, {"tag": "a"}]}
    odd = {"text": None, "author_id": 7, "created_at": "yesterday", "note_post": "x", "entities": entities}
    post = only(entry("1212092628029698048", **odd))
    assert (post.text, post.author_id, post.tags, len(post.media)) == ("", "unknown", ["a"], 1)
    # The time in the id, as in the test above.
    assert post.posted_at == datetime(2019, 12, 31, 19, 26, 16, 771000, tzinfo=UTC)
    (media,) = only(entry(), media=[medium(type=None, width="wide", height=10.0, alt_text=[])]).media
    assert (media.kind, media.width, media.height, media.alt_text) == ("image", None, 10, None)


def test_media_key_when_odd_is_skipped_alone() -> None:
    media = only(entry(attachments={"media_keys": ["3_1", 7, None, "3_1"]})).media
    assert [(item.media_id, item.skip_reason) for item in media] == [
        ("x/3_1", None),
        ("x/1991111111111111111/1", "not readable: the media key has to be text"),
        ("x/1991111111111111111/2", "not readable: the media key has to be text"),
    ]


def test_post_when_it_has_no_media_is_kept_without() -> None:
    bare = entry()
    del bare["attachments"]
    assert only(bare).media == []
    assert only(entry(attachments={})).media == []


def test_url_when_it_is_not_of_the_known_form_is_taken_as_it_is() -> None:
    other = "https://pbs.twimg.com/media/G1?format=webp&name=small"
    assert only(entry(), media=[medium(url=other)]).media[0].url == other


def test_flags_when_set_are_kept_and_withheld_posts_are_not() -> None:
    assert only(entry(possibly_sensitive=True)).sensitive is True
    for stated in ({"country_codes": ["DE"], "copyright": False}, {}, True, ""):
        assert [reject.reason for reject in page(entry(withheld=stated)).rejects] == ["withheld by the network"]
    assert only(entry(withheld=None)).media


def test_author_when_the_user_is_included_has_a_name() -> None:
    users = [{"id": "783214", "name": "Cat Café", "username": "CatCafe"}]
    assert only(entry(), includes={"users": users}).author_name == "Cat Café"
    assert only(entry(), includes={"users": [{"id": "783214", "name": 7}]}).author_name is None


def test_time_when_not_stated_is_that_of_the_id() -> None:
    bare = entry("1212092628029698048")
    del bare["created_at"]
    assert only(bare).posted_at == datetime(2019, 12, 31, 19, 26, 16, 771000, tzinfo=UTC)


def test_text_when_it_holds_odd_unicode_is_safe_to_store() -> None:
    body = {"data": [entry(text="\x00\ud800 👩‍🚀 שלום &lt;3")], "meta": {}}
    assert SOURCE.parse(FEED, response(json.dumps(body).encode())).posts[0].text == "\ufffd 👩‍🚀 שלום <3"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (7, "entry"),
        ({}, "id"),
        (entry("x"), "id"),
        (entry("9" * 30), "id"),
        (entry(attachments=["3_1"]), "attachments"),
        (entry(attachments={"media_keys": "3_1"}), "attachments.media_keys"),
        (entry(referenced_posts="x"), "referenced_posts"),
    ],
)
def test_post_when_misshapen_is_a_reject_that_names_the_field(given: Any, field: str) -> None:
    result = page(entry("1991000000000000009"), given)
    assert [post.post_id for post in result.posts] == ["1991000000000000009"]
    (reject,) = result.rejects
    assert reject.reason.startswith(f"{field}: ")
    assert reject.raw == given


# ---- Pages -----------------------------------------------------------------------------------------------------------


def test_page_when_it_leads_on_keeps_the_walk_it_is_on() -> None:
    url = SEARCH_URL + "&" + urlencode({"since_id": SEEN.newest_id})
    result = page(entry(), url=url, meta={"result_count": 1, "next_token": "b26v"})
    request = SOURCE.request(FEED, None, result.cursor)
    assert request.url.endswith("/2/tweets/search/recent")
    assert (request.params["since_id"], request.params["next_token"]) == (SEEN.newest_id, "b26v")
    timeline = page(entry(), url=TIMELINE_URL, meta={"next_token": "7140w"})
    request = SOURCE.request(TIMELINE, SEEN, timeline.cursor)
    assert (request.params["pagination_token"], "since_id" in request.params) == ("7140w", False)


def test_page_when_without_posts_has_no_list_and_may_lead_on() -> None:
    assert SOURCE.parse(FEED, response({"meta": {"result_count": 0}})) == Page([], [], None)
    assert SOURCE.parse(FEED, response({"meta": {"result_count": 0, "next_token": "n"}})).cursor is not None


def test_page_when_some_of_it_could_not_be_had_still_has_its_posts() -> None:
    errors = [
        problem("resource-not-found", resource_type="media", resource_id="3_9", parameter="attachments.media_keys")
    ]
    assert [post.post_id for post in page(entry(), errors=errors).posts] == ["1991111111111111111"]


def test_page_when_priced_is_billed_for_every_post_that_came() -> None:
    assert page(entry("1"), entry("2"), {"id": "3"}).cost_usd == pytest.approx(0.015)


def test_bookmark_when_ids_tell_the_order_is_the_highest_even_of_a_reject() -> None:
    result = page(entry("900"), entry("1000", withheld={}), entry("950"))
    assert result.newest is not None
    assert result.newest.newest_id == "1000"


def test_since_when_too_old_for_the_search_is_left_out_from_then_on() -> None:
    url = SEARCH_URL + "&since_id=17"
    refused = {"errors": [{"parameters": {"since_id": ["17"]}, "message": "too old"}], **problem("invalid-request")}
    for status in (400, 200):
        result = SOURCE.parse(FEED, response(refused, status, url))
        assert (result.posts, result.cost_usd, result.cursor) == ([], 0.0, "tweets/search/recent?since_id=")
    first = SOURCE.request(FEED, SEEN, result.cursor)
    assert "since_id" not in first.params
    second = SOURCE.request(FEED, SEEN, page(entry(), meta={"next_token": "n"}).cursor)
    assert (second.params["next_token"], "since_id" in second.params) == ("n", False)
    with pytest.raises(SourceChangedError):
        SOURCE.parse(FEED, response(refused, 400))


def test_page_when_it_says_what_is_left_has_the_limit() -> None:
    reset = str(int(RESET.timestamp()))
    answer = response({"meta": {"result_count": 0}}, x_rate_limit_remaining="449", x_rate_limit_reset=reset)
    assert SOURCE.parse(FEED, answer).rate == RateLimit(449, RESET)


# ---- Errors and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"title": "Unauthorized", "type": "about:blank", "status": 401}, CredentialsError),
        (403, problem("unsupported-authentication"), CredentialsError),
        (403, problem("client-forbidden"), FeedNotPermittedError),
        (404, b"<!DOCTYPE html><html>", FeedNotFoundError),
        (200, {"errors": [problem("resource-not-found")]}, FeedNotFoundError),
        (200, {"errors": [problem("not-authorized-for-resource")]}, FeedNotFoundError),
        (200, {"errors": [problem("disallowed-resource")]}, FeedNotPermittedError),
        (400, problem("invalid-request"), SourceChangedError),
        (503, {"title": "Service Unavailable"}, SourceUnavailableError),
        (200, {"errors": [{"code": 131}]}, SourceUnavailableError),
    ],
)
@pytest.mark.parametrize("url", [SEARCH_URL, LOOKUP_URL, TIMELINE_URL])
def test_response_when_refused_raises_its_error(status: int, body: Any, kind: type[ImagelakeError], url: str) -> None:
    with pytest.raises(kind) as caught:
        SOURCE.parse(FEED, response(body, status, url))
    assert type(caught.value) is kind
    assert str(caught.value).startswith("x:CatCafe: ")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"title": "Too Many Requests", "type": "about:blank", "status": 429}),
        (429, b"<html>"),
        (400, {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}),
        (200, {"errors": [{"code": 88, "message": "Rate limit exceeded"}]}),
    ],
)
def test_limit_when_reached_ends_at_the_windows_reset(status: int, body: Any) -> None:
    with pytest.raises(RateLimitedError) as caught:
        SOURCE.parse(FEED, response(body, status, x_rate_limit_reset=str(int(RESET.timestamp()))))
    assert caught.value.reset_at == RESET


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (402, problem("credits", title="CreditsDepleted")),
        (402, b""),
        (429, problem("usage-capped", title="UsageCapExceeded", period="Monthly")),
        (200, {"errors": [problem("usage-capped")]}),
    ],
)
def test_limit_when_it_is_of_money_or_of_the_month_does_not_end_by_waiting(status: int, body: Any) -> None:
    headers = {"x_rate_limit_remaining": "39999", "x_rate_limit_reset": str(int(RESET.timestamp()))}
    with pytest.raises(RateLimitedError, match="add credits") as caught:
        SOURCE.parse(FEED, response(body, status, **headers))
    assert caught.value.reset_at == NOT_BY_WAITING


V1 = [{"id": 1, "id_str": "1", "text": "x", "user": {"id": 2}, "extended_entities": {"media": []}}]


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html>",
        b'{"data": [{"id"',
        b"",
        b"null",
        b"{}",
        b'{"meta": {"result_count": 3}}',
        b'{"data": null, "meta": {}}',
        b'{"data": {}}',
        b'{"data": [], "meta": {"next_token": 7}}',
        json.dumps(V1).encode(),
        json.dumps({"statuses": V1}).encode(),
        b"[" * 100_000,
    ],
)
def test_page_when_not_as_documented_is_a_changed_source(body: bytes) -> None:
    with pytest.raises(SourceChangedError):
        SOURCE.parse(FEED, response(body))


def test_lookup_when_it_has_no_id_is_a_changed_source() -> None:
    with pytest.raises(SourceChangedError):
        SOURCE.parse(TIMELINE, response({"data": {"id": 7}}, url=LOOKUP_URL))


class TestPage(PageProperties):
    source, feed, url = SOURCE, FEED, SEARCH_URL + "&since_id=1"
    good = [entry("1"), entry("2", "3_1", "7_2"), entry("3", "9_9")]
    full = [
        entry("4", "3_1", "7_2", note_post={"text": "x"}, referenced_posts=[{"type": "quoted"}], withheld={}),
        entry("5"),
    ]
    others = [
        Asked(FEED, url, body)
        for url in (SEARCH_URL, SEARCH_URL + "&since_id=1", LOOKUP_URL, TIMELINE_URL)
        for body in (
            {"data": {"id": "783214"}},
            {"errors": [problem("usage-capped", code=88, parameters={"since_id": ["1"]})]},
        )
    ]
    required = ["id", "attachments", "attachments.media_keys", "withheld", "referenced_posts*"]
    image_fields = ["attachments.media_keys.*"]

    def body(self, entries: list[Any]) -> Any:
        includes = {"media": [medium(), medium("7_2", "video")], "users": [{"id": "783214", "name": "x"}]}
        return {"data": entries, "includes": includes, "meta": {"next_token": "n"}}


@pytest.mark.parametrize(
    ("config", "days"),
    [
        ({"hashtag": "cats", "form": "timeline"}, 7),
        ({"hashtag": "cats", "form": "search"}, 7),
        ({"hashtag": "cats"}, 7),
        ({"account": "NASA"}, 7),
        ({"account": "NASA", "form": "search"}, 7),
        ({"account": "NASA", "form": "timeline"}, None),
    ],
)
def test_look_back_is_that_of_the_listing_that_is_read(config: dict[str, str], days: int | None) -> None:
    """A search reaches 7 days back: https://docs.x.com/x-api/posts/search/introduction"""
    feed = parse_feed({"source": "x", **config})
    source = get_source("x")
    assert source.request(feed, None, None).url.endswith("/search/recent") is (days is not None)
    assert source.manifest.lookback_of(feed).time == (timedelta(days=days) if days else None)
