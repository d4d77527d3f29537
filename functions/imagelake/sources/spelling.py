"""Spellings of a feed: the URL of a profile as a browser shows it, and other texts that people write for a feed.

``short_form`` returns each of them in the short form that ``Feed`` reads. Any other text stays as it is, so that the
message about a wrong feed shows what the user wrote.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from imagelake.run.errors import BadFeedError

# People copy these characters without seeing them: they have no width.
_INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_NAMED = re.compile(r"(?P<network>[A-Za-z][A-Za-z0-9_]*)\s*:\s*(?P<rest>.*)", re.DOTALL)
_OTHER_NAMES = {"twitter": "x"}
# A handle as Mastodon shows it: @alice@server.example
_HANDLE = re.compile(r"@(?P<account>[\w.-]+)@(?P<server>[\w.-]+\.[\w-]+)")
_BLUESKY_HANDLE = re.compile(r"@?(?P<account>[a-z0-9-]+\.bsky\.social)", re.IGNORECASE)
_HOST_AND_PATH = r"(?:[\w-]+\.)+[a-z]{2,}/"
# Subdomains that show the same pages.
_SAME_PAGES = re.compile(r"^(?:www|m|mobile|web|old)\.")
_SAFE = re.compile(r"[^\s#@/?]+")

_MASTODON_ACCOUNT = re.compile(r"/(?:web/)?@(?P<account>[\w.-]+)(?:@(?P<server>[\w.-]+))?(?P<rest>/.*)?")
_MASTODON_ID = re.compile(r"/users/(?P<account>[\w.-]+)/?")
_MASTODON_TAG = re.compile(r"/(?:web/)?tags/(?P<tag>[^/]+)/?")
_FEED_FILE = re.compile(r"\.(?:rss|atom|xml|json|gne)/?$")
# Sites whose profiles look like those of Mastodon.
_NOT_MASTODON = frozenset({"medium.com", "substack.com"})
# Sites whose pages are no feeds, and which no adapter reads. Some of them have feeds at other URLs.
_NOT_READ = frozenset(
    {"youtube.com", "youtu.be", "tiktok.com", "threads.net", "threads.com", "reddit.com", "flickr.com"}
)


def short_form(text: str, networks: Collection[str]) -> str:
    """Return a feed in its short form; raise ``BadFeedError`` for several feeds, and for the URL of another page.

    ``networks`` are the names of all networks.
    """
    text = _INVISIBLE.sub("", text).strip().strip("<>\"'").strip()
    if text.startswith(("{", "[")):
        return text
    _refuse_several(text, networks)
    if match := _HANDLE.fullmatch(text):
        return f"mastodon:{match['server'].lower()}@{match['account']}"
    if match := _BLUESKY_HANDLE.fullmatch(text):
        return f"bluesky:{match['account'].lower()}"
    if re.fullmatch(_HOST_AND_PATH + r"\S*", text, re.IGNORECASE):
        return _from_url(f"https://{text}")
    match = _NAMED.fullmatch(text)
    if match is None:
        return text
    network, rest = match["network"].lower(), match["rest"]
    if network in ("http", "https"):
        return _from_url(f"{network}:{rest}")
    return _named(_OTHER_NAMES.get(network, network), rest)


def _refuse_several(text: str, networks: Collection[str]) -> None:
    names = "|".join((*networks, *_OTHER_NAMES))
    host = rf"(?:https?://|{_HOST_AND_PATH})"
    start = rf"(?<![^\s,;])(?:(?:{names})\s*:\s*{host}?|@[\w.-]+@(?=\w))|(?<!\S){host}"
    if len(re.findall(start, text, re.IGNORECASE)) > 1:
        raise BadFeedError("it names several feeds; write each of them on its own")


def _named(network: str, rest: str) -> str:
    """Return the short form of a feed whose network is named, such as ``Bluesky: alice.example``."""
    if network == "mastodon" and (match := _HANDLE.fullmatch(rest)):
        return f"mastodon:{match['server'].lower()}@{match['account']}"
    url = rest if "://" in rest else f"https://{rest}"
    if network != "rss" and "/" in rest and (parts := _split(url)) and parts.path.strip("/") and not parts.username:
        found = _from_url(url)
        if found.startswith(f"{network}:"):
            return found
    # The title of a category has spaces, and its URL has underscores in their place.
    return f"{network}:{'_'.join(rest.split()) if network == 'commons' else rest}"


def _from_url(url: str) -> str:
    """Return the feed whose page has this URL; every URL that is not a page of a network is that of an RSS feed."""
    parts = _split(url)
    if parts is None or parts.username is not None or not parts.hostname:
        return f"rss:{url}"
    site = _SAME_PAGES.sub("", parts.hostname)
    if site in _SITES:
        found = _SITES[site](parts)
        if found is None or not _SAFE.fullmatch(found.partition(":")[2].lstrip("#@")):
            raise BadFeedError(f"this URL is neither that of a profile nor that of a hashtag on {site}")
        return found
    if site in _NOT_MASTODON or _FEED_FILE.search(parts.path):
        return f"rss:{url}"
    if site in _NOT_READ:
        raise BadFeedError(f"no network here reads the pages of {site}; write the URL of an RSS or Atom feed")
    return _mastodon(parts) or f"rss:{url}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _mastodon(parts: SplitResult) -> str | None:
    server = parts.netloc.lower() if parts.scheme == "https" else f"{parts.scheme}://{parts.netloc.lower()}"
    path = unquote(parts.path)
    if match := _MASTODON_TAG.fullmatch(path):
        return f"mastodon:{server}#{match['tag']}"
    match = _MASTODON_ACCOUNT.fullmatch(path) or _MASTODON_ID.fullmatch(path)
    if match is None:
        return None
    account = match.groupdict()
    # /@alice/media shows the images of a profile, and /@alice/1234 one post.
    if (account.get("rest") or "").strip("/") not in ("", "media", "with_replies"):
        raise BadFeedError(f"this URL is that of one post on {parts.hostname}; write that of the profile")
    return f"mastodon:{account.get('server') or server}@{account['account']}"


def _names(parts: SplitResult) -> list[str]:
    return [unquote(name) for name in parts.path.split("/") if name]


def _bluesky(parts: SplitResult) -> str | None:
    match _names(parts):
        case ["profile", account]:
            return f"bluesky:{account}"
        case ["hashtag", tag]:
            return f"bluesky:#{tag}"
    return None


def _instagram(parts: SplitResult) -> str | None:
    match _names(parts):
        case ["explore", "tags", tag]:
            return f"instagram:#{tag}"
        case [account] | [account, "tagged" | "reels"] if account not in ("explore", "accounts", "direct", "reels"):
            return f"instagram:@{account}"
    return None


def _x(parts: SplitResult) -> str | None:
    match _names(parts):
        case ["hashtag", tag]:
            return f"x:#{tag}"
        case [account] | [account, "media" | "with_replies"] if account not in ("home", "search", "explore", "hashtag"):
            return f"x:{account.removeprefix('@')}"
    return None


def _facebook(parts: SplitResult) -> str | None:
    match _names(parts):
        case ["profile.php"]:
            return f"facebook:{''.join(parse_qs(parts.query).get('id', []))}"
        case ["pages" | "people", *_, page] | ["p", page] if number := re.search(r"(?:^|-)([0-9]+)$", page):
            return f"facebook:{number[1]}"
        case [page] | [page, "photos" | "about"] if page not in ("groups", "watch", "events", "photo", "hashtag"):
            return f"facebook:{page}"
    return None


def _commons(parts: SplitResult) -> str | None:
    title = parts.path.partition("/wiki/")[2] or "".join(parse_qs(parts.query).get("title", []))
    prefix, _, name = unquote(title).partition(":")
    return f"commons:{'_'.join(name.split())}" if prefix.lower() == "category" and name else None


_SITES: dict[str, Callable[[SplitResult], str | None]] = {
    "bsky.app": _bluesky,
    "instagram.com": _instagram,
    "x.com": _x,
    "twitter.com": _x,
    "facebook.com": _facebook,
    "fb.com": _facebook,
    "commons.wikimedia.org": _commons,
    "commons.m.wikimedia.org": _commons,
}
