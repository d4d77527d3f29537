"""The network adapters by name; ``imagelake.sources.contract`` explains what an adapter is."""

from __future__ import annotations

from typing import Any

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
    "SOURCES",
    "Bookmark",
    "Feed",
    "Page",
    "RateLimit",
    "Reject",
    "Source",
    "get_source",
    "parse_feed",
]

SOURCES: dict[str, Source] = {
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
    """Return the adapter of a network; raise ``BadFeedError`` if there is none."""
    try:
        return SOURCES[name]
    except KeyError:
        raise BadFeedError(f"no network named {name!r}; the known networks are {', '.join(sorted(SOURCES))}") from None


def parse_feed(value: Any) -> Feed:
    """Build a feed as ``Feed.of`` does; raise ``BadFeedError`` also for a setting of another network."""
    feed = Feed.of(value)
    for source in SOURCES.values():
        for setting in source.manifest.settings:
            if source.name != feed.source and getattr(feed, setting) is not None:
                raise BadFeedError(f"feed {str(value)[:120]!r}: {setting} is a setting of {source.name} feeds only")
    return feed
