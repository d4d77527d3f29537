"""Network adapters, by name: to add one, write its module and add one line to ``_SOURCES``."""

from __future__ import annotations

from shared.errors import BadFeedError
from sources.bluesky import Bluesky
from sources.contract import Bookmark, Feed, Page, RateLimit, Reject, Request, Response, Source
from sources.mastodon import Mastodon

__all__ = [
    "Bookmark",
    "Feed",
    "Page",
    "RateLimit",
    "Reject",
    "Request",
    "Response",
    "Source",
    "get_source",
]

_SOURCES: dict[str, Source] = {
    "bluesky": Bluesky(),
    "mastodon": Mastodon(),
}


def get_source(name: str) -> Source:
    """The adapter of a network; raises ``BadFeedError`` for a network we do not know."""
    try:
        return _SOURCES[name]
    except KeyError:
        raise BadFeedError(f"no network named {name!r}; known are {', '.join(sorted(_SOURCES))}") from None
