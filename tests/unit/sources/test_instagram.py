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
from imagelake.sources import Feed, Page, RateLimit
from imagelake.sources.instagram import Instagram
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import rendered
from tests.support.page_properties import Asked, PageProperties

SOURCE = Instagram()
ME = Feed.of("instagram:me")
OTHER = Feed.of("instagram:@alice.cats")
TAG = Feed.of("instagram:#cats")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
LAPSES = datetime(2026, 11, 24, 12, tzinfo=UTC)
CDN = "https://scontent-fra3-1.cdninstagram.com/v/t51.2885-15"
MY_URL = "https://graph.instagram.com/v26.0/me/media?fields=id&limit=50"
OTHERS_URL = "https://graph.facebook.com/v26.0/%7Buser_id%7D?fields=business_discovery"
LOOKUP_URL = "https://graph.facebook.com/v26.0/ig_hashtag_search?user_id=%7Buser_id%7D&q=cats"
TAG_URL = "https://graph.facebook.com/v26.0/17843853986012965/recent_media?user_id=%7Buser_id%7D"
SECRET = {"access_token": "IGQVJtoken", "facebook_token": "EAABtoken", "user_id": "17841400000000001"}


def signed(name: str) -> str:
    return f"{CDN}/{name}?_nc_ht=scontent&oh=00_AYBq&oe={int(LAPSES.timestamp()):X}&_nc_sid=8b3546"


def media(name: str = "1001", **more: Any) -> dict[str, Any]:
    """A media object as the network lists it; ``more`` replaces keys."""
    return {
        "id": name,
        "caption": "Cats on a wall #cats #Mauer",
        "media_type": "IMAGE",
        "media_product_type": "FEED",
        "media_url": signed(f"{name}.jpg"),
        "permalink": f"https://www.instagram.com/p/{name}/",
        "timestamp": "2026-11-19T09:47:29+0000",
        "username": "alice.cats",
        **more,
    }


def carousel(name: str, *parts: Any, **more: Any) -> dict[str, Any]:
    return media(name, media_type="CAROUSEL_ALBUM", children={"data": list(parts)}, **more)


def part(name: str, kind: str = "IMAGE", **more: Any) -> dict[str, Any]:
    ending = "mp4" if kind == "VIDEO" else "jpg"
    return {"id": name, "media_type": kind, "media_url": signed(f"{name}.{ending}"), **more}


def paging(after: str | None = "QVFIUmx1", leads_on: bool = True) -> dict[str, Any]:
    """Cursors, and the link to the next page with the token in it."""
    result: dict[str, Any] = {"cursors": {"before": "QVFIUjhA", **({"after": after} if after else {})}}
    if leads_on:
        result["next"] = f"https://graph.instagram.com/v26.0/1/media?access_token=IGQVJtoken&limit=25&after={after}"
    return result


def response(body: Any, status: int = 200, url: str = MY_URL, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else rendered(body).encode()
    names = {"content-type": "application/json", "date": DATE}
    return Response(status, names | {name.replace("_", "-"): value for name, value in headers.items()}, raw, url)


def page(*entries: Any, feed: Feed = ME, url: str = MY_URL, **more: Any) -> Page:
    return SOURCE.parse(feed, response({"data": list(entries), **more}, url=url))


def only(entry: Any) -> Post:
    result = page(entry)
    assert result.rejects == []
    (post,) = result.posts
    return post


def shape(post: Post) -> list[tuple[str, str, str | None]]:
    return [(media_item.media_id, media_item.kind, media_item.url) for media_item in post.media]


def error(code: int, **more: Any) -> dict[str, Any]:
    return {"error": {"message": f"(#{code}) no", "type": "OAuthException", "code": code, "fbtrace_id": "A1b2", **more}}


# ---- Requests --------------------------------------------------------------------------------------------------------


def test_request_when_it_is_ones_own_account_goes_to_instagram() -> None:
    request = SOURCE.request(ME, None, None)
    assert request.url == "https://graph.instagram.com/v26.0/me/media"
    assert request.params["limit"] == "50"
    assert "children{id,media_type,media_url,alt_text}" in request.params["fields"]
    later = SOURCE.request(ME, None, "after=QVFI%3D")
    assert later.params["after"] == "QVFI="


def test_request_when_the_account_is_a_number_goes_to_facebook() -> None:
    request = SOURCE.request(Feed.of("instagram:17841400000000001"), None, None)
    assert request.url == "https://graph.facebook.com/v26.0/17841400000000001/media"


def test_request_when_it_is_another_account_asks_in_ones_own_name() -> None:
    request = SOURCE.request(OTHER, None, "after=QVFI%3D")
    assert request.url == "https://graph.facebook.com/v26.0/{user_id}"
    assert request.params["fields"].startswith(
        "business_discovery.username(alice.cats){id,username,media_count,media.limit(50).after(QVFI=){id,"
    )
    assert SOURCE.authorize(request, SECRET).url == "https://graph.facebook.com/v26.0/17841400000000001"


def test_request_when_it_is_a_hashtag_looks_it_up_first() -> None:
    lookup = SOURCE.request(Feed.of("instagram:#Cats"), None, None)
    assert lookup.url == "https://graph.facebook.com/v26.0/ig_hashtag_search"
    assert lookup.params == {"user_id": "{user_id}", "q": "cats"}
    authorized = SOURCE.authorize(lookup, SECRET).params
    assert authorized == {"user_id": "17841400000000001", "q": "cats", "access_token": "EAABtoken"}
    result = SOURCE.parse(TAG, response({"data": [{"id": "17843853986012965"}]}, url=LOOKUP_URL))
    assert (result.posts, result.cursor) == ([], "17843853986012965/recent_media")
    listing = SOURCE.request(TAG, None, result.cursor)
    assert listing.url == "https://graph.facebook.com/v26.0/17843853986012965/recent_media"
    assert "username" not in listing.params["fields"]


@pytest.mark.parametrize("name", ["me", "17841400000000001"])
def test_post_when_its_urls_expired_is_asked_for_by_its_second(name: str) -> None:
    feed = Feed(source="instagram", account=name)
    listing, again = SOURCE.request(feed, None, None), SOURCE.refresh_request(feed, NOON)
    assert again is not None
    assert again.url == listing.url
    assert again.params == {**listing.params, "since": "1795175999", "until": "1795176001"}
    assert SOURCE.renewal(again, SECRET, NOON) == SOURCE.renewal(listing, SECRET, NOON)


@pytest.mark.parametrize("target", [{"account": "@natgeo"}, {"account": "natgeo"}, {"hashtag": "cats"}])
def test_post_when_it_is_anothers_cannot_be_asked_for_again(target: dict[str, str]) -> None:
    assert SOURCE.refresh_request(Feed(source="instagram", **target), NOON) is None


@pytest.mark.parametrize(
    "feed", ["instagram:@a b", "instagram:@a){x}", "instagram:@" + "a" * 31, "instagram:#😀", "instagram:#a,b"]
)
def test_request_when_the_name_is_none_of_instagrams_is_refused(feed: str) -> None:
    with pytest.raises(BadFeedError):
        SOURCE.request(Feed.of({"source": "instagram", **_target(feed)}), None, None)


def _target(text: str) -> dict[str, str]:
    name = text.partition(":")[2]
    return {"hashtag": name} if name.startswith("#") else {"account": name}


def test_request_when_the_cursor_could_end_the_field_list_is_refused() -> None:
    with pytest.raises(SourceChangedError):
        SOURCE.request(OTHER, None, "after=x%29%7Bid%7D")


def test_request_holds_no_secret_until_it_is_authorized() -> None:
    for feed in (ME, OTHER, TAG):
        request = SOURCE.request(feed, None, None)
        assert not any(value in repr(request) for value in SECRET.values())
        assert SOURCE.authorize(request, SECRET).params["access_token"]


# ---- The token -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "due"), [(59.9, False), (31, False), (29, True), (-1, True), (None, True)])
def test_token_when_it_expires_soon_or_nobody_knows_is_renewed(days: float | None, due: bool) -> None:
    ends = {} if days is None else {"access_token_expires_at": (NOON + timedelta(days=days)).isoformat()}
    request = SOURCE.renewal(SOURCE.request(ME, None, None), SECRET | ends, NOON)
    assert (request is not None) is due
    if request is not None:
        assert request == Request(
            "https://graph.instagram.com/refresh_access_token", {"grant_type": "ig_refresh_token"}
        )
        assert SOURCE.authorize(request, SECRET).params["access_token"] == "IGQVJtoken"


def test_token_when_the_feed_does_not_use_it_is_left_alone() -> None:
    assert SOURCE.renewal(SOURCE.request(OTHER, None, None), {}, NOON) is None


def test_token_when_renewed_comes_with_its_end() -> None:
    body = {"access_token": "IGQnew", "token_type": "bearer", "expires_in": 5183944}
    assert SOURCE.renewed(ME, response(body), NOON) == {
        "access_token": "IGQnew",
        "access_token_expires_at": "2027-01-19T11:59:04+00:00",
    }


@pytest.mark.parametrize("body", [{}, {"access_token": ""}, {"access_token": 7}, [], b"access_token=IGQnew"])
def test_token_when_the_renewal_brings_none_is_an_error_without_it(body: Any) -> None:
    with pytest.raises(SourceChangedError):
        SOURCE.renewed(ME, response(body), NOON)


# ---- Posts -----------------------------------------------------------------------------------------------------------


def test_post_when_it_is_an_image_is_read_whole() -> None:
    assert only(media(alt_text="Two cats", owner={"id": "17841400000000001"})) == Post(
        post_id="1001",
        author_id="17841400000000001",
        author_name="alice.cats",
        permalink="https://www.instagram.com/p/1001/",
        posted_at=datetime(2026, 11, 19, 9, 47, 29, tzinfo=UTC),
        text="Cats on a wall #cats #Mauer",
        tags=["cats", "Mauer"],
        media=[
            Media(
                media_id="instagram/1001",
                index=0,
                kind="image",
                url=signed("1001.jpg"),
                alt_text="Two cats",
                expires_at=LAPSES,
            )
        ],
    )


@pytest.mark.parametrize("timestamp", ["2026-11-19T09:47:29+0000", "2026-11-19T09:47:29+00:00", "2026-11-19T09:47:29Z"])
def test_time_when_spelled_either_way_is_the_same(timestamp: str) -> None:
    assert only(media(timestamp=timestamp)).posted_at == datetime(2026, 11, 19, 9, 47, 29, tzinfo=UTC)


def test_carousel_when_its_parts_are_whole_keeps_their_order_and_kinds() -> None:
    post = only(carousel("2001", part("21", alt_text="first"), part("22", "VIDEO"), part("23")))
    assert [
        (media_item.media_id, media_item.index, media_item.kind, media_item.alt_text) for media_item in post.media
    ] == [
        ("instagram/21", 0, "image", "first"),
        ("instagram/22", 1, "video", None),
        ("instagram/23", 2, "image", None),
    ]


def test_carousel_when_its_parts_are_bare_ids_has_the_first_image() -> None:
    post = only(carousel("2001", {"id": "21"}, {"id": "22"}))
    assert shape(post) == [("instagram/21", "image", signed("2001.jpg")), ("instagram/22", "unknown", None)]
    assert post.media[1].skip_reason == "instagram gives only the id of this carousel item"


def test_carousel_when_nothing_of_it_can_be_had_says_so() -> None:
    bare = carousel("2001", {"id": "21"}, {"id": "22"})
    del bare["media_url"]
    assert [(media_item.kind, bool(media_item.skip_reason)) for media_item in only(bare).media] == [
        ("unknown", True),
        ("unknown", True),
    ]
    without = media("2002", media_type="CAROUSEL_ALBUM")
    assert shape(only(without)) == [("instagram/2002", "image", signed("2002.jpg"))]


def test_carousel_of_videos_only_has_no_image() -> None:
    post = only(carousel("2001", part("21", "VIDEO"), part("22", "VIDEO"), thumbnail_url=signed("t.jpg")))
    assert {media_item.kind for media_item in post.media} == {"video"}


def test_media_when_it_holds_copyrighted_material_is_an_image_without_a_url() -> None:
    copyrighted = media()
    del copyrighted["media_url"]
    (media_item,) = only(copyrighted).media
    assert (media_item.kind, media_item.url) == ("image", None)
    assert "copyrighted" in str(media_item.skip_reason)


def test_video_when_it_has_a_thumbnail_is_still_no_image() -> None:
    reel = media(
        media_type="VIDEO", media_product_type="REELS", media_url=signed("r.mp4"), thumbnail_url=signed("r.jpg")
    )
    assert shape(only(reel)) == [("instagram/1001", "video", signed("r.mp4"))]
    assert [media_item.kind for media_item in only(media(media_type="HOLOGRAM")).media] == ["unknown"]


@pytest.mark.parametrize(
    ("url", "expires"),
    [
        (signed("a.jpg"), LAPSES),
        (f"{CDN}/a.jpg?oe=6A13C0D0", datetime(2026, 5, 25, 3, 24, tzinfo=UTC)),
        (f"{CDN}/a.jpg?oe=zzzzzzzz", None),
        (f"{CDN}/a.jpg?oe=", None),
        (f"{CDN}/a.jpg?foe=6A13C0D0", None),
        (f"{CDN}/a.jpg", None),
    ],
)
def test_url_when_signed_says_when_it_expires(url: str, expires: datetime | None) -> None:
    assert only(media(media_url=url)).media[0].expires_at == expires


def test_text_when_it_holds_odd_unicode_is_safe_to_store() -> None:
    body = json.dumps({"data": [media(caption="\x00\ud800 👩‍🚀 שלום #שלום")]}).encode()
    post = SOURCE.parse(ME, response(body)).posts[0]
    assert post.text == "\ufffd 👩‍🚀 שלום #שלום"
    assert post.tags == ["שלום"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (7, "entry"),
        ({}, "id"),
        (media(id=""), "id"),
        (media(timestamp=None), "timestamp"),
        (media(timestamp="yesterday"), "timestamp"),
        (media(children=["1"]), "children"),
        (media(children={"data": "x"}), "children.data"),
    ],
)
def test_post_when_misshapen_is_a_reject_that_names_the_field(given: Any, field: str) -> None:
    result = page(media("1000"), given)
    assert [post.post_id for post in result.posts] == ["1000"]
    (reject,) = result.rejects
    assert reject.reason.startswith(f"{field}: ")
    assert reject.raw == given


def test_post_when_optional_fields_are_odd_is_kept() -> None:
    post = only(media(caption=7, permalink=[], username={}, owner="x", children=[], alt_text=1.5))
    assert (post.text, post.author_name, len(post.media)) == ("", None, 1)
    assert shape(only(media(media_type=None))) == [("instagram/1001", "image", signed("1001.jpg"))]
    assert shape(only(media(media_type=7))) == [("instagram/1001", "image", signed("1001.jpg"))]
    assert [item.kind for item in only(carousel("2001", part("1"), part("2")) | {"media_type": None}).media] == [
        "image"
    ] * 2


def test_carousel_item_when_misshapen_is_skipped_alone() -> None:
    first, *odd, last = only(
        carousel("2001", part("1"), {"media_type": "IMAGE"}, 7, part("4", media_url={}), part("5"))
    ).media
    assert (first.media_id, last.media_id) == ("instagram/1", "instagram/5")
    assert [(item.url, item.skip_reason) for item in odd] == [
        (None, "not readable: id: it is missing"),
        (None, "not readable: entry: it has to be an object"),
        (None, "instagram gives no URL for this media item, as for copyrighted material"),
    ]


def test_carousel_when_its_list_goes_on_says_so() -> None:
    more = media("2001", media_type="CAROUSEL_ALBUM", children={"data": [part("1")], "paging": paging()})
    assert [item.skip_reason for item in only(more).media] == [
        None,
        "instagram has more items of this carousel, on a page that is not read",
    ]
    assert len(only(more | {"children": {"data": [part("1")], "paging": paging(leads_on=False)}}).media) == 1


# ---- Pages -----------------------------------------------------------------------------------------------------------


def test_page_when_it_leads_on_has_the_place_and_not_the_token() -> None:
    result = page(media(), paging=paging())
    assert result.cursor == "after=QVFIUmx1"
    assert result.newest is not None
    assert (result.newest.newest_id, result.newest.newest_at.day) == ("1001", 19)


@pytest.mark.parametrize("given", [{}, {"paging": {}}, {"paging": paging(leads_on=False)}])
def test_page_when_it_has_no_next_is_the_last(given: dict[str, Any]) -> None:
    assert page(media(), **given).cursor is None


def test_page_when_empty_may_still_lead_on() -> None:
    assert page(paging=paging()) == Page([], [], "after=QVFIUmx1")


@pytest.mark.parametrize(
    ("url", "cursor"),
    [
        ("https://graph.facebook.com/v1/x?access_token=t&until=17&__paging_token=ab", "until=17&__paging_token=ab"),
        ("https://graph.facebook.com/v1/x?offset=25&limit=25&access_token=t", "offset=25"),
    ],
)
def test_page_when_its_link_is_of_an_older_style_has_its_place(url: str, cursor: str) -> None:
    assert page(media(), paging={"next": url}).cursor == cursor


def test_discovery_when_it_leads_on_has_the_author_and_the_place() -> None:
    node = {"id": "17841401441775531", "username": "alice.cats", "media_count": 2}
    body = {"business_discovery": node | {"media": {"data": [media()], "paging": paging(leads_on=False)}}, "id": "1"}
    result = SOURCE.parse(OTHER, response(body, url=OTHERS_URL))
    assert [(post.author_id, post.author_name) for post in result.posts] == [("17841401441775531", "alice.cats")]
    assert result.cursor == "after=QVFIUmx1"


def test_discovery_when_the_account_has_no_posts_is_empty_and_otherwise_changed() -> None:
    body = {"business_discovery": {"id": "2", "username": "alice.cats", "media_count": 0}, "id": "1"}
    assert SOURCE.parse(OTHER, response(body, url=OTHERS_URL)).posts == []
    body["business_discovery"]["media_count"] = 7  # type: ignore[index]
    with pytest.raises(SourceChangedError):
        SOURCE.parse(OTHER, response(body, url=OTHERS_URL))


def test_hashtag_when_read_has_no_author_no_bookmark_and_one_cursor_for_all_pages() -> None:
    anonymous = media()
    del anonymous["username"]
    result = page(anonymous, feed=TAG, url=TAG_URL, paging={"cursors": {"after": "same"}})
    assert [(post.author_id, post.author_name) for post in result.posts] == [("unknown", None)]
    assert result.newest is None
    assert result.cursor == "17843853986012965/recent_media?after=same"
    assert page(feed=TAG, url=TAG_URL, paging={"cursors": {"after": "same"}}).cursor is None


def test_hashtag_when_unknown_is_not_found() -> None:
    with pytest.raises(FeedNotFoundError):
        SOURCE.parse(TAG, response({"data": []}, url=LOOKUP_URL))


# ---- Errors and limits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 403])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        *[(error(code, is_transient=True), RateLimitedError) for code in (4, 17, 32, 613, 80001, 80002)],
        *[(error(190, error_subcode=sub), CredentialsError) for sub in (458, 459, 460, 463, 464, 467)],
        *[(error(code), FeedNotPermittedError) for code in (10, 200, 203, 299, 368)],
        (error(100, error_subcode=33), FeedNotFoundError),
        (error(110, error_subcode=2207013), FeedNotFoundError),
        (error(9009), FeedNotFoundError),
        *[(error(code), SourceUnavailableError) for code in (1, 2)],
        (error(9999, is_transient=True), SourceUnavailableError),
        ({"error": {"type": "IGApiException", "code": 190}}, CredentialsError),
    ],
)
def test_error_is_known_by_its_code_whatever_the_status(status: int, body: Any, kind: type[ImagelakeError]) -> None:
    with pytest.raises(kind) as caught:
        SOURCE.parse(ME, response(body, status))
    assert type(caught.value) is kind
    assert str(caught.value).startswith("instagram:me: ")


def test_error_when_its_code_is_unknown_goes_by_the_status() -> None:
    for status, kind in ((200, SourceChangedError), (400, SourceChangedError), (403, FeedNotPermittedError)):
        with pytest.raises(kind):
            SOURCE.parse(ME, response(error(12345), status))


BUC = '{"17841400000000001":[{"type":"instagram","call_count":%d,"total_cputime":20,"total_time":20,%s}]}'


@pytest.mark.parametrize(
    ("headers", "ends"),
    [
        ({"x_business_use_case_usage": BUC % (100, '"estimated_time_to_regain_access":19')}, timedelta(minutes=19)),
        ({"x_app_usage": '{"call_count":100,"total_time":25,"total_cputime":25}'}, timedelta(hours=1)),
        ({"x_app_usage": "not json"}, None),
        ({"x_app_usage": "[" * 100_000}, None),
        ({"x_business_use_case_usage": '{"1":[7,{"call_count":"x"}]}'}, timedelta(hours=1)),
        ({}, None),
    ],
)
def test_limit_when_reached_ends_when_the_headers_say(headers: dict[str, str], ends: timedelta | None) -> None:
    with pytest.raises(RateLimitedError) as caught:
        SOURCE.parse(ME, response(error(4), 400, **headers))
    assert caught.value.reset_at == (NOON + ends if ends else None)


@pytest.mark.parametrize(
    ("used", "rate"),
    [(28, RateLimit(67, None)), (94, RateLimit(1, None)), (97, RateLimit(0, NOON + timedelta(hours=1)))],
)
def test_limit_when_it_is_near_leaves_no_calls_before_it_is_reached(used: int, rate: RateLimit) -> None:
    usage = f'{{"call_count":{used},"total_time":2,"total_cputime":5}}'
    assert SOURCE.parse(ME, response({"data": []}, x_app_usage=usage)).rate == rate


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><title>Log in</title>",
        b'{"data": [{"id"',
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"id": "17841400000000001"}',
        b'{"data": null}',
        b'{"data": {}}',
        b'{"data": [], "paging": []}',
        b'{"data": [], "paging": {"next": 7}}',
        b'{"data": [], "paging": {"next": "https://x.example/"}}',
        b"[" * 100_000,
    ],
)
def test_page_when_not_as_documented_is_a_changed_source(body: bytes) -> None:
    with pytest.raises(SourceChangedError):
        SOURCE.parse(ME, response(body))


class TestPage(PageProperties):
    source, feed, url = SOURCE, ME, MY_URL
    good = [media("1"), carousel("2", part("21"), {"id": "22"}), media("3", media_type="VIDEO")]
    full = [
        carousel("9", part("91", alt_text="x"), part("92", "VIDEO"), owner={"id": "1"}, alt_text="y"),
        media("8"),
    ]
    others = [
        Asked(
            OTHER,
            OTHERS_URL,
            {"business_discovery": {"id": "2", "media_count": 1, "media": {"data": good[:1], "paging": paging()}}},
        ),
        Asked(TAG, LOOKUP_URL, {"data": [{"id": "17843853986012965"}]}),
        Asked(TAG, TAG_URL, {"data": good[:1], "paging": paging()}),
        Asked(ME, MY_URL, error(4, error_subcode=33, is_transient=True)),
    ]
    required = ["id", "timestamp", "children", "children.data"]
    image_fields = ["media_type", "media_url", "children.data.*"]

    def body(self, entries: list[Any]) -> Any:
        return {"data": entries, "paging": paging()}
