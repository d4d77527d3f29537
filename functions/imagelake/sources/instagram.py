"""Instagram: the posts of your own professional account, of another professional account, or of a hashtag.

``me`` is read with Instagram Login. Everything else is read with Facebook Login, as your own professional account: its
id is the secret's ``user_id``, and requests contain ``{user_id}`` until they are authorized.

The first request of a hashtag looks its id up. A cursor is then the listing's path below the version, with a position.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from imagelake.run.errors import BadFeedError, FeedNotFoundError, SourceChangedError
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources import graph
from imagelake.sources.contract import Authorized, Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.hashtags import hashtags, is_hashtag, without_sign
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.origin import origin
from imagelake.sources.responses import iso_time
from imagelake.sources.wire import DECISIVE, Moment, WireModel, read_media, skipped, without_entries
from imagelake.web.messages import Request, Response

_OWN_API = "https://graph.instagram.com"
_PAGE_SIZE = 50
_OWN_ID = "{user_id}"

_NAME = re.compile(r"[A-Za-z0-9._]{1,30}")
_ID = re.compile(r"\d{1,30}")
_CURSOR = re.compile(r"[\w.~+/=%-]{1,1000}")

_ME = f"/{graph.VERSION}/me/media"
_TAG_LOOKUP = "/ig_hashtag_search"
_REFRESH = "/refresh_access_token"

_PART = "id,media_type,media_url"
_COMMON = f"id,caption,media_type,media_product_type,media_url,permalink,timestamp,children{{{_PART}}}"
_OWN_FIELDS = f"{_COMMON},username,alt_text".replace(_PART, f"{_PART},alt_text")
_OTHERS_FIELDS = f"{_COMMON},username"

# A long-lived token lives 60 days and can be renewed once it is a day old.
_RENEW_BEFORE = timedelta(days=30)
_LIFE = timedelta(days=60)

_KINDS: Mapping[str, MediaKind] = {"IMAGE": "image", "VIDEO": "video"}
# Instagram leaves out media_url if it suspects copyrighted material.
_NO_URL = "instagram gives no URL for this media item, as for copyrighted material"
_ONLY_ID = "instagram gives only the id of this carousel item"
_MORE = "instagram has more items of this carousel, on a page that is not read"


class _Part(WireModel):
    id: str = Field(min_length=1)
    media_type: str | None = None
    media_url: str | None = None
    alt_text: str | None = None


class _Parts(WireModel):
    data: list[Any]
    paging: Any = None


class _Owner(WireModel):
    id: str = Field(min_length=1)


class _Entry(WireModel):
    id: str = Field(min_length=1)
    media_type: str | None = None
    media_url: str | None = None
    alt_text: str | None = None
    caption: str | None = None
    permalink: str | None = None
    timestamp: Moment
    username: str | None = None
    owner: _Owner | None = None
    children: Annotated[_Parts | None, DECISIVE] = None


class _Account(WireModel):
    """The account of a listing, as far as the request or the response names it."""

    id: str | None = None
    username: str | None = None


class Instagram(Authorized):
    """The adapter; ``feed.server`` replaces both of the network's APIs."""

    name = "instagram"
    newest_first = True
    # Instagram does not say that the newest post is always the first one.
    overlap = 50
    media_hosts: frozenset[str] | None = frozenset({"cdninstagram.com", "fbcdn.net"})
    manifest = Manifest(
        title="Instagram",
        feeds=("instagram:me", "instagram:@natgeo", "instagram:#cats"),
        lookback=(Lookback("its newest 10,000 posts", "account", posts=10_000), Lookback("", "hashtag", timedelta(1))),
        page_size=_PAGE_SIZE,
        credentials=("access_token", "facebook_token", "user_id"),
        credentials_required=True,
        post_usd=None,
        deletion="a deleted post is no longer in the listing, and the response for its id has the code 100/33",
        terms="only for the approved purpose; delete on request of the user or of Meta",
        notes=(
            "`instagram:me` needs `access_token`, a long-lived token of Instagram Login with instagram_business_basic. "
            "When it has fewer than 30 days left, it is renewed and written back, with its new expiry as "
            "`access_token_expires_at`.",
            "Every other feed needs `facebook_token`, a token of Facebook Login with instagram_basic, and `user_id`, "
            "the numeric id of a professional account of your own.",
            "Store the expiry of that token as `facebook_token_expires_at` to be warned 14 days ahead.",
            "Another account must be professional. A hashtag needs the feature Instagram Public Content Access.",
            "Instagram allows 30 different hashtags in 7 days. Their posts are in no order of time and have no author.",
            "If Meta asks to reduce the amount of data, the run goes on with half the page size, down to one post.",
            "`tags` are the hashtags of the text, by the grammar of twitter-text. So `#a#b` and the fragment of a URL "
            "are none.",
            "URLs of images expire after about 4 days; each URL contains its expiry.",
            "If a carousel has more items than one response, a skipped media item says so; Instagram allows 20.",
            "Instagram gives no dimensions, no license and no sensitive flag, and no URL for copyrighted material.",
        ),
    )
    secret_hosts = frozenset({"graph.instagram.com", "graph.facebook.com"})
    public_fields = frozenset({"user_id", "access_token_expires_at", "facebook_token_expires_at"})
    keeps_renewed = True

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the next page of the listing; for a hashtag, first the lookup of its id."""
        size = _size(feed)
        if feed.account == "me":
            return _listing(f"{origin(feed, _OWN_API)}{_ME}", _OWN_FIELDS, size, cursor)
        base = f"{origin(feed, graph.API)}/{graph.VERSION}"
        if feed.account is None:
            return _hashtag_request(feed, base, size, cursor)
        if _ID.fullmatch(feed.account):
            return _listing(f"{base}/{feed.account}/media", _OWN_FIELDS, size, cursor)
        return _other_account_request(feed, base, size, cursor)

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request | None:
        """Build the request by time, which only listings of your own accounts allow."""
        if feed.account is None or (feed.account != "me" and _ID.fullmatch(feed.account) is None):
            return None
        return graph.at(self.request(feed, None, None), posted_at)

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse the page; that of a hashtag's lookup, and one that Meta calls too large, have only a cursor."""
        if smaller := graph.smaller_page(feed, response):
            return Page([], [], _cursor(response, smaller))
        body = graph.read_object(feed, response)
        path = urlsplit(response.url).path
        if path.endswith(_TAG_LOOKUP):
            return Page([], [], f"{_tag_id(feed, body)}/recent_media", graph.DIALECT.rate(response))
        listing, account = _find_listing(feed, body)
        if path.endswith("/recent_media"):
            # A hashtag has the same cursor on every page; Fetch stops at a page without new posts.
            position = graph.after_position(listing.get("paging")) if listing.get("data") else None
        elif "business_discovery" in body:
            position = graph.after_position(listing.get("paging"))
        else:
            position = graph.next_position(feed, listing)
        position = graph.in_same_size(position, response, _size(feed))
        return graph.read_page(
            feed,
            response,
            listing,
            lambda raw: _post(_Entry.model_validate(raw), account),
            cursor=_cursor(response, position) if position else None,
            in_order=feed.hashtag is None,
        )

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove entries from the list."""
        return without_entries(self, feed, response, is_removed, lambda body: _find_listing(feed, body)[0]["data"])

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the token of the login that the request needs, and fill in ``{user_id}``."""
        if _is_own(request):
            return replace(request, params={**request.params, "access_token": secret["access_token"]})
        parts = (request.url, *request.params.values())
        own_id = secret["user_id"] if any(_OWN_ID in part for part in parts) else ""
        filled = {name: value.replace(_OWN_ID, own_id) for name, value in request.params.items()}
        return replace(
            request,
            url=request.url.replace(_OWN_ID, own_id),
            params=filled | {"access_token": secret["facebook_token"]},
        )

    def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
        """Build the renewal of ``access_token`` if it has fewer than 30 days left, or if its expiry is not known."""
        if not _is_own(request):
            return None
        expires_at = _time(secret.get("access_token_expires_at"))
        if expires_at is not None and expires_at - now > _RENEW_BEFORE:
            return None
        parts = urlsplit(request.url)
        return Request(f"{parts.scheme}://{parts.netloc}{_REFRESH}", {"grant_type": "ig_refresh_token"})

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        """Read the new token and its expiry."""
        body = graph.read_object(feed, response)
        match body:
            case {"access_token": str(token)} if token:
                seconds = body.get("expires_in")
                life = timedelta(seconds=seconds) if isinstance(seconds, int) and 0 < seconds < 10**9 else _LIFE
                return {"access_token": token, "access_token_expires_at": (now + life).isoformat(timespec="seconds")}
        raise SourceChangedError(f"{feed.name}: the response to the renewal has no token")


ADAPTER: Source = Instagram()


def _size(feed: Feed) -> int:
    return min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)


def _cursor(response: Response, position: str) -> str:
    """Return a position in the listing that the response is of, as a cursor."""
    path = urlsplit(response.url).path.split("/")
    return f"{path[-2]}/recent_media?{position}" if path[-1] == "recent_media" else position


def _is_own(request: Request) -> bool:
    return urlsplit(request.url).path in (_ME, _REFRESH)


def _time(text: str | None) -> datetime | None:
    try:
        return iso_time(text) if text else None
    except (ValueError, OverflowError):
        return None


def _listing(url: str, fields: str, size: int, position: str | None) -> Request:
    return Request(url, {"fields": fields, "limit": str(size), **dict(parse_qsl(position or ""))})


def _other_account_request(feed: Feed, base: str, size: int, position: str | None) -> Request:
    name = (feed.account or "").removeprefix("@")
    if _NAME.fullmatch(name) is None:
        raise BadFeedError(f"{feed.name}: {name!r} is not the name of an Instagram account")
    asked = dict(parse_qsl(position or ""))
    size, after = int(asked.get("limit", size)), asked.get("after", "")
    # The cursor becomes part of the field list, so it may not contain a sign that ends it.
    if after and _CURSOR.fullmatch(after) is None:
        raise SourceChangedError(f"{feed.name}: the cursor contains other signs than a cursor of Instagram")
    media = f"media.limit({size}){f'.after({after})' if after else ''}{{{_OTHERS_FIELDS}}}"
    fields = f"business_discovery.username({name}){{id,username,media_count,{media}}}"
    return Request(f"{base}/{_OWN_ID}", {"fields": fields})


def _hashtag_request(feed: Feed, base: str, size: int, cursor: str | None) -> Request:
    tag = without_sign(feed.hashtag or "")
    if not is_hashtag(tag):
        raise BadFeedError(f"{feed.name}: a hashtag of Instagram has only letters and digits, no emoji")
    if cursor is None:
        return Request(f"{base}{_TAG_LOOKUP}", {"user_id": _OWN_ID, "q": tag.lower()})
    path, _, position = cursor.partition("?")
    request = _listing(f"{base}/{path}", _COMMON, size, position)
    return replace(request, params={"user_id": _OWN_ID, **request.params})


def _tag_id(feed: Feed, body: dict[str, Any]) -> str:
    match body:
        case {"data": [{"id": str(tag_id)}, *_]} if _ID.fullmatch(tag_id):
            return tag_id
        case {"data": []}:
            raise FeedNotFoundError(f"{feed.name}: Instagram has no such hashtag")
    raise SourceChangedError(f"{feed.name}: the response to the lookup of the hashtag has no id")


def _find_listing(feed: Feed, body: dict[str, Any]) -> tuple[dict[str, Any], _Account]:
    match body:
        case {"business_discovery": {"media": dict(media), **account}}:
            return media, _account(account)
        case {"business_discovery": {"media_count": 0, **account}}:
            return {"data": []}, _account(account)
        case {"media": dict(media), **account} if "data" not in body:
            return media, _account(account)
        case {"data": _}:
            own = feed.account if feed.account and _ID.fullmatch(feed.account) else None
            return body, _Account(id=own)
    raise SourceChangedError(f"{feed.name}: the response has no list of media")


def _account(node: Mapping[Any, Any]) -> _Account:
    texts = {name: value for name, value in node.items() if name in ("id", "username") and isinstance(value, str)}
    return _Account(id=texts.get("id") or None, username=texts.get("username") or None)


def _post(entry: _Entry, account: _Account) -> Post:
    username = entry.username or account.username
    text = entry.caption or ""
    return Post(
        post_id=entry.id,
        # Posts of a hashtag have no author.
        author_id=(entry.owner and entry.owner.id) or account.id or username or "unknown",
        author_name=username,
        permalink=entry.permalink or None,
        posted_at=entry.timestamp,
        text=text,
        tags=hashtags(text),
        media=_media(entry),
    )


def _media(entry: _Entry) -> list[Media]:
    parts = entry.children.data if entry.children else []
    if entry.media_type != "CAROUSEL_ALBUM" and (entry.media_type or not parts):
        kind, url, alt_text = entry.media_type, entry.media_url, entry.alt_text
        return [_item(_Part(id=entry.id, media_type=kind, media_url=url, alt_text=alt_text), 0)]
    if not parts:
        return [_item(_Part(id=entry.id, media_url=entry.media_url), 0)]
    media = read_media(parts, lambda raw, index: _item(_part(raw, index, entry), index), f"instagram/{entry.id}")
    if entry.children and graph.has_next(entry.children.paging):
        media.append(skipped(f"instagram/{entry.id}/more", len(media), _MORE))
    return media


def _part(raw: Any, index: int, entry: _Entry) -> _Part:
    part = _Part.model_validate(raw)
    if index == 0 and part.media_type is None and part.media_url is None:
        # The URL of the album is that of its first item.
        return _Part(id=part.id, media_url=entry.media_url)
    return part


def _item(part: _Part, index: int) -> Media:
    if part.media_type:
        kind = _KINDS.get(part.media_type, "unknown")
    elif part.media_url:
        kind = "video" if part.media_url.partition("?")[0].endswith(".mp4") else "image"
    else:
        kind = "unknown"
    missing = None if part.media_url else _NO_URL if part.media_type else _ONLY_ID
    return Media(
        media_id=f"instagram/{part.id}",
        index=index,
        kind=kind,
        url=part.media_url or None,
        alt_text=part.alt_text or None,
        expires_at=graph.expiry(part.media_url),
        skip_reason=missing if kind in ("image", "unknown") else None,
    )
