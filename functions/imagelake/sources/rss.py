"""RSS, Atom and JSON Feed: the entries of any site's feed and the pictures attached to them.

A feed is asked for only if it has changed: the bookmark's id holds what the server said of its version, and the answer
304 is an empty page. Of a feed that is cut into pages (RFC 5005, JSON Feed's ``next_url``) a cursor is the address of
the next one, on the same origin.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from imagelake.run.errors import BadFeedError, SourceChangedError
from imagelake.run.posts import Post
from imagelake.sources import json_feed
from imagelake.sources.answers import Dialect, answered_at, check, described, header, read_json
from imagelake.sources.contract import Bookmark, Feed, Page, Reject
from imagelake.sources.manifest import Manifest
from imagelake.web.messages import Request, Response

_ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
# What the server says of a version, and how it is asked whether that is still the one.
_VALIDATORS = {"etag": "if-none-match", "last-modified": "if-modified-since"}
_MAX_VALIDATOR = 512

_DIALECT = Dialect(rate=lambda _: None)


class Rss:
    """The adapter; ``feed.account`` is the feed's address."""

    name = "rss"
    newest_first = True
    # A feed may keep its pictures anywhere.
    media_hosts: frozenset[str] | None = None
    manifest = Manifest(
        title="RSS, Atom and JSON Feed",
        feeds=("rss:https://example.org/feed.xml",),
        lookback="what the feed lists, and its older pages where it links to them",
        page_size=None,
        credentials=(),
        credentials_required=False,
        post_usd=None,
        deletion="the entry leaves the feed, as old ones do: the two cannot be told apart",
        terms="per site; `license` has what the feed states",
        notes=(
            "asked for only if it has changed, where the site tells versions apart (ETag, Last-Modified)",
            "pictures are what an entry attaches: `media:content`, `enclosure`, an Atom enclosure link, JSON Feed's "
            "`image` and `attachments`; a `media:thumbnail` where nothing else is attached; none inside the text",
            "an entry without a date has the feed's date; without either it is a reject",
            "a feed that has moved fails and names its new address",
            "the address is stored with every row: use none that is itself a secret",
        ),
    )

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """The feed, if it is another than the one at the bookmark, or the page at ``cursor``."""
        address, headers = _address(feed), {"accept": _ACCEPT}
        if cursor is not None:
            return Request(cursor, headers=headers)
        return Request(address, headers=headers | _conditions(bookmark))

    def parse(self, feed: Feed, response: Response) -> Page:
        """The feed's entries in its own order; an entry with an id that another has is a reject."""
        if response.status == 304:
            return Page([], [], None)
        _refuse_moved(feed, response)
        check(feed, response, _DIALECT)
        found, following = _read(feed, response)
        cursor = _same_site(response.url, following) if following else None
        posts: dict[str, Post] = {}
        rejects: list[Reject] = []
        for one in found:
            if isinstance(one, Reject):
                rejects.append(one)
            elif one.post_id in posts:
                rejects.append(Reject(one.post_id, "another entry has the same id", one.model_dump(mode="json")))
            else:
                posts[one.post_id] = one
        return Page(list(posts.values()), rejects, cursor, newest=_newest(feed, response, list(posts.values())))


def _address(feed: Feed) -> str:
    if feed.account is None or feed.server is not None:
        raise BadFeedError(f"{feed.name}: name the feed's address, as rss:https://example.org/feed.xml")
    try:
        parts = urlsplit(feed.account)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable:
        # Not the address itself: it may hold a password.
        raise BadFeedError("an rss feed's address begins with https:// or http:// and holds no user name or password")
    return feed.account


def _conditions(bookmark: Bookmark | None) -> dict[str, str]:
    try:
        told = json.loads(bookmark.newest_id) if bookmark else {}
    except ValueError:
        told = {}
    match told:
        case dict():
            return {_VALIDATORS[name]: str(told[name]) for name in _VALIDATORS if name in told}
    return {}


def _refuse_moved(feed: Feed, response: Response) -> None:
    if not 300 <= response.status < 400:
        return
    try:
        to = urlsplit(urljoin(response.url, header(response, "location") or ""))
        where = f"{to.scheme}://{to.hostname}{to.path}"[:200]
    except ValueError:
        where = "an address that makes no sense"
    raise BadFeedError(f"{feed.name}: the feed has moved (HTTP {response.status}); the site now names {where!r}")


def _read(feed: Feed, response: Response) -> tuple[list[Post | Reject], str | None]:
    """Read the entries and the URL of older ones. The bytes decide the format: servers name any type."""
    if response.body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        body = read_json(feed, response)
        if not json_feed.is_json_feed(body):
            raise SourceChangedError(f"{feed.name}: JSON, but no JSON Feed: {described(response)}")
        return list(json_feed.posts(feed, body, response.url)), json_feed.next_page(body)
    # Only this reading needs feedparser, which takes long to import.
    from imagelake.sources import feed_document, xml_feed

    try:
        document = feed_document.read_document(response.body, response.url)
    except ValueError as error:
        raise SourceChangedError(f"{feed.name}: {error}; got {described(response)}") from None
    if document is None:
        raise SourceChangedError(f"{feed.name}: neither RSS, Atom nor JSON Feed: {described(response)}")
    return list(xml_feed.posts(feed, document)), xml_feed.next_page(document)


def _same_site(url: str, address: str) -> str | None:
    """``address`` in full, or ``None`` if it is that of another site or of the page itself."""
    try:
        following = urljoin(url, address)
        stays = _origin(urlsplit(following)) == _origin(urlsplit(url))
    except ValueError:
        return None
    return following if stays and following != url else None


def _origin(parts: SplitResult) -> tuple[Any, ...]:
    return parts.scheme, parts.hostname, parts.port


def _newest(feed: Feed, response: Response, posts: list[Post]) -> Bookmark | None:
    """The newest post's time, never later than the server's clock; with the version, if this is the first page."""
    if not posts:
        return None
    newest_at, clock = max(post.posted_at for post in posts), answered_at(response)
    told = {name: (header(response, name) or "").strip() for name in _VALIDATORS}
    kept = {
        name: text
        for name, text in told.items()
        if 0 < len(text) <= _MAX_VALIDATOR and text.isascii() and text.isprintable()
    }
    first = _same(response.url, feed.account or "")
    return Bookmark(
        newest_id=json.dumps(kept if first else {}), newest_at=min(newest_at, clock) if clock else newest_at
    )


def _same(one: str, other: str) -> bool:
    """Whether two spellings are of one address. A wrong no costs a download."""
    try:
        first, second = urlsplit(one), urlsplit(other)
        return (_origin(first), first.path or "/", first.query) == (_origin(second), second.path or "/", second.query)
    except ValueError:
        return False
