from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given

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
from imagelake.sources import Feed, Page
from imagelake.sources.contract import MAX_PAGE_URL
from imagelake.sources.facebook import Facebook
from imagelake.sources.facebook_albums import Unread
from imagelake.web.messages import Response
from imagelake.web.urls import Url
from tests.support.json_mutations import FIXED, damaged, rendered
from tests.support.page_properties import PageProperties

SOURCE = Facebook()
FEED = Feed.of("facebook:CatCafe")
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
LAPSES = datetime(2026, 11, 24, 12, tzinfo=UTC)
URL = "https://graph.facebook.com/v26.0/CatCafe/published_posts?fields=id&limit=25"
CDN = "https://scontent-fra5-1.xx.fbcdn.net/v/t39.30808-6"


def signed(name: str) -> str:
    return f"{CDN}/{name}.jpg?_nc_cat=1&oh=00_AYB&oe={int(LAPSES.timestamp()):X}"


def photo(name: str, media_type: str = "photo", kind: str = "photo", **more: Any) -> dict[str, Any]:
    return {
        "media_type": media_type,
        "type": kind,
        "media": {"image": {"height": 720, "src": signed(name), "width": 960}},
        "target": {"id": name, "url": f"https://www.facebook.com/CatCafe/photos/{name}"},
        "url": f"https://www.facebook.com/CatCafe/photos/{name}",
        **more,
    }


def album(*parts: dict[str, Any]) -> dict[str, Any]:
    return photo("cover", "album", "album", subattachments={"data": list(parts)})


LINK = photo("card", "link", "share", description="A story elsewhere")
VIDEO = photo("clip", "video", "video_inline")


def entry(name: str = "100_1", *attached: Any, **more: Any) -> dict[str, Any]:
    """A post of the Page 100; ``more`` replaces keys."""
    return {
        "id": name,
        "message": "Two cats #cats",
        "created_time": "2026-11-19T09:47:29+0000",
        "permalink_url": f"https://www.facebook.com/{name}",
        "status_type": "added_photos",
        "is_published": True,
        "from": {"name": "Cat Café", "id": "100"},
        "full_picture": signed("full"),
        "attachments": {"data": list(attached or (photo("11"),))},
        **more,
    }


def response(body: Any, status: int = 200, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else rendered(body).encode()
    names = {"content-type": "application/json", "date": DATE}
    return Response(status, names | {name.replace("_", "-"): value for name, value in headers.items()}, raw, URL)


def page(*entries: Any, **more: Any) -> Page:
    return SOURCE.parse(FEED, response({"data": list(entries), **more}))


def only(given: Any) -> Post:
    result = page(given)
    assert result.rejects == []
    (post,) = result.posts
    return post


def shape(given: Any) -> list[tuple[str, str, str | None]]:
    return [(media_item.media_id, media_item.kind, media_item.url) for media_item in only(given).media]


def test_request_asks_for_published_posts_and_albums() -> None:
    request = SOURCE.request(FEED, None, None)
    assert request.url == "https://graph.facebook.com/v26.0/CatCafe/published_posts"
    assert request.params["limit"] == "25"
    assert "subattachments.limit(100)" in request.params["fields"]
    assert SOURCE.request(Feed.of("facebook:@100"), None, "after=a%3D&x=y").params["after"] == "a="
    assert SOURCE.request(Feed(source="facebook", account="100", limit=3), None, None).params["limit"] == "3"


@pytest.mark.parametrize("account", ["a/b", "..", "a?b", "a b", "-a", "{user_id}"])
def test_request_when_the_name_is_no_pages_is_refused(account: str) -> None:
    with pytest.raises(BadFeedError):
        SOURCE.request(Feed(source="facebook", account=account), None, None)


def test_request_when_it_is_a_hashtag_says_there_is_no_search() -> None:
    with pytest.raises(BadFeedError, match="no search for hashtags"):
        SOURCE.request(Feed.of("facebook:#cats"), None, None)


@pytest.mark.parametrize(
    ("secret", "token"),
    [({"access_token": "one"}, "one"), ({"access_token": "one", "CatCafe": "own"}, "own"), ({"CatCafe": "own"}, "own")],
)
def test_token_when_the_page_has_its_own_is_that(secret: dict[str, str], token: str) -> None:
    request = SOURCE.request(FEED, None, None)
    assert "access_token" not in request.params
    assert SOURCE.authorize(request, secret).params["access_token"] == token


def test_post_when_its_urls_expired_is_asked_for_by_its_second() -> None:
    listing, again = SOURCE.request(FEED, None, None), SOURCE.refresh_request(FEED, NOON)
    assert again.url == listing.url
    assert again.params == {**listing.params, "since": "1795175999", "until": "1795176001"}


def test_post_when_it_has_a_photo_is_read_whole() -> None:
    assert only(entry()) == Post(
        post_id="100_1",
        author_id="100",
        author_name="Cat Café",
        permalink="https://www.facebook.com/100_1",
        posted_at=datetime(2026, 11, 19, 9, 47, 29, tzinfo=UTC),
        text="Two cats #cats",
        tags=["cats"],
        media=[
            Media(
                media_id="facebook/11",
                index=0,
                kind="image",
                url=signed("11"),
                width=960,
                height=720,
                expires_at=LAPSES,
            )
        ],
    )


@pytest.mark.parametrize(
    ("attached", "expected"),
    [
        (
            [album(photo("1"), photo("2"), VIDEO)],
            [("facebook/1", "image"), ("facebook/2", "image"), ("facebook/clip", "video")],
        ),
        ([album()], [("facebook/cover", "image")]),
        ([photo("1", "photo", "cover_photo")], [("facebook/1", "image")]),
        ([{"type": "photo", "media": {"image": {"src": signed("1")}}}], [("facebook/100_1/0", "image")]),
        ([VIDEO], [("facebook/clip", "video")]),
        ([photo("1", "video", "animated_image_video")], [("facebook/1", "animation")]),
        ([photo("1", "link", "animated_image_share")], [("facebook/1", "animation")]),
        ([photo("1", "hologram", "hologram")], [("facebook/1", "unknown")]),
        ([LINK], []),
        ([photo("1", "album", "multi_share", subattachments={"data": [LINK, LINK]})], []),
        ([photo("1", "event", "event")], []),
    ],
)
def test_media_when_attached_are_only_what_the_page_posted(
    attached: list[Any], expected: list[tuple[str, str]]
) -> None:
    assert [(media_item.media_id, media_item.kind) for media_item in only(entry("100_1", *attached)).media] == expected


def test_video_and_card_when_they_have_a_image_are_no_image() -> None:
    assert shape(entry("100_1", VIDEO)) == [("facebook/clip", "video", None)]
    assert shape(entry("100_1", LINK, status_type="shared_story")) == []


def test_image_when_nothing_is_attached_is_the_full_one_of_a_photo_post_only() -> None:
    bare = entry()
    del bare["attachments"]
    assert shape(bare) == [("facebook/100_1/0", "image", signed("full"))]
    assert shape({**bare, "full_picture": None}) == []


@pytest.mark.parametrize("attachments", [None, {}, {"data": []}, {"data": [], "paging": {}}, [], ""])
@pytest.mark.parametrize(
    ("status_type", "reason"),
    [
        ("added_photos", None),
        ("mobile_status_update", "facebook gives an image, but not if it is the post's own or that of a link"),
        ("created_event", "facebook gives an image, but not if it is the post's own or that of a link"),
        (None, "facebook gives an image, but not if it is the post's own or that of a link"),
        ("shared_story", "shared from another post"),
    ],
)
def test_image_when_nothing_is_attached_is_collected_or_skipped_with_its_reason(
    attachments: Any, status_type: str | None, reason: str | None
) -> None:
    """``full_picture`` is that of the post or of a link: https://developers.facebook.com/docs/graph-api/reference/post"""
    (media,) = only(entry(attachments=attachments, status_type=status_type)).media
    assert (media.media_id, media.skip_reason) == ("facebook/100_1/0", reason)
    assert media.url == (signed("full") if reason is None else None)


def test_image_of_a_link_that_is_attached_is_not_one_of_the_post() -> None:
    assert shape(entry("100_1", LINK, status_type="mobile_status_update")) == []


def test_image_when_the_attachment_has_no_url_is_the_full_one() -> None:
    assert shape(entry("100_1", photo("1", media=None))) == [("facebook/1", "image", signed("full"))]
    (media_item, other) = only(entry("100_1", album(photo("1", media={}), photo("2")))).media
    assert (media_item.url, media_item.skip_reason) == (None, "facebook gives no URL for this media item")
    assert other.url == signed("2")


def long_album(*parts: Any, url: str = "https://graph.facebook.com/v26.0/55/subattachments") -> dict[str, Any]:
    """An album whose list goes on: https://developers.facebook.com/docs/graph-api/results"""
    link = f"{url}?access_token=EAAB&fields=media&limit=100&after=P1"
    cover = photo("cover", "album", "album")
    return cover | {"subattachments": {"data": list(parts), "paging": {"cursors": {"after": "P1"}, "next": link}}}


def rest(cursor: str | None, body: Any, status: int = 200) -> Page:
    """The page that the request at ``cursor`` brings."""
    request = SOURCE.request(FEED, None, cursor)
    url = str(Url.parse(request.url).with_params(request.params))
    return SOURCE.parse(FEED, Response(status, {}, rendered(body).encode(), url))


def test_album_when_its_list_has_pages_is_read_to_the_end() -> None:
    following = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/v26.0/100/posts?after=QVFI"}
    first = page(entry("100_1", long_album(photo("1"), photo("2"))), entry("100_2"), paging=following)
    assert first.is_unfinished
    request = SOURCE.request(FEED, None, first.cursor)
    assert request.url.partition("#")[0] == "https://graph.facebook.com/v26.0/55/subattachments"
    assert (request.params["after"], request.params["limit"]) == ("P1", "100")
    assert SOURCE.authorize(request, {"CatCafe": "own"}).params["access_token"] == "own"
    assert "EAAB" not in str(request)

    link = "https://graph.facebook.com/v26.0/55/subattachments?after=P2"
    second = rest(first.cursor, {"data": [photo("3"), LINK, VIDEO], "paging": {"next": link}})
    third = rest(second.cursor, {"data": [{"type": "photo", "media": {"image": {"src": signed("5")}}}]})
    (post,) = second.posts
    assert (post.post_id, post.author_id, post.posted_at) == tuple(
        getattr(first.posts[0], name) for name in ("post_id", "author_id", "posted_at")
    )
    items = [(item.media_id, item.index) for read in (first, second, third) for item in read.posts[0].media]
    assert items == [
        ("facebook/1", 0),
        ("facebook/2", 1),
        ("facebook/3", 2),
        ("facebook/clip", 3),
        ("facebook/100_1/4", 4),
    ]
    assert (third.cursor, third.is_unfinished, third.newest) == ("after=QVFI", False, None)


def test_album_when_a_page_of_its_list_is_empty_ends_and_says_so() -> None:
    first = page(entry("100_1", long_album(photo("1"))))
    link = "https://graph.facebook.com/v26.0/55/subattachments?after=P1"
    assert rest(first.cursor, {"data": []}).posts[0].media == []
    result = rest(first.cursor, {"data": [LINK], "paging": {"next": link}})
    assert [item.skip_reason for item in result.posts[0].media] == [
        "more images of this album are not read: a page of their list is empty"
    ]
    assert result.cursor is None


def test_album_when_the_last_page_of_posts_has_several_are_all_read() -> None:
    first = page(entry("100_1", long_album(photo("1"))), entry("100_2", long_album(photo("2"))))
    second = rest(first.cursor, {"data": [photo("3")]})
    third = rest(second.cursor, {"data": [photo("4")]})
    assert {second.posts[0].post_id, third.posts[0].post_id} == {"100_1", "100_2"}
    assert (second.is_unfinished, third.is_unfinished, third.cursor) == (True, False, None)


TOO_MUCH = {"error": {"message": "Please reduce the amount of data you're asking for, then retry your request"}}


def test_album_whose_part_is_too_large_is_read_in_halves() -> None:
    first = page(entry("100_1", long_album(photo("1"))), entry("100_2", long_album(photo("2"))))
    half = rest(first.cursor, TOO_MUCH, 500)
    assert (half.posts, half.is_unfinished, half.continues_posts) == ([], True, True)
    request = SOURCE.request(FEED, None, half.cursor)
    assert (request.params["after"], request.params["limit"]) == ("P1", "50")
    assert [item.media_id for item in rest(half.cursor, {"data": [photo("3")]}).posts[0].media] == ["facebook/3"]


def test_album_whose_parts_are_too_large_one_by_one_says_so() -> None:
    cursor = page(entry("100_1", long_album(photo("1")))).cursor
    for _ in range(6):
        cursor = rest(cursor, TOO_MUCH, 500).cursor
    result = rest(cursor, TOO_MUCH, 500)
    assert [item.skip_reason for item in result.posts[0].media] == [
        "more images of this album are not read: Facebook refuses to list them"
    ]
    assert (result.cursor, result.is_unfinished) == (None, False)


def test_smaller_page_size_is_kept_behind_an_album() -> None:
    small = rest(None, TOO_MUCH, 500)
    following = {"cursors": {"after": "QVFI"}, "next": "https://graph.facebook.com/v26.0/100/posts?after=QVFI"}
    first = rest(small.cursor, {"data": [entry("100_1", long_album(photo("1")))], "paging": following})
    second = rest(first.cursor, {"data": [photo("2")]})
    request = SOURCE.request(FEED, None, second.cursor)
    assert (request.params["after"], request.params["limit"]) == ("QVFI", "12")


@pytest.mark.parametrize(
    ("attached", "reason"),
    [
        (
            long_album(photo("1"), url="https://graph.facebook.com/v26.0/55/other"),
            "the link to its other images is not one that Facebook documents",
        ),
        (long_album(photo("1"), url="https://evil.example/x/55/subattachments"), "the link to its other images"),
        (
            album(photo("1")) | {"subattachments": {"data": [photo("1")], "paging": {"next": 7}}},
            "the link to its other images is not one",
        ),
        (long_album(*(photo(str(number)) for number in range(1_000))), "a post has at most 1,000 media items"),
    ],
)
def test_album_when_it_cannot_be_followed_says_so(attached: dict[str, Any], reason: str) -> None:
    result = page(entry("100_1", attached))
    assert (result.cursor, result.is_unfinished) == (None, False)
    said = result.posts[0].media[-1].skip_reason or ""
    assert said.startswith(f"more images of this album are not read: {reason}")


def test_albums_when_too_many_are_on_one_page_are_said() -> None:
    result = page(*(entry(f"100_{number}", long_album(photo(f"a{number}"))) for number in range(25)))
    said = [item.skip_reason for post in result.posts for item in post.media if item.skip_reason]
    followed = len(Unread.at(result.cursor).albums)
    assert followed >= 5
    assert {album.post_id for album in Unread.at(result.cursor).albums} == {f"100_{n}" for n in range(followed)}
    assert said == ["more images of this album are not read: too many long albums on one page"] * (25 - followed)
    request = SOURCE.request(FEED, None, result.cursor)
    assert len(str(Url.parse(request.url).with_params(request.params))) <= MAX_PAGE_URL


@pytest.mark.parametrize("after", ["QVFI" * 20, "%3D/+ &" * 20, "x" * 1_500])
def test_albums_when_their_positions_are_long_never_make_a_url_too_long(after: str) -> None:
    link = f"https://graph.facebook.com/v26.0/{'5' * 80}/subattachments?after={quote(after)}"
    long = photo("c", "album", "album") | {"subattachments": {"data": [photo("1")], "paging": {"next": link}}}
    names = [f"{'1' * 30}_{number}{'2' * 30}" for number in range(9)]
    result = page(
        *(entry(name, long) for name in names), paging={"next": f"https://graph.facebook.com/?after={'n' * 200}"}
    )
    request = SOURCE.request(FEED, None, result.cursor)
    assert len(str(Url.parse(request.url).with_params(request.params))) <= MAX_PAGE_URL
    said = [item for post in result.posts for item in post.media if item.skip_reason]
    assert len(said) + len(Unread.at(result.cursor).albums) == 9


@pytest.mark.parametrize(("code", "status"), [(803, 404), (10, 403), (100, 400)])
def test_album_when_refused_does_not_cost_the_other_posts(code: int, status: int) -> None:
    first = page(entry("100_1", long_album(photo("1"))), paging={"next": "https://graph.facebook.com/?after=N"})
    result = rest(first.cursor, {"error": {"code": code, "message": "no", "type": "OAuthException"}}, status)
    (item,) = result.posts[0].media
    assert item.skip_reason == "more images of this album are not read: Facebook refuses to list them"
    assert result.cursor == "after=N"


def test_album_when_the_token_or_the_limit_ends_is_an_error_of_the_feed() -> None:
    first = page(entry("100_1", long_album(photo("1"))))
    for code, kind in ((190, CredentialsError), (32, RateLimitedError), (2, SourceUnavailableError)):
        with pytest.raises(kind):
            rest(first.cursor, {"error": {"code": code, "message": "no", "type": "OAuthException"}}, 400)


@FIXED
@given(
    body=damaged(
        {"data": [photo("3"), VIDEO], "paging": {"next": "https://graph.facebook.com/v26.0/55/subattachments?after=P"}}
    )
)
def test_album_when_damaged_is_skipped_or_an_error_of_ours(body: Any) -> None:
    first = page(entry("100_1", long_album(photo("1"))), paging={"next": "https://graph.facebook.com/?after=N"})
    with suppress(ImagelakeError):
        result = rest(first.cursor, body)
        assert [post.post_id for post in result.posts] == ["100_1"]
        assert result.cursor
        SOURCE.request(FEED, None, result.cursor)


def test_attachments_when_their_list_goes_on_say_so() -> None:
    more = {"data": [photo("1")], "paging": {"next": "https://graph.facebook.com/v26.0/100_1/attachments?after=x"}}
    assert [item.skip_reason for item in only(entry(attachments=more)).media] == [
        None,
        "more images of this album are not read: the link to its other images is not one that Facebook documents",
    ]


def test_post_when_optional_fields_are_odd_is_kept() -> None:
    odd = {"message": 7, "permalink_url": {}, "from": {"id": 7}, "full_picture": [], "status_type": ""}
    (media,) = only(
        entry("100_1", photo("1", media={"image": {"src": signed("1"), "width": -3, "height": 9.0}}), **odd)
    ).media
    assert (media.url, media.width, media.height) == (signed("1"), None, 9)


@pytest.mark.parametrize("bad", [7, "x", None, {"subattachments": "x"}])
def test_attachment_when_misshapen_is_skipped_alone(bad: Any) -> None:
    first, skipped, last = only(entry(attachments={"data": [photo("1"), bad, photo("3")]})).media
    assert (first.url, last.url) == (signed("1"), signed("3"))
    assert (skipped.media_id, (skipped.skip_reason or "")[:13]) == ("facebook/100_1/1", "not readable:")


def test_photo_when_shared_from_another_post_is_skipped_with_its_reason() -> None:
    (media_item,) = only(entry("100_1", photo("5"), status_type="shared_story")).media
    assert (media_item.kind, media_item.url, media_item.skip_reason) == ("unknown", None, "shared from another post")


def test_author_when_not_stated_is_the_page_in_the_id() -> None:
    anonymous = entry()
    del anonymous["from"]
    assert only(anonymous).author_id == "100"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (entry(is_published=False), "not published"),
        (7, "entry: "),
        (entry(id=None), "id: "),
        (entry(created_time=None), "created_time: "),
        (entry(attachments=["x"]), "attachments: "),
        (entry(attachments={"data": "x"}), "attachments.data: "),
        (entry(status_type=7), "status_type: "),
    ],
)
def test_post_when_unpublished_or_misshapen_is_a_reject(given: Any, reason: str) -> None:
    result = page(entry("100_9"), given)
    assert [post.post_id for post in result.posts] == ["100_9"]
    (reject,) = result.rejects
    assert reject.reason.startswith(reason)


def test_page_when_empty_may_still_lead_on() -> None:
    link = "https://graph.facebook.com/v26.0/100/published_posts?access_token=EAAB&limit=25&after=QVFI"
    assert page(paging={"cursors": {"before": "a", "after": "QVFI"}, "next": link}) == Page([], [], "after=QVFI")
    assert page(paging={"cursors": {"before": "a", "after": "QVFI"}}).cursor is None
    assert (
        page(paging={"previous": link + "&__previous=1", "next": link.replace("after", "until")}).cursor == "until=QVFI"
    )


def test_bookmark_when_posts_are_ranked_is_the_newest() -> None:
    result = page(entry("100_1"), entry("100_2", created_time="2026-11-20T08:00:00+0000"), entry("100_3"))
    assert result.newest is not None
    assert result.newest.newest_id == "100_2"


@pytest.mark.parametrize(
    ("code", "more", "kind"),
    [
        (32, {}, RateLimitedError),
        (80001, {}, RateLimitedError),
        (190, {"error_subcode": 460}, CredentialsError),
        (10, {}, FeedNotPermittedError),
        (100, {"error_subcode": 33}, FeedNotFoundError),
        (100, {}, SourceChangedError),
        (803, {}, FeedNotFoundError),
        (2, {}, SourceUnavailableError),
    ],
)
def test_error_is_known_by_its_code(code: int, more: dict[str, int], kind: type[ImagelakeError]) -> None:
    body = {"error": {"message": "no", "type": "OAuthException", "code": code, **more}}
    for status in (200, 400):
        with pytest.raises(kind) as caught:
            SOURCE.parse(FEED, response(body, status))
        assert type(caught.value) is kind


def test_limit_when_reached_ends_when_the_page_has_calls_again() -> None:
    usage = '{"100":[{"type":"pages","call_count":101,"estimated_time_to_regain_access":42}]}'
    body = {"error": {"code": 80001, "type": "OAuthException"}}
    with pytest.raises(RateLimitedError) as caught:
        SOURCE.parse(FEED, response(body, 403, x_business_use_case_usage=usage))
    assert caught.value.reset_at == NOON + timedelta(minutes=42)


class TestPage(PageProperties):
    source, feed = SOURCE, FEED
    url = URL
    good = [entry("100_1"), entry("100_2", album(photo("21"), VIDEO)), entry("100_3", LINK)]
    full = [entry("100_9", album(photo("91"), VIDEO)), entry("100_8")]
    damage_raises = SourceChangedError
    required = ["id", "created_time", "is_published", "status_type", "attachments", "attachments.data"]
    image_fields = ["attachments.data.*"]

    def body(self, entries: list[Any]) -> Any:
        return {"data": entries, "paging": {"cursors": {"after": "QVFI"}, "next": "https://x.example/?until=1"}}
