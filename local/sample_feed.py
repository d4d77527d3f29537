"""The sample feed in Bluesky's wire format.

The shapes are those of the lexicons ``app.bsky.feed.getAuthorFeed``, ``app.bsky.feed.defs`` and ``app.bsky.embed.*``
(https://github.com/bluesky-social/atproto/tree/main/lexicons). ``samples/feed.json`` has the posts.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from PIL import Image

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
FULL_SIZE = "/img/feed_fullsize/"
THUMBNAIL = "/img/feed_thumbnail/"

_LABELER = "did:plc:imagelakelabelservice222"
CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
_FORBIDDEN = b"<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>"

# An embed in the record, as its author wrote it, and in the view, as the network shows it.
Embed = tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Entry:
    """One entry of the listing: a post of ``feed.json``, its time, and the number of its copy of the feed."""

    post: dict[str, Any]
    posted_at: datetime
    copy: int


class SampleFeed:
    """The posts of ``samples/feed.json`` as one listing, newest first, in Bluesky's shapes.

    With ``repeat`` above 1, the posts that hold nothing but photos appear that many times. The photos of each copy have
    different bytes, so they are not duplicates.
    """

    def __init__(self, repeat: int = 1) -> None:
        sample = json.loads((SAMPLES / "feed.json").read_text("utf-8"))
        self.author: dict[str, Any] = sample["author"]
        self._friend: dict[str, Any] = sample["friend"]
        newest, step = datetime.fromisoformat(sample["newest_at"]), timedelta(hours=sample["hours_between"])
        posts = [(post, 0) for post in sample["posts"]]
        posts += [(post, copy) for copy in range(1, repeat) for post in sample["posts"] if _only_photos(post)]
        self.entries = [Entry(post, newest - position * step, copy) for position, (post, copy) in enumerate(posts)]
        self._served = {_name(image, entry.copy): image for entry in self.entries for image in _all_images(entry.post)}

    def view(self, entry: Entry, origin: str) -> dict[str, Any]:
        """The ``feedViewPost`` of an entry, with its images at ``origin``."""
        reposted = entry.post.get("repost", False)
        view = {"post": self._post_view(entry, self._friend if reposted else self.author, origin)}
        if reposted:
            view["reason"] = {
                "$type": "app.bsky.feed.defs#reasonRepost",
                "by": self.author,
                "indexedAt": iso(entry.posted_at),
            }
        return view

    def media(self, name: str) -> tuple[HTTPStatus, str, bytes] | None:
        """Status, content type and body of the image with this name, or ``None``."""
        image = self._served.get(name)
        if image is None:
            return None
        if image.get("status"):
            return HTTPStatus(image["status"]), "text/html", _FORBIDDEN
        copy = int(name.rpartition("~")[0] or 0)
        return HTTPStatus.OK, CONTENT_TYPES[Path(name).suffix], _bytes(SAMPLES / image["file"], copy)

    def _post_view(self, entry: Entry, author: dict[str, Any], origin: str) -> dict[str, Any]:
        post, at = entry.post, iso(entry.posted_at)
        record = {"$type": "app.bsky.feed.post", "createdAt": at, "text": post["text"]}
        record["langs"] = post.get("langs", ["en"])
        if facets := list(_tag_facets(post["text"])):
            record["facets"] = facets
        view: dict[str, Any] = {
            "uri": f"at://{author['did']}/app.bsky.feed.post/{_record_key(entry.posted_at)}",
            "author": author,
            "record": record,
            "replyCount": 0,
            "repostCount": int(post.get("repost", False)),
            "likeCount": len(post["text"]),
            "quoteCount": 0,
            "indexedAt": at,
            "labels": [],
        }
        embedded = self._embed(entry, origin)
        if embedded:
            record["embed"], view["embed"] = embedded
        view["cid"] = _record_cid(record)
        view["labels"] = [
            {"ver": 1, "src": _LABELER, "uri": view["uri"], "cid": view["cid"], "val": value, "cts": at}
            for value in post.get("labels", [])
        ]
        if "without" in post:
            del view[post["without"]]
        return view

    def _embed(self, entry: Entry, origin: str) -> Embed | None:
        """The embed of an entry, or ``None`` if it has neither media nor a quoted post."""
        media = _media_embed(entry, origin)
        if "quote" not in entry.post:
            return media
        # The quoted post is an hour older than the post that quotes it.
        quoted = Entry(entry.post["quote"], entry.posted_at - timedelta(hours=1), entry.copy)
        post = self._post_view(quoted, self._friend, origin)
        view_record = {key: post[key] for key in ("uri", "cid", "author", "labels", "indexedAt")}
        view_record |= {"$type": "app.bsky.embed.record#viewRecord", "value": post["record"], "embeds": []}
        if "embed" in post:
            view_record["embeds"] = [post["embed"]]
        record = {"$type": "app.bsky.embed.record", "record": {"uri": post["uri"], "cid": post["cid"]}}
        view = {"$type": "app.bsky.embed.record#view", "record": view_record}
        if media is None:
            return record, view
        kind = "app.bsky.embed.recordWithMedia"
        return (
            {"$type": kind, "record": record, "media": media[0]},
            {"$type": f"{kind}#view", "record": view, "media": media[1]},
        )


def _media_embed(entry: Entry, origin: str) -> Embed | None:
    post = entry.post
    if "images" in post:
        return _image_embed(post["images"], entry.copy, origin, "images", "images", "thumb")
    if "gallery" in post:
        return _image_embed(post["gallery"], entry.copy, origin, "gallery", "items", "thumbnail")
    if "video" in post:
        return _video_embed(post["video"], origin)
    if "link" in post:
        return _link_embed(post["link"], origin)
    return None


def _image_embed(images: list[dict[str, Any]], copy: int, origin: str, embed: str, items: str, thumb: str) -> Embed:
    kind = f"app.bsky.embed.{embed}"
    records, views = [], []
    for image in images:
        name = _name(image, copy)
        common: dict[str, Any] = {"alt": image["alt"]}
        if image.get("ratio", True) and (size := _size(SAMPLES / image["file"])):
            common["aspectRatio"] = {"width": size[0], "height": size[1]}
        records.append(common | {"image": _blob(image, copy)})
        views.append(common | {thumb: f"{origin}{THUMBNAIL}{name}", "fullsize": f"{origin}{FULL_SIZE}{name}"})
        if embed == "gallery":  # the lexicon declares its items as a union, so each names its type
            records[-1]["$type"], views[-1]["$type"] = f"{kind}#image", f"{kind}#viewImage"
    return {"$type": kind, items: records}, {"$type": f"{kind}#view", items: views}


def _video_embed(video: dict[str, Any], origin: str) -> Embed:
    kind, cid = "app.bsky.embed.video", _cid(b"no video is served", codec=0x55)
    common = {"alt": video["alt"], "aspectRatio": {"width": 16, "height": 9}}
    blob = {"$type": "blob", "ref": {"$link": cid}, "mimeType": "video/mp4", "size": 1_000_000}
    view = {
        "cid": cid,
        "playlist": f"{origin}/video/{cid}/playlist.m3u8",
        "thumbnail": f"{origin}{THUMBNAIL}{_name(video['thumb'])}",
    }
    return {"$type": kind, "video": blob} | common, {"$type": f"{kind}#view"} | view | common


def _link_embed(link: dict[str, Any], origin: str) -> Embed:
    kind = "app.bsky.embed.external"
    common = {key: link[key] for key in ("uri", "title", "description")}
    record = common | {"thumb": _blob(link["thumb"], 0)}
    view = common | {"thumb": f"{origin}{THUMBNAIL}{_name(link['thumb'])}"}
    return {"$type": kind, "external": record}, {"$type": f"{kind}#view", "external": view}


def _only_photos(post: dict[str, Any]) -> bool:
    return post.keys() <= {"text", "langs", "images", "gallery"} and all(
        image["file"].startswith("photos/") and image.keys() <= {"file", "alt", "ratio"} for image in _all_images(post)
    )


def _all_images(post: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All images of a post: its own, thumbnails, and those of the post that it quotes."""
    yield from post.get("images", post.get("gallery", []))
    for holder in ("link", "video"):
        if holder in post:
            yield post[holder]["thumb"]
    if "quote" in post:
        yield from _all_images(post["quote"])


def _name(image: dict[str, Any], copy: int = 0) -> str:
    name: str = image.get("as") or Path(image["file"]).name
    return f"{copy}~{name}" if copy else name


def _bytes(file: Path, copy: int) -> bytes:
    data = file.read_bytes()
    if not copy:
        return data
    # A comment segment after the start of image changes the bytes, not the image (ITU-T T.81, B.2.4.5).
    comment = str(copy).encode()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def _blob(image: dict[str, Any], copy: int) -> dict[str, Any]:
    file = SAMPLES / image["file"]
    cid, size = _cid_and_size(file, copy)
    return {"$type": "blob", "ref": {"$link": cid}, "mimeType": CONTENT_TYPES[file.suffix], "size": size}


@cache
def _cid_and_size(file: Path, copy: int) -> tuple[str, int]:
    data = _bytes(file, copy)
    return _cid(data, codec=0x55), len(data)


@cache
def _size(file: Path) -> tuple[int, int] | None:
    """Width and height of a photo; the network could not measure the hard cases."""
    if file.parent.name != "photos":
        return None
    with Image.open(file) as image:
        return image.size


def _cid(data: bytes, codec: int) -> str:
    """A CIDv1 with SHA-256 in base32 (https://github.com/multiformats/cid)."""
    multihash = bytes((1, codec, 0x12, 32)) + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(multihash).decode().rstrip("=").lower()


def _record_cid(record: dict[str, Any]) -> str:
    # Only the form is right: the network hashes DAG-CBOR, but no reader here checks that.
    return _cid(json.dumps(record, sort_keys=True).encode(), codec=0x71)


def _record_key(moment: datetime) -> str:
    """A TID: the time in microseconds and a clock id, base32-sortable (https://atproto.com/specs/tid)."""
    number = int(moment.timestamp()) * 1_000_000 << 10
    return "".join("234567abcdefghijklmnopqrstuvwxyz"[number >> shift & 31] for shift in range(60, -1, -5))


def _tag_facets(text: str) -> Iterator[dict[str, Any]]:
    """The hashtags of a text, with their positions in bytes of UTF-8."""
    for match in re.finditer(r"#(\w+)", text):
        start = len(text[: match.start()].encode())
        yield {
            "index": {"byteStart": start, "byteEnd": start + len(match[0].encode())},
            "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": match[1]}],
        }


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
