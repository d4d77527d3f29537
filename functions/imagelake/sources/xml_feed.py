"""Turn the entries of RSS 2.0, RSS 1.0 and Atom, with Media RSS, into posts.

The media of a post are the files that its entry attaches: ``media:content``, ``enclosure``, and in Atom also enclosure
links and ``content`` with a ``src``. A ``media:group`` is one image in several renditions. A ``media:thumbnail`` is
used only if nothing else is attached. Images inside the text are not used: they may be icons, emoji or counters.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import groupby
from typing import Any

from imagelake.run.posts import MediaKind, Post
from imagelake.sources.contract import Feed, Reject
from imagelake.sources.dates import first_moment
from imagelake.sources.entry import Enclosure, Entry, absolute, kind, post, resolved
from imagelake.sources.feed_document import Document
from imagelake.sources.plain_text import plain_text
from imagelake.sources.renditions import largest_of_each, spelled
from imagelake.sources.wire import read_entries

_TIMES = ("published", "created", "updated")
_FEED_TIMES = ("updated", "published", "created")

# https://www.rfc-editor.org/rfc/rfc4287#section-4.2.7.2
_RELATIONS = "http://www.iana.org/assignments/relation/"

# These patterns take quadratic time, so a longer name is not searched.
_MAX_NAME = 1_000
_EMAIL = re.compile(r"\S+@\S+")
# RSS names an author by email: jane@example.org (Jane Doe)
_EMAIL_AND_NAME = re.compile(r"\S+@\S+\s+\((?P<name>[^()]+)\)")


def read_items(feed: Feed, document: Document) -> tuple[list[Post], list[Reject], bool]:
    """Return the posts, a reject with the reason for each entry that cannot be one, and if a date was not readable."""
    odd_dates: list[str] = []

    def read(entry: dict[str, Any]) -> Post:
        if entry.get("unfinished"):
            raise ValueError("the feed ends inside this entry")
        try:
            return post(feed, _entry(entry, document, odd_dates))
        except (AttributeError, LookupError, TypeError) as error:
            # feedparser can put a value of another type under a key; that must not cost the other entries.
            raise ValueError(f"the entry has an element of an unknown form ({type(error).__name__})") from error

    posts, rejects = read_entries(feed, document.entries, read, _guid)
    if document.unreadable:
        text = f"{document.unreadable} entries are not readable, because the feed is not well-formed XML"
        rejects.append(Reject(None, text))
    return posts, rejects, bool(odd_dates)


def next_page(document: Document) -> str | None:
    """Return the URL of older entries (RFC 5005), if the feed has one: the next page, or the archive before."""
    links = _links(document.about, "next") + _links(document.about, "prev-archive")
    return next((link.get("href") or None for link in links), None)


def _entry(entry: dict[str, Any], document: Document, odd_dates: list[str]) -> Entry:
    about, is_atom = document.about, document.is_atom
    name, uri = _author(entry) or _author(about) or (None, None)
    bodies = [entry.get("summary_detail"), *entry.get("content", [])]
    texts = [*(_prose(body, is_atom) for body in bodies), _prose(entry.get("media_description_detail"), True)]
    return Entry(
        guid=_guid(entry),
        link=_link(entry),
        posted_at=_posted_at(entry, about, odd_dates),
        title=_prose(entry.get("title_detail"), is_atom),
        body=next(filter(None, texts), ""),
        author_name=name,
        author_uri=absolute("", uri),
        tags=[tag.get("term") or tag.get("label") or "" for tag in entry.get("tags", [])],
        sensitive=bool(entry.get("adult") or about.get("adult")),
        license=_license(entry, is_atom) or _license(about, is_atom),
        enclosures=_enclosures(entry),
    )


def _guid(entry: dict[str, Any]) -> str | None:
    ids = (entry.get("id"), entry.get("dc_identifier"))
    return next((guid for guid in ids if guid and isinstance(guid, str)), None)


def _posted_at(entry: dict[str, Any], about: dict[str, Any], odd_dates: list[str]) -> datetime:
    """Return the entry's time, or else the time of the feed, which is not before that of any of its entries.

    A time that cannot be read is added to ``odd_dates`` and counts as missing.
    """
    # feedparser ignores an end that it does not understand, such as PM, so this reads the texts.
    posted_at = first_moment([*map(entry.get, _TIMES), *map(about.get, _FEED_TIMES)], odd_dates)
    if posted_at is None:
        raise ValueError("neither the entry nor the feed has a date")
    return posted_at


def _link(entry: dict[str, Any]) -> str | None:
    for link in _links(entry, "alternate"):
        if url := absolute("", link.get("href")):
            return url
    guid = entry.get("id", "")
    return absolute("", guid) if entry.get("guidislink") and guid.startswith("http") else None


def _links(element: dict[str, Any], relation: str) -> list[dict[str, Any]]:
    return [link for link in element.get("links", []) if _relation(link) == relation]


def _relation(link: dict[str, Any]) -> str:
    """Return the name of a relation, which can also be written as an IRI."""
    return (link.get("rel") or "").strip().lower().removeprefix(_RELATIONS)


def _author(element: dict[str, Any]) -> tuple[str | None, str | None] | None:
    """Return name and URL of the first author; an author with only an email address is the last choice."""
    authors = [(author.get("name") or None, author.get("href") or None) for author in element.get("authors", [])]
    known = [(name, url) for name, url in authors if name or url]
    name, url = min(known, key=lambda author: _matches(_EMAIL, author[0]) is not None, default=(None, None))
    match = _matches(_EMAIL_AND_NAME, name)
    return (match["name"].strip() if match else name, url) if known else None


def _matches(pattern: re.Pattern[str], name: str | None) -> re.Match[str] | None:
    return pattern.fullmatch(name) if name and len(name) <= _MAX_NAME else None


def _license(element: dict[str, Any], is_atom: bool) -> str | None:
    """Return the URL or name of the license, or else the text about rights."""
    licenses = [link.get("href") for link in _links(element, "license")]
    return next(filter(None, [*licenses, _prose(element.get("rights_detail"), is_atom)]), None)


def _enclosures(entry: dict[str, Any]) -> list[Enclosure]:
    files = entry.get("media_content", [])
    grouped = [file for file in files if file["group"] is not None]
    groups = [list(group) for _, group in groupby(grouped, key=lambda file: file["group"])]
    chosen = [_enclosure(_best(group)) for group in groups]
    # A size of an image that is chosen from a group is no second image.
    sizes = {
        spelled(file.url)
        for group, best in zip(groups, chosen, strict=True)
        for file in map(_enclosure, group)
        if best.url and file.url and file.kind == "image"
    }
    single, links, contents = (
        [file for file in map(_enclosure, element) if not _is_one_of(sizes, file)]
        for element in (
            [file for file in files if file["group"] is None],
            _links(entry, "enclosure"),
            [content for content in entry.get("content", []) if content.get("src")],
        )
    )
    media = chosen + single
    if not (media or links or contents) and (thumbnails := entry.get("media_thumbnail")):
        media = [_enclosure(max(thumbnails, key=_area) | {"medium": "image"})]
    return largest_of_each(media, links, contents)


def _is_one_of(sizes: set[str], file: Enclosure) -> bool:
    return file.kind == "image" and file.url is not None and spelled(file.url) in sizes


def _best(group: list[dict[str, Any]]) -> dict[str, Any]:
    """Return an image rather than another file; of these, the default rendition, or else the largest one."""
    return max(
        group, key=lambda file: (_kind(file, file.get("url")) == "image", file.get("isdefault") == "true", _area(file))
    )


def _enclosure(file: dict[str, Any]) -> Enclosure:
    written = file.get("url") or file.get("href") or file.get("src")
    url, skip_reason = None, None
    try:
        url = resolved(file.get("base") or "", written)
    except ValueError as error:
        skip_reason = str(error)
    return Enclosure(
        url,
        _kind(file, url),
        alt_text=_prose(file.get("description"), True) or None,
        width=_pixels(file.get("width")),
        height=_pixels(file.get("height")),
        skip_reason=skip_reason,
    )


def _kind(file: dict[str, Any], url: str | None) -> MediaKind:
    return kind(file.get("type"), url, file.get("medium") or ("video" if file.get("player") else None))


def _area(file: dict[str, Any]) -> int:
    return (_pixels(file.get("width")) or 0) * (_pixels(file.get("height")) or 1)


def _pixels(text: str | None) -> int | None:
    stated = (text or "").strip()
    return int(stated) or None if stated.isascii() and stated.isdecimal() and len(stated) < 8 else None


def _prose(detail: dict[str, Any] | None, trust_type: bool) -> str:
    """Return the plain text of an element. RSS can have HTML in any text, so do not trust a type stated there."""
    value, stated = (detail or {}).get("value", ""), (detail or {}).get("type", "")
    if stated == "text/plain" and trust_type:
        return str(value)
    if stated in ("text/plain", "text/html", "application/xhtml+xml"):
        # feedparser writes an end tag for every element of XHTML, and </br> would be a second line break.
        return plain_text(value.replace("</br>", ""))
    return ""
