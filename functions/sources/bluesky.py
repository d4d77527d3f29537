"""Bluesky: the image posts of an account, from the public AppView, without a login."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from shared.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
)
from shared.posts import Media, MediaKind, Post
from sources.answers import Dialect, check, read_json, unix_time, window
from sources.contract import Bookmark, Feed, Page, Reject, Request, Response
from sources.origin import origin
from sources.wire import Moment, WireModel, reason

_PUBLIC_API = "https://public.api.bsky.app"
_PAGE_SIZE = 100

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


class Bluesky:
    """The adapter; ``feed.server`` replaces the public AppView."""

    name = "bluesky"
    newest_first = True
    # Only images are downloaded; video.bsky.app and video.cdn.bsky.app serve videos and their posters.
    media_hosts: frozenset[str] | None = frozenset({"cdn.bsky.app"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """One page of getAuthorFeed; there is no way to ask for what is newer than ``bookmark``."""
        if feed.account is None:
            raise BadFeedError(f"{feed.name}: Bluesky answers a hashtag search only after a login; name an account")
        actor = feed.account.removeprefix("@")
        if _ACTOR.fullmatch(actor) is None:
            raise BadFeedError(f"{feed.name}: write the whole handle, such as alice.bsky.social, or a did")
        params = {
            "actor": actor,
            "filter": "posts_with_media",
            "limit": str(min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)),
        }
        if cursor is not None:
            params["cursor"] = cursor
        return Request(
            url=f"{origin(feed, _PUBLIC_API)}/xrpc/app.bsky.feed.getAuthorFeed",
            params=params,
            headers={"accept": "application/json"},
        )

    def parse(self, feed: Feed, response: Response) -> Page:
        """A page with newest posts first; a pinned post stands where it is pinned and moves no bookmark."""
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        entries = body.get("feed") if isinstance(body, dict) else None
        if not isinstance(entries, list):
            raise SourceChangedError(f"{feed.name}: the answer has no list named feed")
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
