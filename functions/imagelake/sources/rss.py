"""RSS, Atom and JSON Feed: the entries of any site's feed and the images attached to them.

The id in the bookmark contains the version that the server stated, so a feed that has not changed is not sent again:
the response 304 is an empty page. A feed can have several pages (RFC 5005, JSON Feed's ``next_url``); a cursor is the
URL of the next one, on the same host.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from imagelake.run.errors import BadFeedError, SourceChangedError
from imagelake.run.posts import Post
from imagelake.sources import json_feed
from imagelake.sources.contract import MAX_PAGE_URL, Bookmark, Feed, IsRemoved, Page, Reject, Source
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.responses import Dialect, check, content_type, described, header, read_json, responded_at
from imagelake.sources.wire import without_entries
from imagelake.web.errors import UrlRefusedError
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url

_ACCEPT = "application/atom+xml, application/rss+xml, application/feed+json, application/xml;q=0.9, */*;q=0.5"
# Headers with the version of a feed, and the headers of a request for a newer one.
_VALIDATORS = {"etag": "if-none-match", "last-modified": "if-modified-since"}
_MAX_VALIDATOR = 512
_ODD_DATES = "some dates cannot be read; such an entry has its other date, or the date of the feed, or is rejected"

_DIALECT = Dialect(rate=lambda _: None)


class Rss:
    """The adapter; ``feed.account`` is the URL of the feed."""

    name = "rss"
    newest_first = True
    # The first page is read whole in any case.
    overlap = 20
    # The images of a feed can be on any host.
    media_hosts: frozenset[str] | None = None
    manifest = Manifest(
        title="RSS, Atom and JSON Feed",
        feeds=("rss:https://example.org/feed.xml",),
        # A URL may contain # and @: https://server.example/@alice.rss
        short_form=re.compile(r"(?P<account>https?://\S+)"),
        lookback=(Lookback("the entries of the feed, and its older pages if it links to them", posts=1),),
        page_size=None,
        credentials=(),
        credentials_required=False,
        post_usd=None,
        deletion="the entry is no longer in the feed; old entries disappear in the same way",
        terms="those of the site; `license` is what the feed states",
        notes=(
            "A feed that has not changed is not sent again, if its site states versions (ETag, Last-Modified).",
            "RSS 0.90 to 2.0, Atom 0.3 and 1.0, JSON Feed 1 and 1.1 are read. RSS and Atom need not be well-formed "
            "XML. A feed is refused if its DOCTYPE declares entities or attributes, or if it is above one of the "
            "[limits](limits.md); any other DOCTYPE is ignored.",
            "Images are the files that an entry attaches: `media:content`, `enclosure`, an enclosure link of Atom, "
            "`image` and `attachments` of JSON Feed. A `media:thumbnail` counts if nothing else is attached. Images "
            "inside the text do not count.",
            "A file counts as an image if neither its type nor its URL say what it is; then its bytes decide.",
            "Several sizes of one image are one image, the largest. They are in one `media:group`, which can name "
            "another one as the default, or their URLs differ only in a size, such as `-300x200` or `?width=300`, or "
            "they are attachments of JSON Feed with one title.",
            "The charset is that of the byte order mark, else of the header Content-Type, else of the XML declaration. "
            "Its name means what it means in browsers; an unknown name is ignored.",
            "An entry without a date, or with a date that cannot be read completely, has the date of the feed; if "
            "there is none, it is rejected. A warning says that a date cannot be read.",
            "Dates are read in ISO 8601, in RFC 822 and in what programs write instead: names of months, AM and PM, "
            "`GMT+0100`, `Europe/Berlin`. A date without a time zone is in UTC, and so is one with an unknown "
            "abbreviation; `IST`, which has three meanings, cannot be read. A day with a zone, such as "
            "`2026-09-30+02:00`, begins at midnight there.",
            "Older pages are read if they are on the same host. If their link has http or the port of the other "
            "scheme, the scheme and the port of the feed are used. A reject says which other page is not read.",
            "A feed that has moved fails, and the error states its new URL.",
            "The feed, the entry and the URL identify an image, but not the parameters of a signature in its URL, "
            "such as `X-Amz-*`, `Signature`, `Expires`, `Key-Pair-Id`, `Policy`, `sig`, `token`, `hdnts`, `oh` and "
            "`oe`. If the images of an entry differ only by these, their order identifies them. Other parameters "
            "count, such as `?id=2`. A signature in the path is not recognized.",
            "The URL is stored with every row, so do not use one that is itself a secret.",
        ),
    )

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the page at ``cursor``, or for the feed if it is newer than the bookmark."""
        url, headers = _url(feed), {"accept": _ACCEPT}
        if cursor is not None:
            return Request(cursor, headers=headers)
        return Request(url, headers=headers | _conditions(bookmark))

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse the entries in the order of the feed; an entry with the id of an earlier one is a reject."""
        if response.status == 304:
            return Page([], [], None)
        _refuse_moved(feed, response)
        check(feed, response, _DIALECT)
        read, rejects, has_odd_dates, following = _read(feed, response)
        cursor = None
        try:
            cursor = _next_page(response.url, following) if following else None
        except ValueError as error:
            rejects.append(Reject(None, f"older entries are not read: {error}"))
        posts: dict[str, Post] = {}
        for post in read:
            if post.post_id in posts:
                rejects.append(Reject(post.post_id, "another entry has the same id", post.model_dump(mode="json")))
            else:
                posts[post.post_id] = post
        return Page(
            list(posts.values()),
            rejects,
            cursor,
            newest=_newest(feed, response, list(posts.values())),
            warnings=(f"{feed.name}: {_ODD_DATES}",) if has_odd_dates else (),
        )

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove entries from the text of the feed."""
        if _is_json(response):
            return without_entries(self, feed, response, is_removed, lambda body: body["items"])
        from imagelake.sources import xml_removal

        return xml_removal.remove_entries(self, feed, response, is_removed)


ADAPTER: Source = Rss()


def _url(feed: Feed) -> str:
    if feed.account is None or feed.server is not None:
        raise BadFeedError(f"{feed.name}: write the feed's URL, as rss:https://example.org/feed.xml")
    try:
        parts = urlsplit(feed.account)
        usable = parts.scheme in ("http", "https") and parts.hostname and "@" not in parts.netloc
    except ValueError:
        usable = False
    # No error repeats the URL, which can contain a password.
    if not usable:
        raise BadFeedError("an rss feed's URL begins with https:// or http:// and has no user name or password")
    try:
        Url.parse(feed.account)
    except UrlRefusedError:
        raise BadFeedError(
            "an rss feed's URL (the field account) has a host name, a port or a character that no URL can have"
        ) from None
    return feed.account


def _conditions(bookmark: Bookmark | None) -> dict[str, str]:
    try:
        version = json.loads(bookmark.newest_id) if bookmark else {}
    except ValueError:
        version = {}
    match version:
        case dict():
            return {_VALIDATORS[name]: str(version[name]) for name in _VALIDATORS if name in version}
    return {}


def _refuse_moved(feed: Feed, response: Response) -> None:
    if not 300 <= response.status < 400:
        return
    try:
        target = urlsplit(urljoin(response.url, header(response, "location") or ""))
        port = f":{target.port}" if target.port else ""
        new_url = f"{target.scheme}://{target.hostname}{port}{target.path}"[:200]
    except ValueError:
        new_url = "an invalid URL"
    # The new URL can name a person, and Lambda logs the message but not the note.
    error = BadFeedError(f"{feed.name}: the feed has moved (HTTP {response.status}); imagelake feeds check shows where")
    error.add_note(f"the new URL is {new_url!r}")
    raise error


def _read(feed: Feed, response: Response) -> tuple[list[Post], list[Reject], bool, str | None]:
    """Read posts, rejects, if a date was not readable, and the URL of older entries.

    The bytes decide the format: servers name any type.
    """
    if _is_json(response):
        body = read_json(feed, response)
        if not json_feed.is_json_feed(body):
            raise SourceChangedError(f"{feed.name}: JSON, but not a JSON Feed: {described(response)}")
        return *json_feed.read_items(feed, body, response.url), json_feed.next_page(body)
    # Only this reading needs feedparser, which takes long to import.
    from imagelake.sources import feed_document, xml_feed

    try:
        document = feed_document.read_document(response.body, response.url, content_type(response))
    except ValueError as error:
        raise SourceChangedError(f"{feed.name}: {error}; got {described(response)}") from None
    if document is None:
        raise SourceChangedError(f"{feed.name}: neither RSS, Atom nor JSON Feed: {described(response)}")
    return *xml_feed.read_items(feed, document), xml_feed.next_page(document)


def _is_json(response: Response) -> bool:
    return response.body.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _next_page(url: str, reference: str) -> str | None:
    """Resolve the URL of the next page; return ``None`` if it is the page itself.

    Raises ``ValueError`` with the reason why the page is not read.
    """
    try:
        following = urljoin(url, reference)
        page, target = Url.parse(url), Url.parse(following)
    except (ValueError, UrlRefusedError):
        raise ValueError("the URL of the next page is not valid") from None
    if target.origin != page.origin:
        if not _is_same_site(page, target):
            raise ValueError(f"the next page is on another site, {target.origin[:200]}")
        following = str(target if (target.scheme, target.port) == ("https", 443) else _at(page, target))
    if len(str(Url.parse(following))) > MAX_PAGE_URL:
        raise ValueError(f"the URL of the next page is longer than {MAX_PAGE_URL:,} characters")
    return None if _same(following, url) else following


def _is_same_site(page: Url, target: Url) -> bool:
    """Tell if two URLs differ only by scheme or default port: behind a proxy, a site does not know its own ones."""
    return target.host == page.host and (target.port == page.port or {target.port, page.port} == {80, 443})


def _at(page: Url, target: Url) -> Url:
    return replace(target, scheme=page.scheme, port=page.port)


def _newest(feed: Feed, response: Response, posts: list[Post]) -> Bookmark | None:
    """Return the time of the newest post, at most the server's clock; the first page adds the feed's version."""
    if not posts:
        return None
    newest_at, clock = max(post.posted_at for post in posts), responded_at(response)
    stated = {name: (header(response, name) or "").strip() for name in _VALIDATORS}
    version = {
        name: text
        for name, text in stated.items()
        if 0 < len(text) <= _MAX_VALIDATOR and text.isascii() and text.isprintable()
    }
    is_first_page = _same(response.url, feed.account or "")
    return Bookmark(
        newest_id=json.dumps(version if is_first_page else {}),
        newest_at=min(newest_at, clock) if clock else newest_at,
    )


def _same(one: str, other: str) -> bool:
    """Tell if two texts are the same URL. A wrong ``False`` only costs a download."""
    try:
        first, second = Url.parse(one), Url.parse(other)
    except UrlRefusedError:
        return False
    return (first.origin, first.target) == (second.origin, second.target)
