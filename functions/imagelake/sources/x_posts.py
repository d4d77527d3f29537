"""Posts of X: the objects that its API returns, and the posts that they become."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AliasChoices, Field

from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources.entry import kind
from imagelake.sources.wire import DECISIVE, Flag, Moment, Pixels, WireModel, read_media, skipped

_PHOTO = re.compile(r"https://pbs\.twimg\.com/media/([\w-]+)\.(jpg|jpeg|png|webp)")

_KINDS: Mapping[str, MediaKind] = {"photo": "image", "video": "video", "animated_gif": "animation"}
_NOT_DELIVERED = "x did not deliver this media item"
_NO_URL = "x gives no URL for this photo"


class _Hashtag(WireModel):
    tag: str


class _Entities(WireModel):
    hashtags: list[_Hashtag] | None = None


class _Note(WireModel):
    text: str
    entities: _Entities | None = None


class _Attachments(WireModel):
    media_keys: Annotated[list[Any] | None, DECISIVE] = None


class _Reference(WireModel):
    type: str


class WirePost(WireModel):
    id: str = Field(pattern=r"^[0-9]{1,19}$")
    text: str = ""
    author_id: str | None = None
    created_at: Moment | None = None
    attachments: Annotated[_Attachments | None, DECISIVE] = None
    possibly_sensitive: Flag = False
    entities: _Entities | None = None
    # It names the countries; any value means that the post is withheld.
    withheld: Any = None
    references: Annotated[list[_Reference] | None, DECISIVE] = Field(
        default=None, validation_alias=AliasChoices("referenced_posts", "referenced_tweets")
    )
    note: _Note | None = Field(default=None, validation_alias=AliasChoices("note_post", "note_tweet"))


class _Media(WireModel):
    type: str | None = None
    url: str | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    alt_text: str | None = None


def to_post(wire: WirePost, media: dict[str, Any], users: dict[str, Any]) -> Post:
    """Build the post; ``media`` and ``users`` are the objects beside the posts, by key and by id."""
    if wire.withheld is not None:
        raise ValueError("withheld by the network")
    if any(reference.type in ("retweeted", "reposted") for reference in wire.references or []):
        raise ValueError("a repost of another post")
    user = users.get(wire.author_id or "", {})
    name = user.get("name") or user.get("username")
    keys = (wire.attachments and wire.attachments.media_keys) or []
    return Post(
        post_id=wire.id,
        author_id=wire.author_id or "unknown",
        author_name=name if isinstance(name, str) else None,
        permalink=f"https://x.com/i/status/{wire.id}",
        posted_at=posted_at(wire),
        # The network escapes ampersands and angle brackets.
        text=html.unescape((wire.note or wire).text),
        tags=list(dict.fromkeys(_tags(wire))),
        sensitive=wire.possibly_sensitive,
        media=read_media(
            {str(key): key for key in keys}.values(), lambda key, index: _media(key, index, media), f"x/{wire.id}"
        ),
    )


def posted_at(wire: WirePost) -> datetime:
    """Return the time of the post, or else that in its id: milliseconds since November 2010, above 22 other bits."""
    return wire.created_at or datetime.fromtimestamp(((int(wire.id) >> 22) + 1288834974657) / 1000, UTC)


def _tags(wire: WirePost) -> Iterator[str]:
    for entities in (wire.entities, wire.note and wire.note.entities):
        yield from (hashtag.tag for hashtag in (entities and entities.hashtags) or [])


def _media(key: Any, index: int, media: Mapping[str, Any]) -> Media:
    if not isinstance(key, str) or not key:
        raise ValueError("the media key has to be text")
    if key not in media:
        return skipped(f"x/{key}", index, _NOT_DELIVERED)
    wire = _Media.model_validate(media[key])
    # Only photos have a URL.
    stated = _KINDS.get(wire.type, "unknown") if wire.type else kind(None, wire.url)
    url = _large(wire.url) if stated == "image" and wire.url else None
    return Media(
        media_id=f"x/{key}",
        index=index,
        kind=stated,
        url=url,
        alt_text=wire.alt_text or None,
        width=wire.width,
        height=wire.height,
        skip_reason=_NO_URL if stated == "image" and url is None else None,
    )


def _large(url: str) -> str:
    """Return the URL of the large size of a photo; X gives that of the medium size."""
    match = _PHOTO.fullmatch(url)
    return f"https://pbs.twimg.com/media/{match[1]}?format={match[2]}&name=large" if match else url


def remove_unused(body: bytes) -> bytes:
    """Remove media, authors, errors and ids from a page to which none of its posts refers."""
    page = json.loads(body)
    posts = json.dumps(page["data"])

    def is_used(entry: Any) -> bool:
        names = ("media_key", "id", "resource_id", "value")
        return isinstance(entry, dict) and any(json.dumps(entry[name]) in posts for name in names if name in entry)

    includes = page.get("includes")
    for part in (page, includes):
        for name in ("errors", "media", "users", "posts", "tweets"):
            if isinstance(part, dict) and isinstance(part.get(name), list):
                part[name] = [entry for entry in part[name] if is_used(entry)]
    if isinstance(page.get("meta"), dict):
        page["meta"] = {name: page["meta"][name] for name in page["meta"] if not name.endswith("est_id")}
    return json.dumps(page, ensure_ascii=False).encode()
