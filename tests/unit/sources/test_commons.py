from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from imagelake.run.errors import (
    BadFeedError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.posts import Media, Post
from imagelake.sources import Bookmark, Feed, Page, get_source
from imagelake.web.messages import Request, Response
from tests.support.json_mutations import rendered
from tests.support.page_properties import Asked, PageProperties
from tests.support.wire.commons import CommonsServer

SOURCE = get_source("commons")
FEED = Feed.of("commons:Cats_in_Würzburg")
BOOKMARK = Bookmark(newest_id="7", newest_at=datetime(2026, 9, 1, 12, 30, tzinfo=UTC))

API = "https://commons.wikimedia.org/w/api.php"
UPLOAD = "https://upload.wikimedia.org/wikipedia/commons"
LOOKUP = f"{API}?action=query&titles=Category%3ACats&prop=categoryinfo"
LISTING = f"{API}?action=query&generator=categorymembers"


def extmetadata(**values: Any) -> dict[str, Any]:
    return {name: {"value": value, "source": "commons-desc-page"} for name, value in values.items()}


METADATA = extmetadata(
    LicenseShortName="CC BY-SA 4.0",
    UsageTerms="Creative Commons Attribution-Share Alike 4.0",
    Artist='<a href="//commons.wikimedia.org/wiki/User:Ann" title="User:Ann">Ann &amp; Bob</a>',
    Credit='<span class="int-own-work" lang="en">Own work</span>',
    ImageDescription='<style data-mw-deduplicate="x">.a{b:c}</style><p>A cat on a wall</p>',
    ObjectName="Cat",
    Categories="Cats in Würzburg|Self-published work",
    Restrictions="",
)


def info(name: str = "Cat.jpg", **more: Any) -> dict[str, Any]:
    return {
        "timestamp": "2026-08-30T10:00:00Z",
        "user": "Ann",
        "size": 4000000,
        "width": 4000,
        "height": 3000,
        "thumburl": f"{UPLOAD}/thumb/a/ab/{name}/1280px-{name}",
        "thumbwidth": 1280,
        "thumbheight": 960,
        "thumbmime": "image/jpeg",
        "url": f"{UPLOAD}/a/ab/{name}",
        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:{name}",
        "descriptionshorturl": "https://commons.wikimedia.org/w/index.php?curid=1",
        "sha1": "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "mime": "image/jpeg",
        "extmetadata": METADATA,
        **more,
    }


def file(pageid: int = 11, added: str = "2026-09-02T08:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "pageid": pageid,
        "ns": 6,
        "title": f"File:Cat {pageid}.jpg",
        "imagerepository": "local",
        "badfile": False,
        "imageinfo": [info()],
        "categories": [{"ns": 14, "title": "Category:Cats in Würzburg", "timestamp": added}],
        **more,
    }


def listing(*files: Any, batchcomplete: bool = True, onward: Any = None, **more: Any) -> dict[str, Any]:
    """A page of files; ``onward`` are the parameters of the next request."""
    complete = {"batchcomplete": True} if batchcomplete else {}
    following = {} if onward is None else {"continue": onward}
    return {**complete, **following, **more, "query": {"pages": list(files)}}


def response(body: Any, url: str = LISTING, status: int = 200, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else rendered(body).encode()
    names = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, raw, url)


def page(*files: Any, url: str = LISTING, **more: Any) -> Page:
    return SOURCE.parse(FEED, response(listing(*files, **more), url))


def only(raw: Any) -> Post:
    result = page(raw)
    assert result.rejects == []
    (post,) = result.posts
    return post


def media(**more: Any) -> Media:
    (media_item,) = only(file(imageinfo=[info(**more)])).media
    return media_item


def refusal(raw: Any) -> str:
    result = page(raw, file(99))
    assert [post.post_id for post in result.posts] == ["99"]
    (reject,) = result.rejects
    return reject.reason


def test_request_when_new_asks_for_the_category() -> None:
    request = SOURCE.request(FEED, BOOKMARK, None)
    assert request.url == API
    assert request.params == {
        "action": "query", "format": "json", "formatversion": "2", "maxlag": "5",
        "titles": "Category:Cats_in_Würzburg", "prop": "categoryinfo",
    }  # fmt: skip


@pytest.mark.parametrize("account", ["Category:Cats_in_Würzburg", "category:Cats_in_Würzburg", "Cats_in_Würzburg"])
def test_request_when_the_prefix_is_written_or_not_is_the_same(account: str) -> None:
    feed = Feed(source="commons", account=account)
    assert SOURCE.request(feed, None, None).params["titles"] == "Category:Cats_in_Würzburg"


def test_walk_when_there_is_no_bookmark_goes_back_from_the_newest() -> None:
    looked_up = SOURCE.parse(FEED, response(listing({"title": "Category:Cats", "ns": 14, "pageid": 1}), LOOKUP))
    assert (looked_up.posts, looked_up.newest) == ([], None)
    first = SOURCE.request(FEED, None, looked_up.cursor).params
    assert first["gcmtitle"] == first["clcategories"] == "Category:Cats_in_Würzburg"
    assert (first["gcmsort"], first["gcmdir"], first["gcmlimit"]) == ("timestamp", "older", "50")
    assert "gcmstart" not in first
    result = page(file(), onward={"gcmcontinue": "2026-09-01 00:00:00|9", "continue": "gcmcontinue||"})
    second = SOURCE.request(FEED, None, result.cursor).params
    assert second == {**first, "gcmcontinue": "2026-09-01 00:00:00|9", "continue": "gcmcontinue||"}
    assert page(file()).cursor is None


def test_walk_when_there_is_a_bookmark_reads_the_overlap_and_then_goes_forward_from_it() -> None:
    result = page(file(1, "2026-09-03T00:00:00Z"), file(2, "2026-09-04T00:00:00Z"), file(3, "2026-09-02T00:00:00Z"))
    assert result.newest == Bookmark(newest_id="2", newest_at=datetime(2026, 9, 4, tzinfo=UTC))
    feed = FEED.model_copy(update={"limit": 5})
    params = SOURCE.request(feed, BOOKMARK, "continue=").params
    assert (params["gcmdir"], params["gcmstart"], params["gcmlimit"]) == ("older", "2026-09-01T12:29:59Z", "4")
    overlap = page(file(5), url=f"{API}?{urlencode(params)}", onward={"gcmcontinue": "x|1", "continue": "-||"})
    assert (overlap.newest, overlap.positions) == (None, [])
    params = SOURCE.request(feed, BOOKMARK, overlap.cursor).params
    assert (params["gcmdir"], params["gcmstart"], params["gcmlimit"]) == ("newer", "2026-09-01T12:30:00Z", "5")
    assert "gcmcontinue" not in params
    onward = page(file(8), url=f"{API}?{urlencode(params)}", onward={"gcmcontinue": "x|9", "continue": "-||"})
    assert SOURCE.request(feed, BOOKMARK, onward.cursor).params == {**params, "gcmcontinue": "x|9", "continue": "-||"}
    assert page(file(8), url=f"{API}?{urlencode(params)}").cursor is None
    assert not SOURCE.newest_first


def test_overlap_of_commons_when_its_page_is_incomplete_is_read_to_its_end() -> None:
    params = SOURCE.request(FEED, BOOKMARK, "continue=").params
    onward = {"iicontinue": "a|2", "continue": "||categories"}
    first = page(file(5), url=f"{API}?{urlencode(params)}", batchcomplete=False, onward=onward)
    second = SOURCE.request(FEED, BOOKMARK, first.cursor).params
    assert second == {**params, **onward}
    assert page(file(6), url=f"{API}?{urlencode(second)}").cursor == "gcmdir=newer&continue="


def test_first_run_of_one_post_has_no_overlap() -> None:
    params = SOURCE.request(FEED.model_copy(update={"limit": 1}), BOOKMARK, "continue=").params
    assert (params["gcmdir"], params["gcmstart"], params["gcmlimit"]) == ("newer", "2026-09-01T12:30:00Z", "1")


def test_cursor_when_it_names_other_parameters_takes_none_of_them() -> None:
    result = page(file(), onward={"gcmcontinue": "x|1", "continue": "-||", "gcmtitle": "Category:Dogs"})
    assert SOURCE.request(FEED, None, result.cursor).params["gcmtitle"] == "Category:Cats_in_Würzburg"


@pytest.mark.parametrize("account", ["Category:", "a|b", "[[Cats]]", "Cats<br>", "a\nb"])
def test_request_when_the_category_cannot_be_one_is_refused(account: str) -> None:
    with pytest.raises(BadFeedError, match="not the name of a category"):
        SOURCE.request(Feed(source="commons", account=account), None, None)


def test_request_when_no_category_is_named_is_refused() -> None:
    with pytest.raises(BadFeedError, match="name a category"):
        SOURCE.request(Feed.of("commons:#cats"), None, None)


@pytest.mark.parametrize("result", [{"missing": True}, {"invalid": True, "invalidreason": "bad title"}])
def test_lookup_when_there_is_no_such_category_says_so(result: dict[str, Any]) -> None:
    with pytest.raises(FeedNotFoundError, match="no such category"):
        SOURCE.parse(FEED, response(listing({"ns": 14, "title": "Category:Cats", **result}), LOOKUP))


def test_lookup_when_only_its_page_is_missing_leads_on() -> None:
    result = {"ns": 14, "title": "Category:Cats", "missing": True, "categoryinfo": {"size": 3, "files": 3}}
    assert SOURCE.parse(FEED, response(listing(result), LOOKUP)).cursor == "continue="


@pytest.mark.parametrize("body", [{}, [], {"query": {}}, {"query": {"pages": []}}, {"query": {"pages": [{}]}}, "x"])
def test_lookup_when_it_tells_nothing_is_a_changed_source(body: Any) -> None:
    with pytest.raises(SourceChangedError, match=r"^commons:Cats_in_Würzburg: "):
        SOURCE.parse(FEED, response(body, LOOKUP))


def test_file_when_well_formed_is_read_whole() -> None:
    assert only(file()) == Post(
        post_id="11",
        author_id="Ann",
        author_name="Ann & Bob",
        permalink="https://commons.wikimedia.org/wiki/File:Cat.jpg",
        posted_at=datetime(2026, 8, 30, 10, tzinfo=UTC),
        text="A cat on a wall",
        tags=["Cats in Würzburg", "Self-published work"],
        license="CC BY-SA 4.0",
        media=[
            Media(
                media_id="commons/11/da39a3ee5e6b4b0d3255bfef95601890afd80709",
                index=0,
                kind="image",
                url=f"{UPLOAD}/thumb/a/ab/Cat.jpg/1280px-Cat.jpg",
                width=1280,
                height=960,
            )
        ],
    )


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        (extmetadata(Artist="Ann", Credit="Museum of Cats"), "Ann / Museum of Cats"),
        (extmetadata(Artist="Ann", Credit="Museum", Attribution="Photo: Ann, 2026"), "Photo: Ann, 2026"),
        (extmetadata(Credit="Museum"), "Museum"),
        (extmetadata(Artist=""), "Ann"),
        ([], "Ann"),
        ({}, "Ann"),
    ],
)  # fmt: skip
def test_attribution_when_stated_is_what_has_to_be_credited(metadata: Any, name: str) -> None:
    assert only(file(imageinfo=[info(extmetadata=metadata)])).author_name == name


@pytest.mark.parametrize(
    ("metadata", "license"),
    [
        (extmetadata(LicenseShortName="Public domain"), "Public domain"),
        (extmetadata(UsageTerms="Copyrighted free use"), "Copyrighted free use"),
        (extmetadata(LicenseShortName=""), None),
        ([], None),
    ],
)
def test_license_when_stated_is_the_short_name(metadata: Any, license: str | None) -> None:
    assert only(file(imageinfo=[info(extmetadata=metadata)])).license == license


def test_tags_when_there_are_restrictions_name_them() -> None:
    metadata = extmetadata(Categories="Cats", Restrictions="personality|trademarked")
    post = only(file(imageinfo=[info(extmetadata=metadata)]))
    assert post.tags == ["Cats", "restriction:personality", "restriction:trademarked"]


def test_text_when_there_is_no_description_is_the_name() -> None:
    assert only(file(imageinfo=[info(extmetadata=extmetadata(ObjectName="Cat"))])).text == "Cat"
    assert only(file(imageinfo=[info(extmetadata={})])).text == "Cat 11"


def test_file_when_on_the_list_of_bad_images_is_sensitive() -> None:
    assert only(file(badfile=True)).sensitive


@pytest.mark.parametrize(
    ("mime", "kind"),
    [
        ("image/tiff", "image"),
        ("image/svg+xml", "image"),
        ("video/webm", "video"),
        ("audio/ogg", "audio"),
        ("application/ogg", "unknown"),
        ("application/pdf", "unknown"),
        ("image/vnd.djvu", "unknown"),
        ("unknown/unknown", "unknown"),
    ],
)
def test_media_when_of_any_kind_are_kept(mime: str, kind: str) -> None:
    assert media(mime=mime).kind == kind


def test_media_when_there_is_no_rendition_are_the_file_itself() -> None:
    media_item = media(thumburl=None)
    assert (media_item.url, media_item.width, media_item.height) == (f"{UPLOAD}/a/ab/Cat.jpg", 4000, 3000)
    assert media(thumburl=None, mime="image/tiff").url is None


def test_media_id_when_the_file_is_replaced_is_another() -> None:
    assert media(sha1="0" * 40).media_id == "commons/11/" + "0" * 40


@pytest.mark.parametrize(
    ("raw", "start"),
    [
        (7, "entry"),
        (file() | {"pageid": "11"}, "pageid"),
        (file(imageinfo=[]), "imageinfo"),
        (file(imageinfo=None), "imageinfo"),
        (file(imageinfo=[info(timestamp="soon")]), "timestamp"),
        (file(imageinfo=[info(sha1=7)]), "sha1"),
        (file(imageinfo=[info(filehidden=True)]), "filehidden: withdrawn"),
        (file(imageinfo=[{"userhidden": True, "timestamp": "2026-08-30T10:00:00Z"}]), "userhidden: withdrawn"),
        ({"ns": 6, "title": "File:Gone.jpg", "missing": True}, "the file is no longer there"),
        ({key: value for key, value in file().items() if key != "imageinfo"}, "imageinfo"),
    ],
)
def test_file_when_misshapen_is_a_reject_with_a_reason(raw: Any, start: str) -> None:
    assert refusal(raw).startswith(start)


def test_file_when_optional_fields_are_odd_is_kept() -> None:
    post = only(file(title=None, imageinfo=[info(user={}, extmetadata=["x"], descriptionurl=7, thumbwidth="x")]))
    assert (post.author_id, post.author_name, post.permalink, post.text) == ("unknown", None, None, "")
    assert (post.media[0].kind, post.media[0].width, post.media[0].height) == ("image", None, 960)
    odd = {**METADATA, "Artist": {"value": {"en": "Ann"}}, "Credit": "x", "LicenseShortName": 7}
    post = only(file(imageinfo=[info(extmetadata=odd)]))
    assert (post.author_name, post.license) == ("Ann", "Creative Commons Attribution-Share Alike 4.0")
    assert [media(url=None).url, media(thumburl=7).url] == [info()["thumburl"], info()["url"]]


def test_listing_when_continued_within_a_page_takes_each_file_once() -> None:
    bare = {key: value for key, value in file(12).items() if key != "imageinfo"}
    going_on = {"iicontinue": "Cat_12.jpg|20260830100000", "gcmcontinue": "x|1", "continue": "gcmcontinue||categories"}
    first = page(file(11), bare, batchcomplete=False, onward=going_on)
    second = page(
        {key: value for key, value in file(11).items() if key != "imageinfo"},
        file(12),
        url=f"{LISTING}&{urlencode(going_on)}",
    )
    assert [post.post_id for post in first.posts] == ["11"]
    assert [post.post_id for post in second.posts] == ["12"]
    assert first.rejects == second.rejects == []
    assert SOURCE.request(FEED, None, first.cursor).params["iicontinue"] == "Cat_12.jpg|20260830100000"


def test_listing_when_empty_may_go_on() -> None:
    result = SOURCE.parse(FEED, response({"continue": {"gcmcontinue": "x|1", "continue": "gcmcontinue||"}}))
    assert (result.posts, result.rejects) == ([], [])
    assert result.cursor
    assert SOURCE.parse(FEED, response({"batchcomplete": True})) == Page([], [], None)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><title>Wikimedia Error</title>",
        b"",
        b"null",
        b'{"batchcomplete": true, "query": {"pages": [{"pageid"',
        {},
        {"query": []},
        {"query": {"pages": {"11": {}}}},
        {"batchcomplete": True, "query": {}},
        listing(onward="gcmcontinue"),
        listing(onward={}),
    ],
)
def test_listing_when_not_as_documented_is_a_changed_source(body: Any) -> None:
    with pytest.raises(SourceChangedError, match=r"^commons:Cats_in_Würzburg: "):
        SOURCE.parse(FEED, response(body))


def test_listing_when_called_text_is_read_all_the_same() -> None:
    assert len(SOURCE.parse(FEED, response(listing(file()), content_type="text/html; charset=utf-8")).posts) == 1


@pytest.mark.parametrize("url", [LOOKUP, LISTING])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("maxlag", RateLimitedError),
        ("ratelimited", RateLimitedError),
        ("readonly", SourceUnavailableError),
        ("internal_api_error_DBQueryError", SourceUnavailableError),
        ("readapidenied", FeedNotPermittedError),
        ("badcontinue", SourceChangedError),
        (None, SourceChangedError),
    ],
)
def test_error_when_it_comes_with_status_200_is_its_error(url: str, code: Any, kind: type[ImagelakeError]) -> None:
    body = {"error": {"code": code, "info": "as it is", "docref": "x"}}
    with pytest.raises(kind, match=r"^commons:Cats_in_Würzburg: ") as caught:
        SOURCE.parse(FEED, response(body, url))
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, RateLimitedError), (403, FeedNotPermittedError), (503, SourceUnavailableError), (400, SourceChangedError)],
)
def test_error_when_it_is_html_is_known_by_its_status(status: int, kind: type[ImagelakeError]) -> None:
    with pytest.raises(kind):
        SOURCE.parse(FEED, response(b"<html>Our servers are busy</html>", status=status))


def test_lag_when_too_long_ends_when_the_server_says() -> None:
    body = {"error": {"code": "maxlag", "info": "Waiting for 10.0.0.1: 7 seconds lagged", "lag": 7}}
    with pytest.raises(RateLimitedError) as caught:
        SOURCE.parse(FEED, response(body, retry_after="5", date="Thu, 01 Oct 2026 12:00:00 GMT"))
    assert caught.value.reset_at == datetime(2026, 10, 1, 12, 0, 5, tzinfo=UTC)


def test_text_when_it_holds_odd_unicode_is_safe_to_store() -> None:
    raw = file(
        imageinfo=[info(extmetadata=extmetadata(Artist="\x00\ud800👩‍🚀", ImageDescription="שלום <b>𝄞</b> &#x1F431;"))]
    )
    post = SOURCE.parse(FEED, response(json.dumps(listing(raw)).encode())).posts[0]
    assert (post.author_name, post.text) == ("\ufffd👩‍🚀", "שלום 𝄞 🐱")


class TestPage(PageProperties):
    source, feed, url = SOURCE, Feed.of("commons:Cats"), LISTING
    good = [file(2), file(3, "2026-09-01T08:00:00Z", imageinfo=[info(extmetadata=[])]), file(1, "2026-08-30T08:00:00Z")]
    full = [file(11, badfile=True)]
    others = [Asked(FEED, LOOKUP, listing(file()))]
    required = ["pageid", "imageinfo", "imageinfo.0", "imageinfo.0.timestamp", "imageinfo.0.sha1"]
    image_fields = ["imageinfo.0.mime"]

    def body(self, entries: list[Any]) -> Any:
        return listing(*entries, onward={"gcmcontinue": "x|1", "continue": "-||"})

    def answer(self, request: Request) -> Response:
        server = CommonsServer()
        server.files = self.good[::-1]
        return server.respond(request)
