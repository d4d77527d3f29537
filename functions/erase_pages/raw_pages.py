"""Raw pages: the posts on the suppression list are removed, and all other posts stay.

A page of which nothing is left keeps neither a body nor a URL, as in Fetch. So does a page that cannot be parsed, if it
names what the request names, and a page from which a post cannot be removed without a change of the others: no run
reads it again, and the receipt reports the reason.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import unquote

from erase_pages.day import Day
from imagelake.lake import object_keys
from imagelake.lake.bucket import Version, named_if_damaged
from imagelake.lake.erased_objects import Change, Place
from imagelake.run.errors import BadFeedError, DamagedObjectError, ImagelakeError, ObjectMissingError
from imagelake.run.posts import Post
from imagelake.sources import Feed, Page, Reject, parse_feed, raw_pages
from imagelake.sources.raw_pages import emptied, stored_response
from imagelake.web.messages import Response

_KEY = re.compile(r"(?P<run_id>[^/]+)/(?P<feed_id>[^/]+)-\d{5}\.json\.gz")
# The account of these feeds is no person: a category, a stream.
_NO_PERSONS = frozenset({"commons", "stream"})
_PARTS_OF_URLS = re.compile("[/?&=,;| ]")


class SmallerPage(NamedTuple):
    """The rest of a page, the ids of what was removed, and the reason if more was removed than these."""

    response: Response
    items: list[str]
    reason: str = ""


def erase_pages(day: Day) -> Iterator[Change]:
    """Remove entries from all pages of the day; yield each change of an object."""
    prefix = object_keys.raw_pages_prefix(day.source.name, day.dt)
    feeds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in day.bucket.list(prefix):
        if match := _KEY.fullmatch(key.removeprefix(prefix)):
            feeds[match["run_id"], match["feed_id"]].append(key)
    for (run_id, feed_id), keys in feeds.items():
        yield from _FeedPages(run_id, feed_id, keys, day).erase()


class _FeedPages:
    """The pages of one feed in one run."""

    def __init__(self, run_id: str, feed_id: str, keys: list[str], day: Day) -> None:
        self._feed_id = feed_id
        self._keys = keys
        self._day = day
        self._definition = object_keys.feed_definition(day.source.name, day.dt, run_id, feed_id)
        self._feed: Feed | None = None
        with suppress(ObjectMissingError, DamagedObjectError, BadFeedError):
            self._feed = parse_feed(day.bucket.get_json(self._definition))

    def erase(self) -> Iterator[Change]:
        """Remove entries, and the definition too if nothing is left of the feed of a listed author."""
        day = self._day
        is_own = day.listed.has_feed(self._feed_id)
        if not is_own and self._belongs_to_listed_author():
            # Other days of the feed have no posts that show this, and the reports need it too.
            day.suppress("feed", self._feed_id)
            is_own = True
        if is_own:
            day.own_feeds.add(self._feed_id)
        left: set[str] = set()
        for key in self._keys:

            def change(body: bytes, version: Version, key: str = key) -> Change | None:
                made = self._change(body, version, is_own)
                left.discard(key)
                if _unpacked(key, body if made is None else made.body or b""):
                    left.add(key)
                return made

            made = day.objects.rewrite(Place.RAW_PAGES, key, "application/gzip", change)
            if made is not None:
                yield made
        if is_own and not left:
            made = day.objects.rewrite(
                Place.RAW_PAGES, self._definition, "application/json", lambda *_: Change(None, [])
            )
            if made is not None:
                yield made

    def _belongs_to_listed_author(self) -> bool:
        """Tell if this is the feed of an account, and everything in it is of listed authors."""
        feed, day = self._feed, self._day
        if feed is None or feed.account is None or feed.source in _NO_PERSONS:
            return False
        account = feed.account.removeprefix("@")
        if any(day.listed.has_author(feed.source, name) for name in (account, f"{account}@{feed.server}".lower())):
            return True
        if any(day.listed.has_account(self._feed_id, author_id) for author_id in day.names.authors):
            return True
        authors, loses_posts = set[str](), False
        for post in self._posts(feed):
            authors.add(post.author_id)
            loses_posts |= day.listed.covers(feed.source, post)
            if len(authors) > 1 and not all(day.listed.has_author(feed.source, one) for one in authors):
                return False
        if all(day.listed.has_author(feed.source, one) for one in authors):
            return bool(authors)
        if loses_posts:
            # Without its posts, nothing shows whose account it is, and the author can be erased later.
            day.suppress("account", self._feed_id, *authors)
        return False

    def _posts(self, feed: Feed) -> Iterator[Post]:
        """Yield the posts, page by page; rejects can be posts of others that the account repeats."""
        for key in self._keys:
            body, version = self._day.bucket.get_with_version(key)
            with suppress(ImagelakeError):
                response = stored_response(_unpacked(key, body), version.metadata)
                page = self._day.source.parse(feed, response) if response else None
                yield from page.posts if page else ()

    def _change(self, body: bytes, version: Version, is_own: bool) -> Change | None:
        try:
            response = stored_response(_unpacked("", body), version.metadata)
        except DamagedObjectError:
            # Nobody can say whom it names, and no run can read it.
            return _stored(Response(200, {}, b"", ""), [], "it cannot be unpacked")
        if response is None:
            return None
        smaller = smaller_page(response, self._feed, self._day, is_own)
        return smaller and _stored(*smaller)


def smaller_page(response: Response, feed: Feed | None, day: Day, is_own: bool) -> SmallerPage | None:
    """Remove the listed entries of a page; return ``None`` if it has none.

    ``is_own`` is true for the feed of a listed author.
    """
    try:
        if feed is None:
            raise BadFeedError("its feed is not known")
        page = day.source.parse(feed, response)
    except ImagelakeError:
        if not is_own and not day.names.are_in(response.body):
            return None
        return SmallerPage(emptied(response), [], "it cannot be parsed")
    if not page.entries:
        # A lookup, or the end of a listing.
        is_listed = is_own or day.listed.covers(day.source.name, Reject(None, "", _json(response.body)))
        return SmallerPage(emptied(response), []) if is_listed else None
    if is_own:
        # What is no post may be the author's too, and does not have to say so.
        return SmallerPage(emptied(response), _ids(page.entries))
    try:
        left, removed = raw_pages.remove_suppressed(day.source, feed, response, page, day.listed)
    except Exception:
        # Whatever an adapter stumbles over, the erasure goes on, and the post is not kept.
        removed = _listed(page, day)
        return SmallerPage(emptied(response), _ids(removed), "its other posts would change")
    # The URL of an RSS feed is the base of the URLs in it, and its host is the author of posts without a name.
    if day.source.name != "rss" and any(day.listed.has_author(day.source.name, part) for part in _parts(left.url)):
        left = Response(left.status, left.headers, left.body, "")
    return None if left == response else SmallerPage(left, _ids(removed))


def _listed(page: Page, day: Day) -> list[Post | Reject]:
    return [entry for entry in page.entries if day.listed.covers(day.source.name, entry)]


def _ids(entries: list[Post | Reject]) -> list[str]:
    """Name entries for the receipt, which counts them; many rejects have no id."""
    return [hashlib.sha256(repr(entry).encode("utf-8", "replace")).hexdigest()[:32] for entry in entries]


def _parts(url: str) -> list[str]:
    return _PARTS_OF_URLS.split(unquote(url))


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _unpacked(key: str, body: bytes) -> bytes:
    with named_if_damaged(key):
        return gzip.decompress(body)


def _stored(response: Response, items: list[str], reason: str = "") -> Change:
    """Store a page as Fetch does."""
    metadata = {"url": response.url, "status": str(response.status), **response.headers}
    return Change(gzip.compress(response.body, mtime=0), items, metadata, reason)
