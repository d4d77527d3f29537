"""Instagram: the posts of one's own professional account, of another professional account, or of a hashtag.

``me`` is read through Instagram Login. Everything else is read through Facebook Login, in the name of one's own
professional account: its id, ``user_id`` in the secret, stands in requests as ``{user_id}`` until they are authorised.
A hashtag is looked up first; a cursor is then the listing's path below the version, with its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from imagelake.run.errors import BadFeedError, FeedNotFoundError, SourceChangedError
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources import graph
from imagelake.sources.answers import iso_time
from imagelake.sources.contract import Authorized, Bookmark, Feed, Page
from imagelake.sources.manifest import Manifest
from imagelake.sources.origin import origin
from imagelake.sources.wire import Moment, WireModel
from imagelake.web.messages import Request, Response

_OWN_API = "https://graph.instagram.com"
_PAGE_SIZE = 50
_OWN_ID = "{user_id}"

_NAME = re.compile(r"[A-Za-z0-9._]{1,30}")
_ID = re.compile(r"\d{1,30}")
_TAG = re.compile(r"\w{1,100}")
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
# The network omits media_url where it suspects copyrighted material.
_NO_ADDRESS = "instagram gives no address for this medium, as for copyrighted material"
_NO_PART = "instagram names this part of the carousel by its id alone"


class _Part(WireModel):
    id: str = Field(min_length=1)
    media_type: str | None = None
    media_url: str | None = None
    alt_text: str | None = None


class _Parts(WireModel):
    data: list[_Part]


class _Owner(WireModel):
    id: str = Field(min_length=1)


class _Entry(WireModel):
    id: str = Field(min_length=1)
    media_type: str
    media_url: str | None = None
    alt_text: str | None = None
    caption: str | None = None
    permalink: str | None = None
    timestamp: Moment
    username: str | None = None
    owner: _Owner | None = None
    children: _Parts | None = None


class _Account(WireModel):
    """Whose listing it is, as far as the request or the answer tells."""

    id: str | None = None
    username: str | None = None


class Instagram(Authorized):
    """The adapter; ``feed.server`` replaces both of the network's APIs."""

    name = "instagram"
    newest_first = True
    media_hosts: frozenset[str] | None = frozenset({"cdninstagram.com", "fbcdn.net"})
    manifest = Manifest(
        title="Instagram",
        feeds=("instagram:me", "instagram:@natgeo", "instagram:#cats"),
        lookback="an account: its newest 10,000 posts; a hashtag: 24 hours",
        page_size=_PAGE_SIZE,
        credentials=("access_token", "facebook_token", "user_id"),
        credentials_required=True,
        post_usd=None,
        deletion="a deleted post drops out of the listing and its id answers with code 100/33",
        terms="use for the approved purpose only; delete on request of the user or of Meta",
        notes=(
            "`instagram:me` needs `access_token`, a long-lived token of Instagram Login with instagram_business_basic;"
            " when fewer than 30 days are left it is renewed and written back, its end as `access_token_expires_at`",
            "every other feed needs `facebook_token`, a token of Facebook Login with instagram_basic, and `user_id`,"
            " the numeric id of a professional account of one's own",
            "an end put beside the token as `facebook_token_expires_at` is told of 14 days before",
            "another account has to be professional; a hashtag needs the feature Instagram Public Content Access",
            "30 different hashtags in 7 days; 50 posts a page, in no order of time and without their authors",
            "addresses of pictures lapse after about 4 days; the address says when",
            "no dimensions, licence or sensitive flag; no address for media with copyrighted material",
        ),
    )
    secret_hosts = frozenset({"graph.instagram.com", "graph.facebook.com"})
    public_fields = frozenset({"user_id", "access_token_expires_at", "facebook_token_expires_at"})
    keeps_renewed = True

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """The next page of the listing; of a hashtag, first its id."""
        size = min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)
        if feed.account == "me":
            return _listing(f"{origin(feed, _OWN_API)}{_ME}", _OWN_FIELDS, size, cursor)
        base = f"{origin(feed, graph.API)}/{graph.VERSION}"
        if feed.account is None:
            return _of_hashtag(feed, base, size, cursor)
        if _ID.fullmatch(feed.account):
            return _listing(f"{base}/{feed.account}/media", _OWN_FIELDS, size, cursor)
        return _of_another(feed, base, size, cursor)

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request | None:
        """One's own listing can be asked by time; another's, and a hashtag's, cannot."""
        if feed.account is None or (feed.account != "me" and _ID.fullmatch(feed.account) is None):
            return None
        return graph.at(self.request(feed, None, None), posted_at)

    def parse(self, feed: Feed, response: Response) -> Page:
        """The page; that of a hashtag's lookup holds nothing but a cursor."""
        body = graph.read_object(feed, response)
        path = urlsplit(response.url).path
        if path.endswith(_TAG_LOOKUP):
            return Page([], [], f"{_tag_id(feed, body)}/recent_media", graph.DIALECT.rate(response))
        listing, account = _find_listing(feed, body)
        if path.endswith("/recent_media"):
            # The cursor of a hashtag is the same on every page; fetch ends where a page brings nothing new.
            after = graph.after_position(listing.get("paging"))
            tag_id = path.split("/")[-2]
            cursor = f"{tag_id}/recent_media?{after}" if after and listing.get("data") else None
        elif "business_discovery" in body:
            cursor = graph.after_position(listing.get("paging"))
        else:
            cursor = graph.next_position(feed, listing)
        return graph.read_page(
            feed,
            response,
            listing,
            lambda raw: _post(_Entry.model_validate(raw), account),
            cursor=cursor,
            in_order=feed.hashtag is None,
        )

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """With the token of the login that the request needs; ``{user_id}`` filled in."""
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
        """The exchange for a token of 60 more days, once fewer than 30 days are left or the end is not known."""
        if not _is_own(request):
            return None
        ends_at = _time(secret.get("access_token_expires_at"))
        if ends_at is not None and ends_at - now > _RENEW_BEFORE:
            return None
        parts = urlsplit(request.url)
        return Request(f"{parts.scheme}://{parts.netloc}{_REFRESH}", {"grant_type": "ig_refresh_token"})

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        """The new token and its end."""
        body = graph.read_object(feed, response)
        match body:
            case {"access_token": str(token)} if token:
                seconds = body.get("expires_in")
                life = timedelta(seconds=seconds) if isinstance(seconds, int) and 0 < seconds < 10**9 else _LIFE
                return {"access_token": token, "access_token_expires_at": (now + life).isoformat(timespec="seconds")}
        raise SourceChangedError(f"{feed.name}: the answer to the renewal holds no token")


def _is_own(request: Request) -> bool:
    return urlsplit(request.url).path in (_ME, _REFRESH)


def _time(text: str | None) -> datetime | None:
    try:
        return iso_time(text) if text else None
    except (ValueError, OverflowError):
        return None


def _listing(url: str, fields: str, size: int, position: str | None) -> Request:
    return Request(url, {"fields": fields, "limit": str(size), **dict(parse_qsl(position or ""))})


def _of_another(feed: Feed, base: str, size: int, position: str | None) -> Request:
    name = (feed.account or "").removeprefix("@")
    if _NAME.fullmatch(name) is None:
        raise BadFeedError(f"{feed.name}: {name!r} is no name of an Instagram account")
    after = dict(parse_qsl(position or "")).get("after", "")
    # It is written into the field list, so it may hold nothing that ends there.
    if after and _CURSOR.fullmatch(after) is None:
        raise SourceChangedError(f"{feed.name}: the cursor is not one of letters and digits")
    media = f"media.limit({size}){f'.after({after})' if after else ''}{{{_OTHERS_FIELDS}}}"
    fields = f"business_discovery.username({name}){{id,username,media_count,{media}}}"
    return Request(f"{base}/{_OWN_ID}", {"fields": fields})


def _of_hashtag(feed: Feed, base: str, size: int, cursor: str | None) -> Request:
    tag = (feed.hashtag or "").removeprefix("#")
    if _TAG.fullmatch(tag) is None:
        raise BadFeedError(f"{feed.name}: a hashtag of Instagram is letters and digits, without emoji")
    if cursor is None:
        return Request(f"{base}{_TAG_LOOKUP}", {"user_id": _OWN_ID, "q": tag.lower()})
    path, _, position = cursor.partition("?")
    request = _listing(f"{base}/{path}", _COMMON, size, position)
    return replace(request, params={"user_id": _OWN_ID, **request.params})


def _tag_id(feed: Feed, body: dict[str, Any]) -> str:
    match body:
        case {"data": [{"id": str(found)}, *_]} if _ID.fullmatch(found):
            return found
        case {"data": []}:
            raise FeedNotFoundError(f"{feed.name}: Instagram knows no such hashtag")
    raise SourceChangedError(f"{feed.name}: the hashtag looked up has no id")


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
    raise SourceChangedError(f"{feed.name}: the answer lists no media")


def _account(node: Mapping[Any, Any]) -> _Account:
    texts = {name: value for name, value in node.items() if name in ("id", "username") and isinstance(value, str)}
    return _Account(id=texts.get("id") or None, username=texts.get("username") or None)


def _post(entry: _Entry, account: _Account) -> Post:
    username = entry.username or account.username
    text = entry.caption or ""
    return Post(
        post_id=entry.id,
        # The posts of a hashtag come without their authors.
        author_id=(entry.owner and entry.owner.id) or account.id or username or "unknown",
        author_name=username,
        permalink=entry.permalink or None,
        posted_at=entry.timestamp,
        text=text,
        tags=graph.hashtags(text),
        media=[_media(part, index) for index, part in enumerate(_parts(entry))],
    )


def _parts(entry: _Entry) -> list[_Part]:
    if entry.media_type != "CAROUSEL_ALBUM":
        return [_Part(id=entry.id, media_type=entry.media_type, media_url=entry.media_url, alt_text=entry.alt_text)]
    parts = entry.children.data if entry.children else []
    if not parts:
        return [_Part(id=entry.id, media_url=entry.media_url)]
    first, *others = parts
    if first.media_type is None and first.media_url is None:
        # An album's own address is that of its first part.
        first = _Part(id=first.id, media_url=entry.media_url)
    return [first, *others]


def _media(part: _Part, index: int) -> Media:
    if part.media_type is not None:
        kind = _KINDS.get(part.media_type, "unknown")
    elif part.media_url:
        kind = "video" if part.media_url.partition("?")[0].endswith(".mp4") else "image"
    else:
        kind = "unknown"
    absent = None if part.media_url else _NO_PART if part.media_type is None else _NO_ADDRESS
    return Media(
        media_id=f"instagram/{part.id}",
        index=index,
        kind=kind,
        url=part.media_url or None,
        alt_text=part.alt_text or None,
        expires_at=graph.expiry(part.media_url),
        skip_reason=absent if kind in ("image", "unknown") else None,
    )
