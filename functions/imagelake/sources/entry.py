"""An entry of an RSS, Atom or JSON feed, and the post that it becomes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from urllib.parse import urljoin, urlsplit

from imagelake.run.posts import MAX_AUTHOR_ID, Media, MediaKind, Post
from imagelake.sources.contract import Feed
from imagelake.sources.hashtags import without_sign
from imagelake.sources.signatures import is_signed, without_signature

_MAX_URL = 8192
# Control characters, and halves of characters.
_NOT_IN_ID = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
# https://url.spec.whatwg.org/#url-parsing removes them at both ends.
_C0_CONTROLS_AND_SPACE = "".join(map(chr, range(0x21)))

_STATED_KINDS: tuple[MediaKind, ...] = ("image", "video", "audio")
_KINDS: Mapping[MediaKind, str] = {
    "image": ".jpg .jpeg .jpe .jfif .pjpeg .png .gif .webp .avif .heic .bmp .tif .tiff",
    "video": ".mp4 .m4v .mov .webm .mkv .ogv .avi .flv .mpeg .mpg .wmv .m3u8 .3gp",
    "audio": ".mp3 .m4a .ogg .oga .opus .flac .wav .aac .aif .aiff .wma .mid",
    "unknown": ".7z .apk .css .csv .dmg .doc .docx .epub .exe .gz .htm .html .ics .iso .js .json .mobi .odt .pdf .ppt"
    " .pptx .rar .srt .swf .tar .torrent .txt .vtt .xls .xlsx .xml .zip",
}
_SUFFIXES = {suffix: name for name, suffixes in _KINDS.items() for suffix in suffixes.split()}
# Types that say nothing: https://mimesniff.spec.whatwg.org/#determining-the-computed-mime-type-of-a-resource, and those
# of any bytes.
_UNKNOWN_TYPES = frozenset(
    {"", "unknown/unknown", "application/unknown", "*/*", "application/octet-stream", "binary/octet-stream"}
)


@dataclass(frozen=True)
class Enclosure:
    """One media file of an entry; ``url`` is absolute, or ``None`` if the entry gives none that can be used."""

    url: str | None
    kind: MediaKind
    alt_text: str | None = None
    width: int | None = None
    height: int | None = None
    skip_reason: str | None = None


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
    post_id = _id(entry.guid) or _id(entry.link) or _digest(text, *media_urls)
    if is_signed(post_id):
        post_id = without_signature(post_id)
    host = urlsplit(feed_url).hostname or "feed"
    return Post(
        post_id=post_id,
        author_id=_author_id(host, entry.author_uri, entry.author_name),
        author_name=entry.author_name,
        permalink=entry.link,
        posted_at=entry.posted_at,
        text=text,
        tags=list(dict.fromkeys(filter(None, (without_sign(tag.strip()) for tag in entry.tags)))),
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
                skip_reason=enclosure.skip_reason,
            )
            for index, (enclosure, name) in enumerate(zip(entry.enclosures, _names(entry.enclosures), strict=True))
        ],
    )


def _id(text: str | None) -> str:
    """Return an id without the characters that a request to erase cannot have."""
    return _NOT_IN_ID.sub(" ", text or "").strip()


def _author_id(host: str, uri: str | None, name: str | None) -> str:
    """Return the URL of the author, or else the name behind the host: two feeds may give one name to different ones."""
    uri, name = _id(uri), _id(name)
    author_id = uri or (f"{host}/{name}" if name else host)
    return author_id if len(author_id) <= MAX_AUTHOR_ID else f"{host}/sha256-{_digest(author_id)}"


def absolute(base: str, url: str | None) -> str | None:
    """Resolve a URL against its base; return ``None`` if it is missing, empty or cannot be used."""
    try:
        return resolved(base, url)
    except ValueError:
        return None


def resolved(base: str, url: str | None) -> str | None:
    """Resolve a URL against its base; return ``None`` if it is missing or empty, raise ``ValueError`` if it is wrong.

    The error is a reason to skip a media item, so it is the same for all URLs.
    """
    stripped = (url or "").strip(_C0_CONTROLS_AND_SPACE)
    if stripped[:5].lower() == "data:":
        raise ValueError("its URL is a data: URL")
    if len(stripped) > _MAX_URL:
        raise ValueError(f"its URL is longer than {_MAX_URL:,} characters")
    try:
        return urljoin(base, stripped) if stripped else None
    except ValueError:
        raise ValueError("its URL is not a valid one") from None


def kind(mime: str | None, url: str | None, medium: str | None = None) -> MediaKind:
    """Return the kind of a file by its stated type, or else by its URL.

    If neither says anything it is an image, because Transform checks the bytes.
    """
    stated = (mime or "").partition(";")[0].strip().lower()
    for text in (stated.partition("/")[0], (medium or "").strip().lower()):
        for known in _STATED_KINDS:
            if text == known:
                return known
    suffix = _suffix(url)
    # Some sites write only the end of a type, such as jpg.
    for name in (suffix, f".{stated}"):
        if name in _SUFFIXES:
            return _SUFFIXES[name]
    says_nothing = stated in _UNKNOWN_TYPES and not medium
    return "image" if says_nothing and url else "unknown"


def _suffix(url: str | None) -> str:
    try:
        return PurePosixPath(urlsplit(url or "").path).suffix.lower()
    except ValueError:
        return ""


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
