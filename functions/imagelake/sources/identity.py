"""Names of a feed: different spellings that a network does not distinguish are one feed.

Bookmarks and open batches belong to the id of a feed, which comes from its usual name. So the usual name changes only
spellings that few people write. ``identity`` also compares spellings that are both usual, such as ``x:NASA`` and
``x:nasa``.
"""

from __future__ import annotations

import re

from imagelake.sources.hashtags import without_sign

_HOST = re.compile(r"^https?://[^/?#@]*", re.IGNORECASE)
_DEFAULT_PORT = re.compile(r"(?<=^https://)([^/?#@]+):443(?=[/?#]|$)|(?<=^http://)([^/?#@]+):80(?=[/?#]|$)")
# Networks whose adapters drop an @ in front of an account. The usual spelling of Instagram has it.
_WITHOUT_AT = frozenset({"bluesky", "facebook", "mastodon", "x"})
# Networks that distinguish capital letters.
_EXACT = frozenset({"commons", "rss", "stream"})


def short_name(source: str, server: str | None, account: str | None, hashtag: str | None) -> str:
    """Return a feed in its short text form, as it is written."""
    if hashtag is not None:
        return f"{source}:{server or ''}#{hashtag}"
    return f"{source}:{server + '@' if server else ''}{account}"


def usual_name(source: str, server: str | None, account: str | None, hashtag: str | None) -> str:
    """Return the short form with the usual spelling of the server, the account and the hashtag."""
    if server is not None:
        server = _without_default_port(server if "://" in server else f"https://{server}").removeprefix("https://")
    if account is not None and source in _WITHOUT_AT:
        account = account.removeprefix("@")
    if account is not None and source == "bluesky" and not account.startswith("did:"):
        account = account.lower()
    if account is not None and source == "rss":
        account = _without_default_port(_HOST.sub(lambda host: host[0].lower(), account))
    return short_name(source, server, account, hashtag and without_sign(hashtag))


def identity(source: str, server: str | None, account: str | None, hashtag: str | None) -> str:
    """Return a text that is the same for all spellings of a feed."""
    name = usual_name(source, server, account and account.removeprefix("@"), hashtag)
    return name if source in _EXACT else name.lower()


def _without_default_port(url: str) -> str:
    return _DEFAULT_PORT.sub(r"\1\2", url)
