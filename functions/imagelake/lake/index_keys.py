"""The keys of entries in the media index: of raw images, and of authors and posts in the index ``by-author``."""

from __future__ import annotations

import hashlib

from imagelake.run.posts import RAW_IMAGE_ID

# Two such ids and the rest of an entry stay below 1 KB, unless its media id is very long.
_MAX_INDEXED_BYTES = 128
_DIGEST = "sha256-"


def author_key(source: str, author_id: str) -> str:
    """Return the key of an author in the index ``by-author``; ids of different networks never meet."""
    return f"{source}#{_short(author_id)}"


def post_key(post_id: str) -> str:
    """Return the sort key of a post in the index ``by-author``."""
    return _short(post_id)


def _short(text: str) -> str:
    """Return an id as it is, or its digest if an entry with it could be larger than one write unit, 1 KB.

    An id that looks like a digest is digested too: it could be that of another id.
    """
    if len(text.encode()) <= _MAX_INDEXED_BYTES and not text.startswith(_DIGEST):
        return text
    return f"{_DIGEST}{hashlib.sha256(text.encode()).hexdigest()}"


def raw_image_id(sha256: str) -> str:
    """Return the key of a raw image's entry; no media id is equal to it."""
    return f"{RAW_IMAGE_ID}{sha256}"
