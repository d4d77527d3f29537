"""Network adapters, by name: to add one, write its module and add one line to ``_SOURCES``."""

from __future__ import annotations

from imagelake.run.errors import BadFeedError
from imagelake.sources.bluesky import Bluesky
from imagelake.sources.commons import Commons
from imagelake.sources.contract import Bookmark, Feed, Page, RateLimit, Reject, Source
from imagelake.sources.facebook import Facebook
from imagelake.sources.instagram import Instagram
from imagelake.sources.mastodon import Mastodon
from imagelake.sources.rss import Rss
from imagelake.sources.stream import Stream
from imagelake.sources.x import X

__all__ = [
    "Bookmark",
    "Feed",
    "Page",
    "RateLimit",
    "Reject",
    "Source",
    "get_source",
]

_SOURCES: dict[str, Source] = {
    "bluesky": Bluesky(),
    "commons": Commons(),
    "facebook": Facebook(),
    "instagram": Instagram(),
    "mastodon": Mastodon(),
    "rss": Rss(),
    "stream": Stream(),
    "x": X(),
}


def get_source(name: str) -> Source:
    """The adapter of a network; raises ``BadFeedError`` for a network we do not know."""
    try:
        return _SOURCES[name]
    except KeyError:
        raise BadFeedError(f"no network named {name!r}; known are {', '.join(sorted(_SOURCES))}") from None
