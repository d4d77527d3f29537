"""The network adapters by name; ``imagelake.sources.contract`` explains what an adapter is."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from imagelake.run.errors import BadFeedError
from imagelake.run.feed_names import title
from imagelake.run.masking import REDACTED
from imagelake.sources.contract import Bookmark, Feed, Page, RateLimit, Reject, Source
from imagelake.sources.feed import FORMS
from imagelake.sources.spelling import short_form

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

# The networks in alphabetical order: each is the name of a module here, whose ``ADAPTER`` is the adapter.
_NETWORKS = (
    "bluesky",
    "commons",
    "facebook",
    "instagram",
    "mastodon",
    "rss",
    "stream",
    "x",
)
_DOMAIN = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)
# What masking leaves of a user name and a password.
_MASKED = re.compile(rf"(?:^|//){REDACTED}(?:@|$)", re.IGNORECASE)
SOURCES: dict[str, Source] = {name: import_module(f"{__name__}.{name}").ADAPTER for name in _NETWORKS}


def get_source(name: str) -> Source:
    """Return the adapter of a network; raise ``BadFeedError`` if there is none."""
    try:
        return SOURCES[name]
    except KeyError:
        close = get_close_matches(name, SOURCES, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BadFeedError(
            f"no network named {name!r}; {hint}the known networks are {', '.join(sorted(SOURCES))}"
        ) from None


def parse_feed(value: Any) -> Feed:
    """Build a feed from a mapping or a text, in any spelling; raise ``BadFeedError`` if it is wrong.

    A mapping must not have a setting of another network.
    """
    feed = Feed.of(_read_text(value) if isinstance(value, str) else value)
    if feed.source in SOURCES and _MASKED.search(feed.server or ""):
        raise BadFeedError(f"{title(value)}: server: it must not have a user name or a password")
    for field in SOURCES[feed.source].manifest.unused if feed.source in SOURCES else ():
        if getattr(feed, field) is not None:
            raise BadFeedError(f"{title(value)}: {field}: a feed of the network {feed.source} has no {field}")
    for source in SOURCES.values():
        for setting in source.manifest.settings:
            if source.name != feed.source and getattr(feed, setting) is not None:
                raise BadFeedError(f"{title(value)}: {setting} is a setting of {source.name} feeds only")
    return feed


def _read_text(value: str) -> dict[str, str] | str:
    """Return the fields of a text that is in its network's own short form, and any other text in the usual one."""
    try:
        text = short_form(value, SOURCES)
    except BadFeedError as error:
        raise BadFeedError(f"{title(value)}: {error}") from None
    if ":" not in text and not text.startswith(("{", "[")):
        # Bluesky's handles are the names of domains.
        hint = f"did you mean bluesky:{text}? " if _DOMAIN.fullmatch(text) else ""
        raise BadFeedError(
            f"{title(value)}: it is not of the form {FORMS}; {hint}the networks are {', '.join(sorted(SOURCES))}"
        )
    name, _, rest = text.partition(":")
    pattern = SOURCES[name].manifest.short_form if name in SOURCES else None
    match = pattern.fullmatch(rest) if pattern else None
    return {"source": name} | {field: part for field, part in match.groupdict().items() if part} if match else text
