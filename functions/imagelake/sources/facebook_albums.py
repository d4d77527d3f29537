"""Long albums of Facebook: a post lists 100 parts of an album, and a link leads to the others.

The cursor of a page has its unfinished albums, which are read one after the other before the next page of posts. The
rest of an album becomes a post with the same id, and Validate puts both together. That page is parsed from its URL and
its body alone, so the cursor is in the fragment of the URL, which is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from imagelake.run.errors import SourceChangedError
from imagelake.run.posts import MAX_MEDIA, Post
from imagelake.sources import graph
from imagelake.sources.contract import Feed
from imagelake.web.messages import Request

PARTS = 100
# The URL of a page has the cursor, and at most 1,900 characters in all.
MAX_CURSOR = 1_200

_LISTING = re.compile(r"/v[0-9.]+/([0-9A-Za-z_]{1,80})/subattachments/?")
_NAME = re.compile(r"[0-9A-Za-z_]{1,80}")


class Album(NamedTuple):
    """An album with unread parts: the facts of its post, the index of its next part, its listing and the position."""

    post_id: str
    author_id: str
    posted_at: datetime
    first: int
    listing: str
    position: str

    @classmethod
    def after(cls, feed: Feed, paging: Any, post: Post, index: int) -> Album:
        """Return the album behind the link ``next``; raise ``ValueError`` with the reason if it is not followed."""
        if index >= MAX_MEDIA:
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
        return cls(post.post_id, post.author_id, post.posted_at, index, listing[1], position)

    @classmethod
    def read(cls, text: str) -> Album:
        """Read an album as ``str`` writes it."""
        post_id, author_id, seconds, index, listing, position = text.split(" ")
        return cls(post_id, author_id, datetime.fromtimestamp(int(seconds), UTC), int(index), listing, position)

    def __str__(self) -> str:
        seconds = int(self.posted_at.timestamp())
        return f"{self.post_id} {self.author_id} {seconds} {self.first} {self.listing} {self.position}"

    def request(self, base: str, fields: str, page: str, cursor: str) -> Request:
        """Build the request for the next parts; ``page`` is the Page whose token it needs."""
        fragment = urlencode({"page": page, "cursor": cursor})
        params = {"fields": fields, "limit": str(PARTS), **dict(parse_qsl(self.position))}
        return Request(f"{base}/{self.listing}/subattachments#{fragment}", params)


def joined(albums: Sequence[Album], position: str | None) -> str | None:
    """Write the cursor with these albums and the position of the next page of posts."""
    return "&".join(filter(None, [urlencode([("album", str(album)) for album in albums]), position])) or None


def split(cursor: str) -> tuple[list[Album], str | None]:
    """Read the albums and the position from a cursor."""
    parts = parse_qsl(cursor)
    albums = [Album.read(text) for name, text in parts if name == "album"]
    return albums, urlencode([(name, text) for name, text in parts if name != "album"]) or None


def asked(url: str) -> tuple[str | None, str | None]:
    """Return the Page and the cursor that ``Album.request`` has put into a URL; both ``None`` for any other URL."""
    state = dict(parse_qsl(urlsplit(url).fragment))
    return state.get("page"), state.get("cursor")
