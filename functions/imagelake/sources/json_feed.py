"""JSON Feed, versions 1 and 1.1 (https://www.jsonfeed.org/version/1.1/): its items as posts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from imagelake.run.posts import Post
from imagelake.sources.contract import Feed, Reject
from imagelake.sources.dates import first_moment
from imagelake.sources.entry import Enclosure, Entry, absolute, kind, post, resolved
from imagelake.sources.plain_text import plain_text
from imagelake.sources.renditions import largest_of_each
from imagelake.sources.wire import DECISIVE, WireModel, read_entries, reason


class _Author(WireModel):
    name: str | None = None
    url: str | None = None


class _Attachment(WireModel):
    url: str | None = None
    mime_type: str | None = None
    title: str | None = None
    size_in_bytes: int | float | None = None


class _Item(WireModel):
    # The specification says to read a number as a string.
    id: str | int | float
    url: str | None = None
    title: str | None = None
    content_text: str | None = None
    content_html: str | None = None
    summary: str | None = None
    image: Any = None
    date_published: str | None = None
    date_modified: str | None = None
    author: _Author | None = None
    authors: list[_Author] | None = None
    tags: list[str] | None = None
    attachments: Annotated[list[Any] | None, DECISIVE] = None


class _Feed(WireModel):
    authors: list[_Author] | None = None
    author: _Author | None = None


def is_json_feed(document: Any) -> bool:
    """Tell if ``document`` declares itself a JSON Feed."""
    match document:
        case {"version": str(version), "items": list()}:
            return "jsonfeed.org/version/" in version
    return False


def read_items(feed: Feed, document: dict[str, Any], url: str) -> tuple[list[Post], list[Reject], bool]:
    """Return the posts, a reject with the reason for each item that cannot be one, and if a date was not readable."""
    about, odd_dates = _Feed.model_validate(document), list[str]()

    def read(raw: Any) -> Post:
        return post(feed, _entry(_Item.model_validate(raw), about, url, odd_dates))

    return *read_entries(feed, document["items"], read, _id), bool(odd_dates)


def next_page(document: dict[str, Any]) -> str | None:
    """Return the URL of older items, if the feed has one."""
    url = document.get("next_url")
    return url if isinstance(url, str) else None


def _entry(item: _Item, about: _Feed, base: str, odd_dates: list[str]) -> Entry:
    author = _first(item.authors, item.author) or _first(about.authors, about.author) or _Author()
    return Entry(
        guid=str(item.id),
        link=absolute(base, item.url),
        posted_at=_posted_at(item, odd_dates),
        title=item.title or "",
        body=item.content_text or plain_text(item.content_html or "") or item.summary or "",
        author_name=author.name or None,
        author_uri=absolute(base, author.url),
        tags=item.tags or [],
        enclosures=largest_of_each(*_enclosures(item, base)),
    )


def _posted_at(item: _Item, odd_dates: list[str]) -> datetime:
    """Return the time of the item; one that cannot be read is added to ``odd_dates`` and counts as missing."""
    posted_at = first_moment([item.date_published, item.date_modified], odd_dates)
    if posted_at is None:
        raise ValueError("date_published: missing")
    return posted_at


def _enclosures(item: _Item, base: str) -> tuple[list[Enclosure], list[Enclosure]]:
    """Return the image and the attachments. A banner is decoration, and images in the text can be icons or counters.

    Attachments with the same title are one file in several representations, of which the largest is taken.
    """
    image = [_file(base, {"url": item.image, "mime_type": "image/*"})[0]] if item.image else []
    groups: dict[object, list[tuple[Enclosure, int]]] = {}
    for index, raw in enumerate(item.attachments or []):
        title = raw.get("title") if isinstance(raw, dict) else None
        name = title if title and isinstance(title, str) else index
        groups.setdefault(name, []).append(_file(base, raw))
    largest = [max(group, key=lambda file: (file[0].kind == "image", file[1]))[0] for group in groups.values()]
    return image, largest


def _file(base: str, raw: Any) -> tuple[Enclosure, int]:
    """Read a file and its size in bytes; if it cannot be read, the reason to skip it."""
    try:
        file = _Attachment.model_validate(raw)
        if raw.get("url") and file.url is None:
            raise ValueError("url: it has to be text")
    except ValueError as error:
        return Enclosure(None, "unknown", skip_reason=f"not readable: {reason(error)}"), 0
    try:
        url = resolved(base, file.url)
    except ValueError as error:
        return Enclosure(None, kind(file.mime_type, None), skip_reason=str(error)), 0
    return Enclosure(url, kind(file.mime_type, url)), int(file.size_in_bytes or 0)


def _first(authors: list[_Author] | None, author: _Author | None) -> _Author | None:
    """Return the first author with a name or a URL; version 1 has ``author``, version 1.1 ``authors``."""
    return next((known for known in [*(authors or []), author] if known and (known.name or known.url)), None)


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str() | int() | float() as item_id}:
            return str(item_id)
    return None
