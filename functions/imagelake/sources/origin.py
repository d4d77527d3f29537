"""The origin of a network's API (scheme, host and port), from a feed's ``server``."""

from __future__ import annotations

import re

from imagelake.run.errors import BadFeedError
from imagelake.sources.contract import Feed
from imagelake.web.errors import UrlRefusedError
from imagelake.web.urls import Url

_HOST_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
# The dots of the root zone after a host name, such as in server.example.:8443
_FINAL_DOTS = re.compile(r"\.+(?=(?::[0-9]*)?$)")


def origin(feed: Feed, default: str | None = None) -> str:
    """Return ``scheme://host[:port]`` of the feed's server: https for a bare host name, otherwise as written."""
    if feed.server is None:
        if default is None:
            raise BadFeedError(
                f"{feed.name}: name the server, as {feed.source}:SERVER@ACCOUNT or {feed.source}:SERVER#TAG"
            )
        return default
    try:
        return _origin(feed.server)
    except ValueError as error:
        # The error does not repeat the server, which can contain a password.
        raise BadFeedError(f"a {feed.source} feed's server {error}") from None


def host(feed: Feed) -> str:
    """Return the host name of the feed's server in lower case, without scheme and port."""
    return Url.parse(origin(feed)).host


def _origin(server: str) -> str:
    is_origin = "://" in server
    text = _FINAL_DOTS.sub("", server)
    try:
        url = Url.parse(text if is_origin else f"https://{text}")
    except UrlRefusedError:
        raise ValueError("is neither a host name nor an origin of http or https without user name") from None
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError("is a host name or an origin, without a path")
    # alice@server.example, in the wrong order, has a server without a dot.
    if not is_origin and _HOST_NAME.fullmatch(url.host) is None:
        raise ValueError(f"{server!r} is not a host name such as server.example (the order is SERVER@ACCOUNT)")
    return url.origin
