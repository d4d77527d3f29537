"""An entry of a feed, whatever its format, and the post it makes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import get_args
from urllib.parse import urljoin, urlsplit

from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources import wire
from imagelake.sources.contract import Feed

_MAX_ADDRESS = 8192

_SUFFIXES: dict[str, MediaKind] = {
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".heic", ".bmp", ".tif", ".tiff"), "image"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".ogv"), "video"),
    **dict.fromkeys((".mp3", ".m4a", ".ogg", ".oga", ".opus", ".flac", ".wav"), "audio"),
}


@dataclass(frozen=True)
class Enclosure:
    """One media file of an entry; ``url`` is absolute, or ``None`` where the entry names none."""

    url: str | None
    kind: MediaKind
    alt_text: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Entry:
    """What every format can say; ``title`` and ``body`` are plain text."""

    guid: str | None
    link: str | None
    posted_at: datetime
    title: str = ""
    body: str = ""
    author_name: str | None = None
    author_uri: str | None = None
    tags: list[str] = field(default_factory=list)
    sensitive: bool = False
    license: str | None = None
    enclosures: list[Enclosure] = field(default_factory=list)


def post(feed: Feed, entry: Entry) -> Post:
    """The post; an entry without an id is known by its link, one without either by what it says."""
    address = feed.account or ""
    text = "\n\n".join(dict.fromkeys(filter(None, [entry.title, entry.body])))
    addresses = [one.url or "" for one in entry.enclosures]
    post_id = entry.guid or entry.link or _digest(text, *addresses)
    host = urlsplit(address).hostname or "feed"
    return Post(
        post_id=post_id,
        # A name is known to its feed only.
        author_id=entry.author_uri or (f"{host}/{entry.author_name}" if entry.author_name else host),
        author_name=entry.author_name,
        permalink=entry.link,
        posted_at=entry.posted_at,
        text=text,
        tags=list(dict.fromkeys(filter(None, (tag.strip().removeprefix("#") for tag in entry.tags)))),
        sensitive=entry.sensitive,
        license=entry.license,
        media=[
            Media(
                media_id=f"rss/{_digest(address, post_id, one.url or str(index))}",
                index=index,
                kind=one.kind,
                url=one.url,
                alt_text=one.alt_text,
                width=one.width,
                height=one.height,
            )
            for index, one in enumerate(_each_once(entry.enclosures))
        ],
    )


def moment(text: str) -> datetime:
    """A time as RFC 822 or ISO 8601 writes it, both in feeds of every format; UTC where it names no zone we know."""
    try:
        text = parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):  # what comes out of email.utils
        text = text.strip()
    try:
        return wire.moment(text)
    except ValueError as error:
        raise ValueError(f"date: {error}") from None


def absolute(base: str, address: str | None) -> str | None:
    """The address in full, or ``None`` if it is missing or empty."""
    found = (address or "").strip()
    if len(found) > _MAX_ADDRESS:
        raise ValueError(f"an address is longer than {_MAX_ADDRESS} characters")
    return urljoin(base, found) if found else None


def kind(mime: str | None, url: str | None, medium: str | None = None) -> MediaKind:
    """What a file is, by the type stated for it, else by its address; the bytes have the last word, later."""
    for stated in ((mime or "").partition("/")[0], medium or ""):
        found = stated.strip().lower()
        if found in ("image", "video", "audio"):
            return next(one for one in get_args(MediaKind) if one == found)
    return _SUFFIXES.get(PurePosixPath(urlsplit(url or "").path).suffix.lower(), "unknown")


def _each_once(enclosures: list[Enclosure]) -> list[Enclosure]:
    """The same address in two of a format's places is one file."""
    kept: dict[str, Enclosure] = {}
    for place, one in enumerate(enclosures):
        kept.setdefault(one.url or f" {place}", one)
    return list(kept.values())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]
