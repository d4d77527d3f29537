"""Bodies of feeds for tests, and the posts that the adapter reads from them."""

from __future__ import annotations

from typing import Any

from imagelake.run.posts import Post
from imagelake.sources import Feed, Page, get_source
from imagelake.web.messages import Response
from tests.support.json_mutations import rendered

SOURCE = get_source("rss")
URL = "https://site.example/blog/feed.xml"
FEED = Feed(source="rss", account=URL)
NAMESPACES = (
    'xmlns:media="http://search.yahoo.com/mrss/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom" '
    'xmlns:cc="http://backend.userland.com/creativeCommonsRssModule"'
)
WHEN = "<pubDate>Wed, 30 Sep 2026 11:00:00 +0200</pubDate>"
ENCLOSURE = '<enclosure url="/img/1.jpg" type="image/jpeg" length="9"/>'


def rss(*items: str, about: str = "") -> str:
    channel = f"<channel><title>T</title>{about}{''.join(items)}</channel>"
    return f'<?xml version="1.0"?><rss version="2.0" {NAMESPACES}>{channel}</rss>'


def item(inside: str = ENCLOSURE, guid: str = "1", when: str = WHEN) -> str:
    return f"<item><guid>{guid}</guid>{when}{inside}</item>"


def atom(inside: str, about: str = "", attributes: str = "") -> str:
    entry = f"<entry><id>1</id><updated>2026-09-30T09:00:00Z</updated>{inside}</entry>"
    return f'<feed xmlns="http://www.w3.org/2005/Atom" {attributes}>{about}{entry}</feed>'


def json_item(**more: Any) -> dict[str, Any]:
    return {"id": "1", "date_published": "2026-09-30T11:00:00+02:00", **more}


def json_feed(*items: Any, **more: Any) -> str:
    return rendered({"version": "https://jsonfeed.org/version/1.1", "title": "T", "items": list(items), **more})


def response(body: str | bytes, status: int = 200, url: str = URL, **headers: str) -> Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, names, body if isinstance(body, bytes) else body.encode(), url)


def page(body: str | bytes, **headers: Any) -> Page:
    return SOURCE.parse(FEED, response(body, **headers))


def only(body: str | bytes) -> Post:
    result = page(body)
    assert result.rejects == []
    (post,) = result.posts
    return post


def images(body: str) -> list[tuple[str, str | None]]:
    return [(media.kind, media.url) for media in only(body).media]
