"""Meta's Graph API: pages that are too large, and permissions that an error names."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from imagelake.run.errors import (
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.sources import Feed, Page, get_source
from imagelake.web.messages import Request, Response

FEEDS = ["facebook:NASA", "instagram:me", "instagram:17841400000000001", "instagram:@natgeo", "instagram:#cats"]
every_listing = pytest.mark.parametrize("name", FEEDS)
# https://developers.facebook.com/docs/graph-api/guides/error-handling and public bug reports
TOO_MUCH = {
    "error": {
        "code": 1,
        "message": "Please reduce the amount of data you're asking for, then retry your request",
        "type": "OAuthException",
    }
}


def answer(request: Request, body: Any, status: int = 200) -> Response:
    url = f"{request.url}?{urlencode(request.params)}"
    return Response(status, {"content-type": "application/json"}, json.dumps(body).encode(), url)


class Graph:
    """A listing of ``number`` posts whose pages may have at most ``most`` of them."""

    def __init__(self, number: int, most: int) -> None:
        self.number = number
        self.most = most
        self.sizes: list[int] = []

    def send(self, request: Request) -> Response:
        if request.url.endswith("/ig_hashtag_search"):
            return answer(request, {"data": [{"id": "17"}]})
        fields = request.params["fields"]
        inner = re.search(r"media\.limit\((\d+)\)(?:\.after\((\d+)\))?", fields)
        size = int(inner[1] if inner else request.params["limit"])
        begin = int((inner[2] if inner else request.params.get("after")) or 0)
        self.sizes.append(size)
        if size > self.most:
            return answer(request, TOO_MUCH, 500)
        end = min(begin + size, self.number)
        listing: dict[str, Any] = {"data": [self._post(place) for place in range(begin, end)]}
        if end < self.number:
            listing["paging"] = {"cursors": {"after": str(end)}, "next": f"https://graph.facebook.com/x?after={end}"}
        if inner:
            return answer(request, {"business_discovery": {"id": "5", "username": "natgeo", "media": listing}})
        return answer(request, listing)

    def _post(self, place: int) -> dict[str, Any]:
        time = {"created_time": "2026-11-19T09:47:29+0000", "timestamp": "2026-11-19T09:47:29+0000"}
        return {"id": f"{place}", "media_type": "IMAGE", "media_url": "https://scontent.cdninstagram.com/a"} | time


def walk(name: str, graph: Graph) -> list[str]:
    """Return the ids of the posts that a run reads."""
    feed, read, cursor = Feed.of(name), list[str](), None
    source = get_source(feed.source)
    for _ in range(60):
        page: Page = source.parse(feed, graph.send(source.request(feed, None, cursor)))
        read += [post.post_id for post in page.posts]
        cursor = page.cursor
        if cursor is None:
            break
    return read


@every_listing
@pytest.mark.parametrize("most", [1, 2, 7, 12, 49, 100])
def test_page_that_is_too_large_is_halved_and_the_next_ones_keep_its_size(name: str, most: int) -> None:
    graph = Graph(30, most)
    assert walk(name, graph) == [str(place) for place in range(30)]
    refused = [size for size in graph.sizes if size > most]
    assert refused == graph.sizes[: len(refused)], "no refused request is sent again"
    assert len(set(refused)) == len(refused)
    assert len(set(graph.sizes[len(refused) :])) == 1


@every_listing
def test_page_of_one_post_that_is_too_large_ends_the_feed_with_the_reason(name: str) -> None:
    graph = Graph(3, 0)
    with pytest.raises(SourceChangedError, match="asks to reduce the amount of data, but the page has only one post"):
        walk(name, graph)
    assert graph.sizes[-1] == 1
    assert len(set(graph.sizes)) == len(graph.sizes)


@every_listing
def test_page_that_becomes_too_large_goes_on_from_its_position(name: str) -> None:
    graph = Graph(120, 100)
    send = graph.send

    def changing(request: Request) -> Response:
        # The second page of the listing is heavier.
        graph.most = 100 if not graph.sizes else 5
        return send(request)

    graph.send = changing  # type: ignore[method-assign]
    assert walk(name, graph) == [str(place) for place in range(120)]


def test_post_that_talks_about_the_amount_of_data_is_a_post() -> None:
    feed = Feed.of("instagram:me")
    source = get_source("instagram")
    text = TOO_MUCH["error"]["message"]
    post = {"id": "1", "media_type": "IMAGE", "timestamp": "2026-11-19T09:47:29+0000", "caption": text}
    page = source.parse(feed, answer(source.request(feed, None, None), {"data": [post]}))
    assert [post.text for post in page.posts] == [text]


# Messages of https://developers.facebook.com/docs/permissions, /docs/features-reference and public bug reports.
DOCS = "Refer to https://developers.facebook.com/docs/apps/review/login-permissions#manage-pages for details."
OBJECT = (
    "(#100) Object does not exist, cannot be loaded due to missing permission or reviewable feature, or does not "
    "support this operation. This endpoint requires the "
)


@pytest.mark.parametrize(
    ("code", "message", "names"),
    [
        (
            100,
            f"{OBJECT}'pages_read_engagement' permission or the 'Page Public Content Access' feature. {DOCS}",
            "pages_read_engagement, Page Public Content Access",
        ),
        (
            100,
            f"{OBJECT}'pages_read_user_content' permission or the 'Page Public Metadata Access' feature or the 'Page "
            f"Public Content Access' feature. {DOCS}",
            "pages_read_user_content, Page Public Metadata Access, Page Public Content Access",
        ),
        (
            10,
            "(#10) To use 'Page Public Content Access', your use of this endpoint must be reviewed and approved by "
            f"Facebook. To submit this feature for review please read our documentation. {DOCS}",
            "Page Public Content Access",
        ),
        (10, "(#10) This endpoint requires the 'instagram_basic' permission", "instagram_basic"),
        (200, "(#200) Requires instagram_manage_comments permission to manage the object", "instagram_manage_comments"),
        (
            283,
            "(#283) Requires extended permission: pages_read_engagement and pages_show_list",
            "pages_read_engagement, pages_show_list",
        ),
    ],
)
def test_permission_that_an_error_names_is_in_the_message(code: int, message: str, names: str) -> None:
    feed = Feed.of("facebook:NASA")
    source = get_source("facebook")
    body = {"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A"}}
    with pytest.raises(FeedNotPermittedError) as caught:
        source.parse(feed, answer(source.request(feed, None, None), body, 400))
    assert str(caught.value).endswith(f"; Meta names what the token or the app needs: {names}")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 100, "message": "(#100) Tried accessing nonexisting field (alt_text)"}, SourceChangedError),
        ({"code": 100, "message": "(#100) The parameter user_id is required"}, SourceChangedError),
        (
            {
                "code": 100,
                "message": "Unsupported get request. Object with ID 'NASA' does not exist, cannot be loaded due to "
                "missing permissions, or does not support this operation",
            },
            FeedNotFoundError,
        ),
        (
            {"code": 100, "message": "cannot be loaded due to missing permissions", "error_subcode": 33},
            FeedNotFoundError,
        ),
        ({"code": 10, "message": "(#10) Application does not have permission for this action"}, FeedNotPermittedError),
        ({"code": 4, "message": "(#4) Application request limit reached"}, RateLimitedError),
        ({"code": 1, "message": "An unknown error occurred"}, SourceUnavailableError),
        ({"code": 100, "message": ["permission"]}, SourceChangedError),
    ],
)
def test_error_that_names_no_permission_is_known_by_its_code(error: dict[str, Any], kind: type[ImagelakeError]) -> None:
    feed = Feed.of("facebook:NASA")
    source = get_source("facebook")
    with pytest.raises(ImagelakeError) as caught:
        source.parse(feed, answer(source.request(feed, None, None), {"error": error}, 400))
    assert type(caught.value) is kind
    assert "Meta names" not in str(caught.value)


DATED = {"date": "Fri, 20 Nov 2026 12:00:00 GMT"}


@pytest.mark.parametrize("name", ["facebook", "instagram"])
@pytest.mark.parametrize(
    ("times", "newest_at"),
    [
        # A Page can give a post any date; the responses are of 2026-11-20, 12:00.
        (["2030-01-01T00:00:00+0000", "2026-11-19T08:00:00+0000"], "2026-11-20T12:00:00"),
        (["2026-11-20T12:00:01+0000"], "2026-11-20T12:00:00"),
        (["2026-11-20T14:00:00+0300", "2026-11-20T10:00:00+0000"], "2026-11-20T11:00:00"),
        (["2026-11-19T08:00:00+0000"], "2026-11-19T08:00:00"),
    ],
)
def test_bookmark_is_never_later_than_the_response(name: str, times: list[str], newest_at: str) -> None:
    """Otherwise the posts of the days until then would count as known."""
    feed = Feed(source=name, account="NASA" if name == "facebook" else "me")
    data = [
        {"id": f"100_{number}", "created_time": at, "timestamp": at, "media_type": "IMAGE", "media_url": "https://a/"}
        for number, at in enumerate(times)
    ]
    source = get_source(name)
    page = source.parse(feed, replace(answer(source.request(feed, None, None), {"data": data}), headers=DATED))
    assert len(page.posts) == len(times)
    assert page.newest is not None
    assert page.newest.newest_at == datetime.fromisoformat(newest_at).replace(tzinfo=UTC)
