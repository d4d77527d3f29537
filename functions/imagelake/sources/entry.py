"""An entry of an RSS, Atom or JSON feed, and the post that it becomes."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources import wire
from imagelake.sources.contract import Feed
from imagelake.sources.signatures import is_signed, without_signature

_MAX_URL = 8192

_STATED_KINDS: tuple[MediaKind, ...] = ("image", "video", "audio")
_SUFFIXES: dict[str, MediaKind] = {
    **dict.fromkeys((".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".heic", ".bmp", ".tif", ".tiff"), "image"),
    **dict.fromkeys((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".ogv"), "video"),
    **dict.fromkeys((".mp3", ".m4a", ".ogg", ".oga", ".opus", ".flac", ".wav"), "audio"),
}


@dataclass(frozen=True)
class Enclosure:
    """One media file of an entry; ``url`` is absolute, or ``None`` if the entry gives none."""

    url: str | None
    kind: MediaKind
    alt_text: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class Entry:
    """Facts that every format can state; ``title`` and ``body`` are plain text."""

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
    """Build the post. If the entry has no id, its link is the id, or else a digest of its text and media.

    A signature in a URL is no part of an id, because it changes each day.
    """
    feed_url = feed.account or ""
    text = "\n\n".join(dict.fromkeys(filter(None, [entry.title, entry.body])))
    media_urls = [without_signature(enclosure.url or "") for enclosure in entry.enclosures]
    post_id = entry.guid or entry.link or _digest(text, *media_urls)
    if is_signed(post_id):
        post_id = without_signature(post_id)
    host = urlsplit(feed_url).hostname or "feed"
    enclosures = _without_repeats(entry.enclosures)
    return Post(
        post_id=post_id,
        # Two feeds may give one name to different authors.
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
                media_id=f"rss/{_digest(feed_url, post_id, name)}",
                index=index,
                kind=enclosure.kind,
                url=enclosure.url,
                alt_text=enclosure.alt_text,
                width=enclosure.width,
                height=enclosure.height,
            )
            for index, (enclosure, name) in enumerate(zip(enclosures, _names(enclosures), strict=True))
        ],
    )


def moment(text: str) -> datetime:
    """Read a time in RFC 822 or ISO 8601, which feeds of all formats mix; UTC if it has no known time zone."""
    try:
        text = parsedate_to_datetime(text).isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):  # the errors of email.utils
        text = text.strip()
    try:
        return wire.moment(text)
    except ValueError as error:
        raise ValueError(f"date: {error}") from None


def absolute(base: str, url: str | None) -> str | None:
    """Resolve a URL against its base; return ``None`` if it is missing or empty."""
    stripped = (url or "").strip()
    if len(stripped) > _MAX_URL:
        raise ValueError(f"a URL is longer than {_MAX_URL} characters")
    return urljoin(base, stripped) if stripped else None


def kind(mime: str | None, url: str | None, medium: str | None = None) -> MediaKind:
    """Return the kind of a file by its stated type, or else by its URL; Transform later checks the bytes."""
    for stated in ((mime or "").partition("/")[0], medium or ""):
        for known in _STATED_KINDS:
            if stated.strip().lower() == known:
                return known
    return _SUFFIXES.get(PurePosixPath(urlsplit(url or "").path).suffix.lower(), "unknown")


def _without_repeats(enclosures: list[Enclosure]) -> list[Enclosure]:
    """Keep one enclosure per URL: a feed may state one file in several elements."""
    unique: dict[str, Enclosure] = {}
    for index, enclosure in enumerate(enclosures):
        unique.setdefault(enclosure.url or f" {index}", enclosure)
    return list(unique.values())


def _names(enclosures: list[Enclosure]) -> list[str]:
    """Name each file of an entry by its URL without a signature, and number files that have the same name then.

    So two images stay two, even if only a parameter tells them apart that looks like a signature.
    """
    names: list[str] = []
    seen = Counter[str]()
    for index, enclosure in enumerate(enclosures):
        name = without_signature(enclosure.url) if enclosure.url else str(index)
        names.append(f"{name}\n{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:40]
