"""The origin of a network's API (scheme, host and port), from a feed's ``server``."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from imagelake.run.errors import BadFeedError
from imagelake.sources.contract import Feed

_HOST_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")


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
        # Not the server itself: it may hold a password.
        raise BadFeedError(f"a {feed.source} feed's server {error}") from None


def host(feed: Feed) -> str:
    """The bare host name in lower case, without scheme and port."""
    return urlsplit(origin(feed)).hostname or ""


def _origin(server: str) -> str:
    is_origin = "://" in server
    parts = urlsplit(server if is_origin else f"https://{server}")
    if parts.scheme not in ("http", "https"):
        raise ValueError("is reached by http or https only")
    if "@" in parts.netloc:
        raise ValueError("may not carry a user name or password")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("is a host name or an origin, without a path")
    name = (parts.hostname or "").rstrip(".").encode("idna").decode().lower()
    port = parts.port
    # A handle written back to front, alice@server.example, leaves a server without a dot.
    if not is_origin and _HOST_NAME.fullmatch(name) is None:
        raise ValueError(f"{server!r} is no host name such as server.example (the order is SERVER@ACCOUNT)")
    if not name:
        raise ValueError("has no host name")
    bracketed = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{bracketed}" + (f":{port}" if port else "")
