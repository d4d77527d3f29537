"""JSON Feed, versions 1 and 1.1 (https://www.jsonfeed.org/version/1.1/): its items as posts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from imagelake.run.posts import Post
from imagelake.sources.contract import Feed, Reject
from imagelake.sources.dates import first_moment
from imagelake.sources.entry import Enclosure, Entry, absolute, kind, post
from imagelake.sources.plain_text import plain_text
from imagelake.sources.wire import WireModel, read_entries


class _Author(WireModel):
    name: str | None = None
    url: str | None = None


class _Attachment(WireModel):
    url: str = Field(min_length=1)
    mime_type: str | None = None


class _Item(WireModel):
    # The specification says to read a number as a string.
    id: str | int | float
    url: str | None = None
    title: str | None = None
    content_text: str | None = None
    content_html: str | None = None
    summary: str | None = None
    image: str | None = None
    date_published: str | None = None
    date_modified: str | None = None
    author: _Author | None = None
    authors: list[_Author] | None = None
    tags: list[str] | None = None
    attachments: list[_Attachment] | None = None


class _Feed(WireModel):
    authors: list[_Author] | None = None
    author: _Author | None = None


def is_json_feed(document: Any) -> bool:
    """Tell if ``document`` declares itself a JSON Feed."""
    match document:
        case {"version": str(version), "items": list()}:
            return "jsonfeed.org/version/" in version
    return False


def read_items(feed: Feed, document: dict[str, Any], url: str) -> tuple[list[Post], list[Reject]]:
    """Return the posts, and a reject with the reason for each item that cannot be one."""
    try:
        about = _Feed.model_validate(document)
    except ValueError:
        about = _Feed()
    return read_entries(
        feed, document["items"], lambda raw: post(feed, _entry(_Item.model_validate(raw), about, url)), _id
    )


def next_page(document: dict[str, Any]) -> str | None:
    """Return the URL of older items, if the feed has one."""
    url = document.get("next_url")
    return url if isinstance(url, str) else None


def _entry(item: _Item, about: _Feed, base: str) -> Entry:
    author = _first(item.authors, item.author) or _first(about.authors, about.author) or _Author()
    # The banner is decoration, and images inside the text can be icons or counters.
    attached: list[tuple[str, str | None]] = [(item.image, "image/*")] if item.image else []
    attached += [(attachment.url, attachment.mime_type) for attachment in item.attachments or []]
    files = [(absolute(base, url), mime) for url, mime in attached]
    return Entry(
        guid=str(item.id),
        link=absolute(base, item.url),
        posted_at=_posted_at(item),
        title=item.title or "",
        body=item.content_text or plain_text(item.content_html or "") or item.summary or "",
        author_name=author.name or None,
        author_uri=absolute(base, author.url),
        tags=item.tags or [],
        enclosures=[Enclosure(url, kind(mime, url)) for url, mime in files],
    )


def _posted_at(item: _Item) -> datetime:
    posted_at = first_moment([item.date_published, item.date_modified])
    if posted_at is None:
        raise ValueError("date_published: missing")
    return posted_at


def _first(authors: list[_Author] | None, author: _Author | None) -> _Author | None:
    """Return the first author with a name or a URL; version 1 has ``author``, version 1.1 ``authors``."""
    return next((known for known in [*(authors or []), author] if known and (known.name or known.url)), None)


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str() | int() | float() as item_id}:
            return str(item_id)
    return None
