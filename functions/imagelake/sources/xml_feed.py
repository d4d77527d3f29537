"""RSS 2.0, RSS 1.0 and Atom, with Media RSS: their entries as posts.

What a feed attaches is its picture: ``media:content``, ``enclosure``, Atom's enclosure links and content by reference.
A ``media:group`` is one picture in several renditions. A ``media:thumbnail`` counts where nothing else is attached.
Pictures inside the text do not: they cannot be told from icons, emoji and counters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urljoin
from xml.etree.ElementTree import Element, tostring

from imagelake.run.posts import MediaKind, Post
from imagelake.sources.contract import Feed, Reject
from imagelake.sources.entry import Enclosure, Entry, absolute, kind, moment, post
from imagelake.sources.plain_text import plain_text
from imagelake.sources.wire import reason

PREFIXES = {
    "http://www.w3.org/XML/1998/namespace": "xml:",
    "http://www.w3.org/1999/xhtml": "",
    "http://purl.org/rss/1.0/": "",
    "http://backend.userland.com/rss2": "",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf:",
    "http://www.w3.org/2005/Atom": "atom:",
    "http://search.yahoo.com/mrss/": "media:",
    "http://search.yahoo.com/mrss": "media:",
    "http://purl.org/rss/1.0/modules/content/": "content:",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/dc/terms/": "dcterms:",
    "http://backend.userland.com/creativeCommonsRssModule": "cc:",
    "http://web.resource.org/cc/": "cc:",
    "http://creativecommons.org/ns#": "cc:",
}

_GUIDS = ("guid", "atom:id", "dc:identifier")
_TIMES = (
    "pubDate",
    "atom:published",
    "dcterms:created",
    "dcterms:issued",
    "dc:date",
    "atom:updated",
    "dcterms:modified",
)
_FEED_TIMES = ("lastBuildDate", *_TIMES)
_BODIES = ("description", "atom:summary", "content:encoded", "atom:content", "media:description")
_LICENSES = ("cc:license", "media:license")
_RIGHTS = ("dc:rights", "dcterms:rights", "atom:rights", "media:copyright", "copyright")

# RSS has authors by mail address: jane@example.org (Jane Doe)
_MAIL_AUTHOR = re.compile(r"\S+@\S+\s+\((?P<name>[^()]+)\)")


class Document(NamedTuple):
    """A feed: the element with what is said of it as a whole, its entries, and the base of relative addresses."""

    about: Element
    entries: list[Element]
    base: str


def document(root: Element, url: str) -> Document | None:
    """The feed in ``root``, or ``None`` if it is something else."""
    base = urljoin(url, root.get("xml:base", ""))
    channel = next(_children(root, "channel"), None)
    match root.tag:
        case "rss" if channel is not None:
            return Document(channel, list(_children(channel, "item")), urljoin(base, channel.get("xml:base", "")))
        case "rdf:RDF" if channel is not None:
            return Document(channel, list(_children(root, "item")), base)
        case "atom:feed":
            return Document(root, list(_children(root, "atom:entry")), base)
    return None


def posts(feed: Feed, found: Document) -> Iterator[Post | Reject]:
    """Every entry, as a post or with the reason why it is none."""
    for item in found.entries:
        try:
            yield post(feed, _entry(item, found.about, urljoin(found.base, item.get("xml:base", ""))))
        except ValueError as error:
            yield Reject(_text(item, *_GUIDS), reason(error), tostring(item, encoding="unicode"))


def next_page(found: Document) -> str | None:
    """The address of older entries (RFC 5005), as the feed states it."""
    for link in _children(found.about, "atom:link"):
        if link.get("rel") == "next":
            with suppress(ValueError):
                return absolute(found.base, link.get("href"))
    return None


def _entry(item: Element, about: Element, base: str) -> Entry:
    name, uri = _author(item)
    if name is None and uri is None:
        name, uri = _author(about)
    return Entry(
        guid=_text(item, *_GUIDS),
        link=_link(item, base),
        posted_at=_posted_at(item, about),
        title=next((_prose(title) for title in _children(item, "title", "atom:title", "media:title")), ""),
        body=next(filter(None, (_prose(body) for body in _children(item, *_BODIES))), ""),
        author_name=name,
        author_uri=absolute(base, uri),
        tags=_tags(item),
        sensitive=_is_adult([*item.iter("media:rating"), *_children(about, "media:rating")]),
        license=_license(item, base) or _license(about, base),
        enclosures=_enclosures(item, base),
    )


def _posted_at(item: Element, about: Element) -> datetime:
    """The entry's time; for an entry that has none, as RSS allows, the feed's: it is not younger than that."""
    written = next(_texts(item, *_TIMES), None) or next(_texts(about, *_FEED_TIMES), None)
    if written is None:
        raise ValueError("no date, neither of the entry nor of the feed")
    return moment(written)


def _link(item: Element, base: str) -> str | None:
    for link in _children(item, "link", "atom:link"):
        address = link.get("href") if link.get("rel", "alternate") == "alternate" else None
        if found := absolute(base, address or link.text):
            return found
    guid = next(_children(item, "guid"), None)
    if guid is not None and guid.get("isPermaLink", "true") == "true" and (guid.text or "").strip().startswith("http"):
        return absolute(base, guid.text)
    return None


def _author(element: Element) -> tuple[str | None, str | None]:
    """The name and the address of the first author, each ``None`` if not told."""
    for author in _children(element, "atom:author"):
        name, uri = _text(author, "atom:name"), _text(author, "atom:uri")
        if name or uri:
            return name, uri
    name = _text(element, "dc:creator", "author", "managingEditor")
    mail = _MAIL_AUTHOR.fullmatch(name or "")
    return (mail["name"].strip() if mail else name), None


def _tags(item: Element) -> list[str]:
    terms = [term.get("term") or term.get("label") or "" for term in _children(item, "atom:category")]
    keywords = [word for words in _texts(item, "media:keywords") for word in words.split(",")]
    return [*_texts(item, "category", "dc:subject"), *terms, *keywords]


def _is_adult(ratings: list[Element]) -> bool:
    return any((rating.text or "").strip().lower() == "adult" for rating in ratings)


def _license(element: Element, base: str) -> str | None:
    """The licence by its address, else a statement of rights."""
    for license in _children(element, *_LICENSES):
        if named := license.get("rdf:resource") or license.get("href") or (license.text or "").strip():
            return named
    for link in _children(element, "atom:link"):
        if link.get("rel") == "license" and (linked := absolute(base, link.get("href"))):
            return linked
    return next(filter(None, (_prose(rights) for rights in _children(element, *_RIGHTS))), None)


def _enclosures(item: Element, base: str) -> list[Enclosure]:
    attached = [_best(group) for group in _children(item, "media:group")]
    attached += _children(item, "media:content", "enclosure")
    attached += [link for link in _children(item, "atom:link") if link.get("rel") == "enclosure"]
    attached += [content for content in _children(item, "atom:content") if content.get("src")]
    found = [_enclosure(element, base) for element in attached if element is not None]
    if found:
        return found
    thumbnail = max(item.iter("media:thumbnail"), key=_area, default=None)
    return [] if thumbnail is None else [_enclosure(thumbnail, base)]


def _best(group: Element) -> Element | None:
    """The rendition the group calls its default, else its largest, a picture before anything else."""
    return max(
        _children(group, "media:content"),
        key=lambda one: (_kind(one, one.get("url")) == "image", one.get("isDefault") == "true", _area(one)),
        default=None,
    )


def _enclosure(element: Element, base: str) -> Enclosure:
    base = urljoin(base, element.get("xml:base", ""))
    address = absolute(base, element.get("url") or element.get("href") or element.get("src"))
    alt = next((_prose(told) for told in _children(element, "media:description")), None)
    width, height = _pixels(element.get("width")), _pixels(element.get("height"))
    return Enclosure(address, _kind(element, address), alt or None, width, height)


def _kind(element: Element, address: str | None) -> MediaKind:
    if element.tag == "media:thumbnail":
        return "image"
    has_player = next(_children(element, "media:player"), None) is not None
    return kind(element.get("type"), address, element.get("medium") or ("video" if has_player else None))


def _area(element: Element) -> int:
    return (_pixels(element.get("width")) or 0) * (_pixels(element.get("height")) or 1)


def _pixels(text: str | None) -> int | None:
    stated = (text or "").strip()
    return int(stated) or None if stated.isascii() and stated.isdecimal() and len(stated) < 8 else None


def _prose(element: Element) -> str:
    """What an element says, as plain text: Atom tells whether it is text, HTML or XHTML; RSS means HTML."""
    said = element.get("type", "text" if element.tag.startswith(("atom:", "media:", "dc")) else "html")
    if said == "xhtml":
        return plain_text(tostring(element, encoding="unicode"))
    text = "".join(element.itertext()).strip()
    return (
        plain_text(text) if said in ("html", "text/html") else text if said in ("text", "plain", "text/plain") else ""
    )


def _children(element: Element, *tags: str) -> Iterator[Element]:
    """The children of these tags, in the order of the tags."""
    return (child for tag in tags for child in element if child.tag == tag)


def _texts(element: Element, *tags: str) -> Iterator[str]:
    return filter(None, ((child.text or "").strip() for child in _children(element, *tags)))


def _text(element: Element, *tags: str) -> str | None:
    return next(_texts(element, *tags), None)
