"""The namespaces of feeds as sites spell them: with http or https, with or without a slash at the end."""

from __future__ import annotations

from feedparser.mixin import _FeedParserMixin

# SimplePie (https://github.com/simplepie/simplepie) has met most of these names of Media RSS.
_MEDIA_RSS = (
    "search.yahoo.com/mrss",
    "video.search.yahoo.com/mrss",
    "tools.search.yahoo.com/mrss",
    "www.rssboard.org/media-rss",
)


def _spelled() -> dict[str, str]:
    known = {uri.removesuffix("/"): prefix for uri, prefix in _FeedParserMixin.namespaces.items() if uri}
    known |= {f"http://{name}": "media" for name in _MEDIA_RSS}
    spelled = {f"{uri}{slash}": prefix for uri, prefix in known.items() for slash in ("", "/")}
    return spelled | {uri.replace("http:", "https:", 1): prefix for uri, prefix in spelled.items()} | {"": ""}


# Prefixes by namespace.
NAMESPACES = _spelled()
