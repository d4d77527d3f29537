"""Posts of Bluesky: the objects that its API returns, and the posts that they become."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources.wire import DECISIVE, Moment, WireModel, read_media

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
    text: str = ""
    created_at: Moment | None = Field(default=None, alias="createdAt")
    facets: list[_Facet] | None = None
    tags: list[str] | None = None
    labels: Annotated[_SelfLabels | None, DECISIVE] = None


class _Author(WireModel):
    handle: str | None = None
    display_name: str | None = Field(default=None, alias="displayName")
    labels: Annotated[list[_Label] | None, DECISIVE] = None


class WirePost(WireModel):
    uri: str
    author: _Author
    record: _Record
    indexed_at: Moment = Field(alias="indexedAt")
    labels: Annotated[list[_Label] | None, DECISIVE] = None
    embed: Annotated[dict[str, Any] | None, DECISIVE] = None


class _Reason(WireModel):
    type: str = Field(alias="$type")


class WireEntry(WireModel):
    post: dict[str, Any]
    reason: Annotated[_Reason | None, DECISIVE] = None


class _ViewImage(WireModel):
    type: str = Field(default="#viewImage", alias="$type")
    fullsize: str | None = None
    alt: str | None = None


class _Images(WireModel):
    images: list[Any]


class _Gallery(WireModel):
    items: list[Any]


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
        author_name=wire.author.display_name or wire.author.handle or None,
        permalink=f"https://bsky.app/profile/{did}/post/{key}",
        posted_at=sort_time(wire),
        text=wire.record.text,
        tags=_tags(wire.record),
        sensitive=bool(labels & _SENSITIVE),
        media=_media(wire.embed, f"bluesky/{did}/{key}"),
    )


def _media(embed: dict[str, Any] | None, post: str) -> list[Media]:
    """Return the author's own media, without those of a quoted post or a link card."""
    match embed:
        case None | {"$type": "app.bsky.embed.external#view" | "app.bsky.embed.record#view"}:
            return []
        case {"$type": "app.bsky.embed.images#view"}:
            return read_media(_Images.model_validate(embed).images, lambda raw, index: _image(raw, index, post), post)
        case {"$type": "app.bsky.embed.gallery#view"}:
            return read_media(_Gallery.model_validate(embed).items, lambda raw, index: _image(raw, index, post), post)
        case {"$type": "app.bsky.embed.video#view"}:
            alt = _Video.model_validate(embed).alt
            return [Media(media_id=f"{post}/0", index=0, kind="video", url=None, alt_text=alt or None)]
        case {"$type": "app.bsky.embed.recordWithMedia#view"}:
            return _media(_RecordWithMedia.model_validate(embed).media, post)
        case {"$type": str()}:
            return [Media(media_id=f"{post}/0", index=0, kind="unknown", url=None)]
        case _:
            raise ValueError("embed.$type: missing or not a string")


def _image(raw: Any, index: int, post: str) -> Media:
    """Read an image; ``aspectRatio`` is a ratio and not a size in pixels, so width and height are unknown."""
    view = _ViewImage.model_validate(raw)
    kind: MediaKind = "image" if view.type.endswith("#viewImage") else "unknown"
    url = view.fullsize or None if kind == "image" else None
    return Media(media_id=f"{post}/{index}", index=index, kind=kind, url=url, alt_text=view.alt or None)


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
    """Return the time by which Bluesky sorts: ``createdAt``, which authors choose, but at most the time of indexing.

    If ``createdAt`` cannot be read, it is the time of indexing.
    """
    return min(wire.record.created_at or wire.indexed_at, wire.indexed_at)


def refuse_repost(entry: WireEntry) -> None:
    """Raise ``ValueError`` unless the entry is the account's own post."""
    if entry.reason is None or entry.reason.type.endswith("#reasonPin"):
        return
    if entry.reason.type.endswith("#reasonRepost"):
        raise ValueError("a repost of another post")
    raise ValueError(f"reason.$type: unknown reason to be in the feed: {entry.reason.type[:80]}")
