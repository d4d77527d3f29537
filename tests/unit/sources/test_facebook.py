from __future__ import annotations

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
from imagelake.sources import Feed, Page
from imagelake.sources.facebook import Facebook
from imagelake.web.messages import Response
from tests.support.json_mutations import rendered
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
    assert shape(bare | {"status_type": "shared_story"}) == []
    assert shape(bare | {"status_type": "mobile_status_update"}) == []
    assert shape({**bare, "full_picture": None}) == []


def test_image_when_the_attachment_has_no_url_is_the_full_one() -> None:
    assert shape(entry("100_1", photo("1", media=None))) == [("facebook/1", "image", signed("full"))]
    (media_item, other) = only(entry("100_1", album(photo("1", media={}), photo("2")))).media
    assert (media_item.url, media_item.skip_reason) == (None, "facebook gives no URL for this media item")
    assert other.url == signed("2")


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
        (entry(message=7), "message: "),
        (entry(attachments=[]), "attachments: "),
        (entry("100_1", photo("1", media={"image": {"width": 3}})), "attachments.data.0.media.image.src: "),
        (entry("100_1", photo("1", media={"image": {"src": "https://x", "width": -3}})), "width: "),
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

    def body(self, entries: list[Any]) -> Any:
        return {"data": entries, "paging": {"cursors": {"after": "QVFI"}, "next": "https://x.example/?until=1"}}
