"""Mastodon and servers with the same API: the image posts of an account or of a hashtag, by default without a login.

The first request looks the account up. For a hashtag it asks if the server shows hashtag feeds at all, because a closed
feed is an empty list. Then come the pages of the listing: without a bookmark from the newest post back, with a bookmark
from there forward, so that no post between two runs is missed.

A server that gets to know a post late inserts it at the time of the post, so some posts behind the bookmark are read
again, before the others.

A cursor is the listing's path below ``/api/v1/``, and after the first page also ``max_id`` or ``min_id``. Only those
ids are taken from a ``Link`` header, never its host. A cursor to posts behind the bookmark also has their number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

from pydantic import Field

from imagelake.run.errors import FeedNotFoundError, FeedNotPermittedError, SourceChangedError
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources.contract import Authorized, Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.entry import kind
from imagelake.sources.hashtags import without_sign
from imagelake.sources.manifest import Manifest
from imagelake.sources.origin import host, origin
from imagelake.sources.plain_text import plain_text
from imagelake.sources.responses import Dialect, check, header, iso_time, rate_limit, read_json, responded_at
from imagelake.sources.wire import DECISIVE, Flag, Moment, Pixels, WireModel, read_entries, read_media, without_entries
from imagelake.web.errors import UrlRefusedError
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url

_API = "/api/v1/"
_LOOKUP = "/api/v1/accounts/lookup"
_INSTANCE = "/api/v2/instance"
_SIGNED_IN = "signed_in"
_PAGE_SIZE = 40
# The number of posts behind the bookmark that are still to be read. Servers ignore it; it tells ``parse`` how to go on.
_BEHIND = "behind"
# The position of the first page from the bookmark forward.
_FORWARD = "forward"

_DIALECT = Dialect(rate=lambda response: rate_limit(response, "x-ratelimit", iso_time))

_LINK = re.compile(r'<([^<>]*)>\s*;\s*rel="?(next|prev)(?![\w-])')

_KINDS: dict[str, MediaKind] = {"image": "image", "gifv": "animation", "video": "video", "audio": "audio"}


class _Size(WireModel):
    width: Pixels | None = None
    height: Pixels | None = None


class _Meta(WireModel):
    original: _Size | None = None


class _Attachment(WireModel):
    id: str = Field(min_length=1)
    type: str | None = None
    url: str | None  # null while the server processes the file
    description: str | None = None
    meta: _Meta | None = None


class _Account(WireModel):
    acct: str | None = None
    display_name: str | None = None
    # Only the author's own server sends it.
    noindex: Flag = False


class _Tag(WireModel):
    name: str


class _Status(WireModel):
    id: str = Field(min_length=1)
    created_at: Moment
    visibility: str
    reblog: Annotated[dict[str, Any] | None, DECISIVE] = None
    account: _Account
    sensitive: Flag = False
    spoiler_text: str | None = None
    content: str = ""
    url: str | None = None
    tags: list[_Tag] | None = None
    media_attachments: list[Any]


class Mastodon(Authorized):
    """The adapter; ``feed.server`` names the server. The secret has one field per server: host name and token."""

    name = "mastodon"
    # With a bookmark the listing is read from there forward.
    newest_first = False
    # A server that gets to know a post late inserts it at the time of the post.
    overlap = 2 * _PAGE_SIZE
    # A server may keep its media anywhere.
    media_hosts: frozenset[str] | None = None
    manifest = Manifest(
        title="Mastodon",
        feeds=(
            "mastodon:server.example@alice",
            "mastodon:server.example#cats",
            "mastodon:server.example,other.example#cats",
        ),
        lookback="an account: all public posts; a hashtag: the posts that its server knows",
        page_size=_PAGE_SIZE,
        credentials=("server.example",),
        credentials_required=False,
        post_usd=None,
        deletion="the response for the post is 404",
        terms="those of each server; some forbid automated collection: read `/api/v1/instance/terms_of_service` first",
        notes=(
            "A server that gets to know a post late inserts it at the time of the post, behind later ones.",
            "Several servers, separated by commas, are one feed each.",
            "A server can close its hashtag feeds to signed-out readers. Such a feed is an error, not an empty feed. A "
            "token in the secret, under the host name of its server, opens a feed for signed-in readers.",
            "The rate limit is 300 requests in 5 minutes; requests for older or newer pages also count against 300 in "
            "15 minutes. A run waits until the reset that the server states.",
            "Only public posts are kept, and none of authors who ask not to be indexed (`noindex`). The setting "
            "`indexable` has no effect: it is about the search within Mastodon, and off by default.",
        ),
    )

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the token of the request's server, if there is one."""
        token = _token(secret, Url.parse(request.url).host)
        if not token:
            return request
        params = dict(request.params)
        if urlsplit(request.url).path == _INSTANCE:
            # Servers ignore it; it tells ``parse`` that the request had a token.
            params[_SIGNED_IN] = "true"
        return replace(request, params=params, headers={**request.headers, "authorization": f"Bearer {token}"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the lookup or the server's settings, and after that for pages of the listing."""
        base, headers = origin(feed), {"accept": "application/json"}
        if cursor is None and feed.account is not None:
            return Request(f"{base}{_LOOKUP}", {"acct": feed.account.removeprefix("@")}, headers)
        if cursor is None:
            return Request(f"{base}{_INSTANCE}", headers=headers)
        listing, _, position = cursor.partition("?")
        size = min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)
        params = {"only_media": "true", "limit": str(size)}
        if feed.account is not None:
            params["exclude_reblogs"] = "true"
        if bookmark is not None and not position:
            # The first run has read as many posts as its limit, and the bookmark is one of them.
            behind = min(self.overlap, (feed.limit or self.overlap + 1) - 1)
            position = urlencode({"max_id": bookmark.newest_id, _BEHIND: behind}) if behind else _FORWARD
        if bookmark is not None and position == _FORWARD:
            params["min_id"] = bookmark.newest_id
        else:
            params.update(parse_qsl(position))
        if _BEHIND in params:
            params["limit"] = str(min(size, int(params[_BEHIND])))
        return Request(f"{base}{_API}{listing}", params, headers)

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse the page that ``response.url`` asked for; pages of the lookup and the settings have only a cursor."""
        path = urlsplit(response.url).path
        if path == _INSTANCE:
            _refuse_closed(feed, response)
            tag = without_sign(feed.hashtag or "")
            return Page([], [], f"timelines/tag/{quote(tag, safe='')}", _DIALECT.rate(response))
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        if path == _LOOKUP:
            return Page([], [], f"accounts/{quote(_account_id(feed, body), safe='')}/statuses", _DIALECT.rate(response))
        if not isinstance(body, list):
            raise SourceChangedError(f"{feed.name}: the response is not a list of posts")
        return _listing(feed, response, body)

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove entries from the list."""
        return without_entries(self, feed, response, is_removed, lambda body: body)


ADAPTER: Source = Mastodon()


def _token(secret: Mapping[str, str], server: str) -> str | None:
    """Return the token of a server, however its host name is written."""
    for name in secret:
        with suppress(UrlRefusedError):
            if Url.parse(name if "://" in name else f"https://{name}").host == server:
                return secret[name]
    return None


def _refuse_closed(feed: Feed, response: Response) -> None:
    """Raise if the server shows this reader neither local nor remote posts.

    Servers before 4.5 do not have these settings, and some have no such URL: then the listing decides.
    """
    if response.status not in (404, 410):
        check(feed, response, _DIALECT)
    body = None
    with suppress(SourceChangedError):
        body = read_json(feed, response)
    signed_in = _SIGNED_IN in parse_qs(urlsplit(response.url).query)
    closed = ("disabled",) if signed_in else ("authenticated", "disabled")
    match body:
        case {"configuration": {"timelines_access": {"hashtag_feeds": {"local": local, "remote": remote}}}} if (
            local in closed and remote in closed
        ):
            raise FeedNotPermittedError(
                f"{feed.name}: the server shows no hashtag feeds {'at all' if signed_in else 'without a login'}"
                f" (local: {local}, remote: {remote})"
            )


def _account_id(feed: Feed, body: Any) -> str:
    match body:
        case {"suspended": True}:
            raise FeedNotFoundError(f"{feed.name}: the account is suspended")
        case {"id": str(account_id)} if account_id:
            return account_id
    raise SourceChangedError(f"{feed.name}: the response to the lookup of the account has no id")


def _listing(feed: Feed, response: Response, entries: list[Any]) -> Page:
    server, clock = host(feed), responded_at(response)
    positions: list[Bookmark] = []

    def read(raw: Any) -> Post:
        status = _Status.model_validate(raw)
        # Other servers can state any time, and later posts would never pass a bookmark in the future.
        seen_at = min(status.created_at, clock) if clock else status.created_at
        positions.append(Bookmark(newest_id=status.id, newest_at=seen_at))
        return _post(status, server)

    posts, rejects = read_entries(feed, entries, read, _id, lambda raw: tuple(author_ids(raw, server)))
    query = dict(parse_qsl(urlsplit(response.url).query))
    if _BEHIND in query:
        return Page(posts, rejects, _next_behind(response, query), _DIALECT.rate(response), positions=[])
    # Every page runs from new to old by id, in both directions.
    newest = positions[0] if positions else None
    return Page(posts, rejects, _next(response), _DIALECT.rate(response), newest)


def _post(status: _Status, server: str) -> Post:
    if status.reblog is not None:
        raise ValueError("a repost of another post")
    if status.visibility != "public":
        raise ValueError(f"visibility: {status.visibility[:40]}, not public")
    if status.account.noindex:
        raise ValueError("the author asks not to be indexed")
    acct = status.account.acct or "unknown"
    return Post(
        post_id=status.id,
        author_id=_author_id_of(acct, server),
        author_name=status.account.display_name or acct.lower(),
        permalink=status.url or None,
        posted_at=status.created_at,
        text="\n\n".join(filter(None, [status.spoiler_text, plain_text(status.content)])),
        tags=list(dict.fromkeys(tag.name for tag in status.tags or [])),
        sensitive=status.sensitive or bool(status.spoiler_text),
        media=read_media(
            status.media_attachments, lambda raw, index: _media(raw, index, server), f"mastodon/{server}/{status.id}"
        ),
    )


def _author_id_of(acct: str, server: str) -> str:
    """Return the full handle, which is the same on all servers; account ids count from 1 on every server."""
    return acct.lower() if "@" in acct else f"{acct.lower()}@{server}"


def author_ids(raw: Any, server: str) -> Iterator[str]:
    """Yield the authors of an entry that is no post: its own one, and that of the post that it repeats."""
    match raw:
        case {"account": {"acct": str(acct)}}:
            yield _author_id_of(acct, server)
    match raw:
        case {"reblog": dict(repeated)}:
            yield from author_ids(repeated, server)


def _media(raw: Any, index: int, server: str) -> Media:
    attachment = _Attachment.model_validate(raw)
    size = (attachment.meta and attachment.meta.original) or _Size()
    return Media(
        media_id=f"mastodon/{server}/{attachment.id}",
        index=index,
        kind=_KINDS.get(attachment.type, "unknown") if attachment.type else kind(None, attachment.url),
        url=attachment.url or None,
        alt_text=attachment.description or None,
        width=size.width,
        height=size.height,
    )


def _next(response: Response) -> str | None:
    """Return the cursor of the next page, in the direction of this page."""
    parts = urlsplit(response.url)
    relation, key = ("prev", "min_id") if "min_id" in parse_qs(parts.query) else ("next", "max_id")
    for url, link_relation in _LINK.findall(header(response, "link") or ""):
        position = parse_qs(url.partition("?")[2]).get(key)
        if link_relation == relation and position:
            return f"{parts.path.removeprefix(_API)}?{urlencode({key: position[0]})}"
    return None


def _next_behind(response: Response, query: Mapping[str, str]) -> str:
    """Return the cursor of the next page behind the bookmark, or of the first one from there forward."""
    left = int(query[_BEHIND]) - int(query["limit"])
    older = _next(response) if left > 0 else None
    if older:
        return f"{older}&{urlencode({_BEHIND: left})}"
    return f"{urlsplit(response.url).path.removeprefix(_API)}?{_FORWARD}"


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str(post_id)}:
            return post_id
    return None
