"""Bluesky: the image posts of an account, from the public AppView, and those of a hashtag, after a login.

A login is an app password's: it is exchanged for a token of two hours, which no one keeps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field

from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
)
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources.answers import Dialect, check, read_json, unix_time, window
from imagelake.sources.contract import Authorized, Bookmark, Feed, Page, Reject
from imagelake.sources.manifest import Manifest
from imagelake.sources.origin import origin
from imagelake.sources.wire import Moment, WireModel, reason
from imagelake.web.messages import Request, Response

_PUBLIC_API = "https://public.api.bsky.app"
# Where an account of Bluesky's own servers logs in.
_LOGIN_API = "https://bsky.social"
_PAGE_SIZE = 100

_AUTHOR_FEED = "/xrpc/app.bsky.feed.getAuthorFeed"
_SEARCH = "/xrpc/app.bsky.feed.searchPosts"
_SESSION = "/xrpc/com.atproto.server.createSession"
# A session lives 120 minutes; the rest is time to use it.
_SESSION_LIFE = timedelta(minutes=90)

_TAG = re.compile(r"[^\s#]{1,64}")
_ACTOR = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]+|(?:[a-zA-Z0-9-]+\.)+[a-zA-Z][a-zA-Z0-9-]*")
_POST_URI = re.compile(r"at://(did:[a-z]+:[a-zA-Z0-9._:%-]+)/app\.bsky\.feed\.post/([a-zA-Z0-9._:~-]+)")

_SENSITIVE = frozenset({"porn", "sexual", "nudity", "graphic-media", "!warn"})
# A moderator's or the author's wish that signed-out readers, such as we are, do not see it.
_HIDDEN = frozenset({"!hide", "!no-unauthenticated"})

_ERRORS: Mapping[str, type[ImagelakeError]] = {
    "ProfileNotFound": FeedNotFoundError,
    "AccountTakedown": FeedNotFoundError,
    "AccountDeactivated": FeedNotFoundError,
    "BlockedActor": FeedNotPermittedError,
    "BlockedByActor": FeedNotPermittedError,
    "AuthMissing": CredentialsError,
    "AuthenticationRequired": CredentialsError,
    "AuthFactorTokenRequired": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidToken": CredentialsError,
    "RateLimitExceeded": RateLimitedError,
}


def _code(body: dict[str, Any]) -> object:
    # An unknown account is an InvalidRequest like any other; only the message tells.
    return "ProfileNotFound" if body.get("message") == "Profile not found" else body.get("error")


_DIALECT = Dialect(rate=lambda response: window(response, "ratelimit", unix_time), code=_code, errors=_ERRORS)


class _Label(WireModel):
    val: str
    src: str = ""
    uri: str = ""
    cts: str = ""
    neg: bool = False


class _SelfLabel(WireModel):
    val: str


class _SelfLabels(WireModel):
    values: list[_SelfLabel]


class _Feature(WireModel):
    tag: str | None = None


class _Facet(WireModel):
    features: list[_Feature]


class _Record(WireModel):
    text: str
    created_at: Moment = Field(alias="createdAt")
    facets: list[_Facet] | None = None
    tags: list[str] | None = None
    labels: _SelfLabels | None = None


class _Author(WireModel):
    handle: str
    display_name: str | None = Field(default=None, alias="displayName")
    labels: list[_Label] | None = None


class _Post(WireModel):
    uri: str
    author: _Author
    record: _Record
    indexed_at: Moment = Field(alias="indexedAt")
    labels: list[_Label] | None = None
    embed: dict[str, Any] | None = None


class _Reason(WireModel):
    type: str = Field(alias="$type")


class _Entry(WireModel):
    post: dict[str, Any]
    reason: _Reason | None = None


class _ViewImage(WireModel):
    type: str = Field(default="#viewImage", alias="$type")
    fullsize: str | None = None
    alt: str | None = None


class _Images(WireModel):
    images: list[_ViewImage]


class _Gallery(WireModel):
    items: list[_ViewImage]


class _Video(WireModel):
    alt: str | None = None


class _RecordWithMedia(WireModel):
    media: dict[str, Any]


class Bluesky(Authorized):
    """The adapter; ``feed.server`` replaces the public AppView, and for a hashtag the server that is logged in to."""

    name = "bluesky"
    newest_first = True
    # Only images are downloaded; video.bsky.app and video.cdn.bsky.app serve videos and their posters.
    media_hosts: frozenset[str] | None = frozenset({"cdn.bsky.app"})
    manifest = Manifest(
        title="Bluesky",
        feeds=("bluesky:bsky.app", "bluesky:#cats"),
        lookback="an account: all of it; a hashtag: as far as the search goes",
        page_size=_PAGE_SIZE,
        credentials=("identifier", "app_password"),
        credentials_required=False,
        post_usd=None,
        deletion="a deleted post is no longer listed; asked for by its address it is left out",
        terms="there has to be a way to have content deleted on request",
        notes=(
            "an account is read without a login; a hashtag needs `identifier`, a handle, and `app_password`",
            "posts whose author or moderators do not want signed-out readers to see them are left out",
            "pictures are the network's resized copies; a ratio is told, dimensions and licence are not",
        ),
    )
    secret_hosts = frozenset({"bsky.social"})
    public_fields = frozenset({"identifier", "session_until"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """One page of an account's posts with media or of a search; a search alone can begin at ``bookmark``."""
        if feed.account is not None:
            url, params = f"{origin(feed, _PUBLIC_API)}{_AUTHOR_FEED}", _of_account(feed)
        else:
            url, params = f"{origin(feed, _LOGIN_API)}{_SEARCH}", _of_hashtag(feed, bookmark)
        params["limit"] = str(min(feed.limit or _PAGE_SIZE, _PAGE_SIZE))
        if cursor is not None:
            params["cursor"] = cursor
        return Request(url, params, {"accept": "application/json"})

    def parse(self, feed: Feed, response: Response) -> Page:
        """A page with newest posts first; a pinned post stands where it is pinned and moves no bookmark."""
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        entries = _entries(body)
        if entries is None:
            raise SourceChangedError(f"{feed.name}: the answer has no list named feed or posts")
        cursor = body.get("cursor")
        if not isinstance(cursor, str | None):
            raise SourceChangedError(f"{feed.name}: the cursor is not a string")
        posts: list[Post] = []
        rejects: list[Reject] = []
        places: list[Bookmark] = []
        for raw in entries:
            try:
                entry = _Entry.model_validate(raw)
                wire = _Post.model_validate(entry.post)
                _refuse_repost(entry)
                if entry.reason is None:
                    places.append(Bookmark(newest_id=wire.uri, newest_at=_sort_time(wire)))
                posts.append(_post(wire))
            except ValueError as error:
                rejects.append(Reject(_uri(raw), reason(error), raw))
        return Page(
            posts=posts,
            rejects=rejects,
            cursor=cursor or None,
            rate=_DIALECT.rate(response),
            newest=max(places, key=lambda place: place.newest_at, default=None),
        )

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """The search with the session's token, the login with the app password; an account's posts as they are."""
        path = urlsplit(request.url).path
        if path == _SEARCH:
            return replace(request, headers={**request.headers, "authorization": f"Bearer {secret['session']}"})
        if path == _SESSION:
            login = {"identifier": secret["identifier"], "password": secret["app_password"]}
            return replace(request, json=login)
        return request

    def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
        """The login, if a session is needed and there is none or it is old."""
        parts = urlsplit(request.url)
        if parts.path != _SEARCH:
            return None
        ends_at = secret.get("session_until")
        if ends_at is not None and datetime.fromisoformat(ends_at) > now:
            return None
        return Request(f"{parts.scheme}://{parts.netloc}{_SESSION}", method="POST")

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        """The session's token and when to make a new one."""
        check(feed, response, _DIALECT)
        match read_json(feed, response):
            case {"accessJwt": str(token)} if token:
                return {"session": token, "session_until": (now + _SESSION_LIFE).astimezone(UTC).isoformat()}
        raise SourceChangedError(f"{feed.name}: the answer to the login holds no token")


def _of_account(feed: Feed) -> dict[str, str]:
    actor = (feed.account or "").removeprefix("@")
    if _ACTOR.fullmatch(actor) is None:
        raise BadFeedError(f"{feed.name}: write the whole handle, such as alice.bsky.social, or a did")
    return {"actor": actor, "filter": "posts_with_media"}


def _of_hashtag(feed: Feed, bookmark: Bookmark | None) -> dict[str, str]:
    tag = (feed.hashtag or "").removeprefix("#")
    if _TAG.fullmatch(tag) is None:
        raise BadFeedError(f"{feed.name}: a hashtag of Bluesky has at most 64 characters")
    params = {"q": f"#{tag}", "tag": tag, "sort": "latest"}
    if bookmark is not None:
        params["since"] = bookmark.newest_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return params


def _entries(body: Any) -> list[Any] | None:
    """The entries of an account's listing; the bare posts of a search in the same shape."""
    match body:
        case {"feed": list(entries)}:
            return entries
        case {"posts": list(posts)}:
            return [{"post": post} for post in posts]
    return None


def _post(wire: _Post) -> Post:
    found = _POST_URI.fullmatch(wire.uri)
    if found is None:
        raise ValueError("uri: not the address of a post")
    did, key = found.groups()
    labels = _labels(wire)
    if hidden := sorted(labels & _HIDDEN):
        raise ValueError(f"labelled {' and '.join(hidden)}: not to be shown to signed-out readers")
    return Post(
        post_id=wire.uri,
        author_id=did,
        author_name=wire.author.display_name or wire.author.handle,
        permalink=f"https://bsky.app/profile/{did}/post/{key}",
        posted_at=_sort_time(wire),
        text=wire.record.text,
        tags=_tags(wire.record),
        sensitive=bool(labels & _SENSITIVE),
        # aspectRatio is a ratio, not a size in pixels, so width and height stay unknown.
        media=[
            Media(media_id=f"bluesky/{did}/{key}/{index}", index=index, kind=kind, url=url, alt_text=alt or None)
            for index, (kind, url, alt) in enumerate(_media(wire.embed))
        ],
    )


def _media(embed: dict[str, Any] | None) -> list[tuple[MediaKind, str | None, str | None]]:
    """Kind, address and description of what the author posted; what a quote or a link card shows is not theirs."""
    match embed:
        case None | {"$type": "app.bsky.embed.external#view" | "app.bsky.embed.record#view"}:
            return []
        case {"$type": "app.bsky.embed.images#view"}:
            return [_image(view) for view in _Images.model_validate(embed).images]
        case {"$type": "app.bsky.embed.gallery#view"}:
            return [_image(view) for view in _Gallery.model_validate(embed).items]
        case {"$type": "app.bsky.embed.video#view"}:
            return [("video", None, _Video.model_validate(embed).alt)]
        case {"$type": "app.bsky.embed.recordWithMedia#view"}:
            return _media(_RecordWithMedia.model_validate(embed).media)
        case {"$type": str()}:
            return [("unknown", None, None)]
        case _:
            raise ValueError("embed.$type: missing or not a string")


def _image(view: _ViewImage) -> tuple[MediaKind, str | None, str | None]:
    if not view.type.endswith("#viewImage"):
        return "unknown", None, view.alt
    if not view.fullsize:
        raise ValueError("fullsize: an image has no address")
    return "image", view.fullsize, view.alt


def _labels(wire: _Post) -> set[str]:
    """The labels in force on the post and on its author: a later negative label withdraws an earlier one."""
    in_force: set[tuple[str, str, str]] = set()
    for label in sorted([*(wire.labels or []), *(wire.author.labels or [])], key=lambda label: label.cts):
        change = in_force.discard if label.neg else in_force.add
        change((label.src, label.uri, label.val))
    own = wire.record.labels.values if wire.record.labels else []
    return {val for _, _, val in in_force} | {label.val for label in own}


def _tags(record: _Record) -> list[str]:
    inline = [feature.tag for facet in record.facets or [] for feature in facet.features if feature.tag]
    return list(dict.fromkeys([*inline, *(record.tags or [])]))


def _sort_time(wire: _Post) -> datetime:
    """The time Bluesky sorts by: authors choose ``createdAt`` freely, but cannot post in the future."""
    return min(wire.record.created_at, wire.indexed_at)


def _refuse_repost(entry: _Entry) -> None:
    if entry.reason is None or entry.reason.type.endswith("#reasonPin"):
        return
    if entry.reason.type.endswith("#reasonRepost"):
        raise ValueError("a repost of another post")
    raise ValueError(f"reason.$type: in the feed for an unknown reason, {entry.reason.type[:80]}")


def _uri(raw: Any) -> str | None:
    match raw:
        case {"post": {"uri": str(uri)}}:
            return uri
    return None
