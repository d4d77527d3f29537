"""Posts of Bluesky: the objects that its API returns, and the posts that they become."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from pydantic import Field

from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources.wire import Moment, WireModel

_POST_URI = re.compile(r"at://(did:[a-z]+:[a-zA-Z0-9._:%-]+)/app\.bsky\.feed\.post/([a-zA-Z0-9._:~-]+)")

_SENSITIVE = frozenset({"porn", "sexual", "nudity", "graphic-media", "!warn"})
# With these labels an author or a moderator hides a post from readers without a login, such as us.
_HIDDEN = frozenset({"!hide", "!no-unauthenticated"})


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


class WirePost(WireModel):
    uri: str
    author: _Author
    record: _Record
    indexed_at: Moment = Field(alias="indexedAt")
    labels: list[_Label] | None = None
    embed: dict[str, Any] | None = None


class _Reason(WireModel):
    type: str = Field(alias="$type")


class WireEntry(WireModel):
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


def to_post(wire: WirePost) -> Post:
    """Build the post; raise ``ValueError`` if it may not be shown."""
    match = _POST_URI.fullmatch(wire.uri)
    if match is None:
        raise ValueError("uri: not the URI of a post")
    did, key = match.groups()
    labels = _labels(wire)
    if hidden := sorted(labels & _HIDDEN):
        raise ValueError(f"labeled {' and '.join(hidden)}: hidden from signed-out readers")
    return Post(
        post_id=wire.uri,
        author_id=did,
        author_name=wire.author.display_name or wire.author.handle,
        permalink=f"https://bsky.app/profile/{did}/post/{key}",
        posted_at=sort_time(wire),
        text=wire.record.text,
        tags=_tags(wire.record),
        sensitive=bool(labels & _SENSITIVE),
        # ``aspectRatio`` is a ratio and not a size in pixels, so width and height are unknown.
        media=[
            Media(media_id=f"bluesky/{did}/{key}/{index}", index=index, kind=kind, url=url, alt_text=alt or None)
            for index, (kind, url, alt) in enumerate(_media(wire.embed))
        ],
    )


def _media(embed: dict[str, Any] | None) -> list[tuple[MediaKind, str | None, str | None]]:
    """Return kind, URL and description of the author's own media, without those of a quoted post or a link card."""
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
        raise ValueError("fullsize: an image without a URL")
    return "image", view.fullsize, view.alt


def _labels(wire: WirePost) -> set[str]:
    """Return the labels of the post and of its author; a later negative label withdraws an earlier one."""
    in_force: set[tuple[str, str, str]] = set()
    for label in sorted([*(wire.labels or []), *(wire.author.labels or [])], key=lambda label: label.cts):
        change = in_force.discard if label.neg else in_force.add
        change((label.src, label.uri, label.val))
    own = wire.record.labels.values if wire.record.labels else []
    return {val for _, _, val in in_force} | {label.val for label in own}


def _tags(record: _Record) -> list[str]:
    inline = [feature.tag for facet in record.facets or [] for feature in facet.features if feature.tag]
    return list(dict.fromkeys([*inline, *(record.tags or [])]))


def sort_time(wire: WirePost) -> datetime:
    """Return the time by which Bluesky sorts: ``createdAt``, which authors choose, but at most the time of indexing."""
    return min(wire.record.created_at, wire.indexed_at)


def refuse_repost(entry: WireEntry) -> None:
    """Raise ``ValueError`` unless the entry is the account's own post."""
    if entry.reason is None or entry.reason.type.endswith("#reasonPin"):
        return
    if entry.reason.type.endswith("#reasonRepost"):
        raise ValueError("a repost of another post")
    raise ValueError(f"reason.$type: unknown reason to be in the feed: {entry.reason.type[:80]}")
