"""Long albums of Facebook: a post lists 100 parts of an album, and a link leads to the others.

The cursor of a page has its unfinished albums, which are read one after the other before the next page of posts. The
rest of an album becomes a post with the same id, and Validate puts both together. That page is parsed from its URL and
its body alone, so the cursor is in the fragment of the URL, which is not sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from imagelake.run.errors import SourceChangedError
from imagelake.run.posts import MAX_MEDIA, Post
from imagelake.sources import graph
from imagelake.sources.contract import Feed
from imagelake.web.messages import Request

PARTS = 100
# The URL of a page has the cursor and a position, and at most 1,900 characters in all.
_MAX_CURSOR_AND_POSITION = 1_300

_LISTING = re.compile(r"/v[0-9.]+/([0-9A-Za-z_]{1,80})/subattachments/?")
_NAME = re.compile(r"[0-9A-Za-z_]{1,80}")
_PAGE = "page"


class Album(NamedTuple):
    """An album with unread parts: the facts of its post, the index of its next part, its listing and the position."""

    post_id: str
    author_id: str
    posted_at: datetime
    first: int
    listing: str
    position: str

    @classmethod
    def read(cls, text: str) -> Album:
        """Read an album as ``str`` writes it."""
        post_id, author_id, seconds, first, listing, position = text.split(" ")
        return cls(post_id, author_id, datetime.fromtimestamp(int(seconds), UTC), int(first), listing, position)

    def __str__(self) -> str:
        seconds = int(self.posted_at.timestamp())
        return f"{self.post_id} {self.author_id} {seconds} {self.first} {self.listing} {self.position}"


@dataclass
class Unread:
    """The albums that are still to be read, and the position of the next page of posts."""

    position: str | None
    albums: list[Album] = field(default_factory=list)

    @classmethod
    def at(cls, cursor: str | None) -> Self:
        """Read a cursor."""
        parts = parse_qsl(cursor or "")
        position = urlencode([(name, text) for name, text in parts if name != "album"])
        return cls(position or None, [Album.read(text) for name, text in parts if name == "album"])

    @property
    def cursor(self) -> str | None:
        albums = urlencode([("album", str(album)) for album in self.albums])
        return "&".join(filter(None, [albums, self.position])) or None

    def add(self, feed: Feed, paging: Any, post: Post, first: int) -> None:
        """Add the album behind the link ``next``; raise ``ValueError`` with the reason if it cannot be read."""
        if first >= MAX_MEDIA:
            raise ValueError(f"a post has at most {MAX_MEDIA:,} media items")
        match paging:
            case {"next": str(url)} if listing := _LISTING.fullmatch(urlsplit(url).path):
                pass
            case _:
                raise ValueError("the link to its other images is not one that Facebook documents")
        try:
            position = graph.next_position(feed, {"paging": paging}) or ""
        except SourceChangedError:
            raise ValueError("the link to its other images has no position") from None
        if not (_NAME.fullmatch(post.post_id) and _NAME.fullmatch(post.author_id)):
            raise ValueError("its id is not one of Facebook")
        album = Album(post.post_id, post.author_id, post.posted_at, first, listing[1], position)
        longer = Unread(self.position, [album, *self.albums])
        if len(longer.cursor or "") + max(len(one.position) for one in longer.albums) > _MAX_CURSOR_AND_POSITION:
            raise ValueError("too many long albums on one page")
        self.albums = longer.albums

    def request(self, base: str, fields: str, page: str) -> Request:
        """Build the request for the next parts of the first album; ``page`` is the Page whose token it needs."""
        album = self.albums[0]
        params = {"fields": fields, "limit": str(PARTS), **dict(parse_qsl(album.position))}
        return Request(f"{base}/{album.listing}/subattachments#{_PAGE}={page}&{self.cursor}", params)


def asked(url: str) -> tuple[str | None, str]:
    """Return the Page and the cursor that ``Unread.request`` has put into a URL; no Page for any other URL."""
    first, _, cursor = urlsplit(url).fragment.partition("&")
    return (first.removeprefix(f"{_PAGE}="), cursor) if first.startswith(f"{_PAGE}=") else (None, "")
