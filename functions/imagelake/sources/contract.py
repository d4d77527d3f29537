"""A network adapter builds requests and parses responses; it does no I/O.

One page of a feed is read in three steps:

1. ``Source.request`` builds the request, from the feed, its bookmark and the cursor of the page before.
2. ``imagelake.accounts.session`` sends it: with credentials if the adapter is ``Authorized``, and with the timeouts,
   retries and redaction of all networks.
3. ``Source.parse`` turns the response into a ``Page``: posts, rejects and the cursor of the next page.

So an adapter can be tested with bytes alone (https://sans-io.readthedocs.io). CONTRIBUTING.md tells how to add a
network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from imagelake.run.posts import Post
from imagelake.sources.feed import Bookmark, Feed
from imagelake.sources.manifest import Manifest
from imagelake.web.messages import Request, Response

__all__ = [
    "Authorized",
    "Bookmark",
    "Counted",
    "Feed",
    "IsRemoved",
    "Page",
    "Priced",
    "RateLimit",
    "RefreshesUrls",
    "Reject",
    "Source",
]

# The URL of a page is stored in the metadata of its raw page, which has at most 2 KB in all.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
MAX_PAGE_URL = 1_900


@dataclass(frozen=True)
class RateLimit:
    """A rate limit as a response states it: remaining calls, and the time of the reset; ``None`` if not stated."""

    remaining: int | None
    reset_at: datetime | None


@dataclass(frozen=True)
class Reject:
    """An entry that does not become a post: its id if it has one, the reason, and the entry as JSON.

    ``author_ids`` are those of its people, if no text of the entry is such an id.
    """

    post_id: str | None
    reason: str
    raw: Any = None
    author_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """One page of a listing.

    ``cursor`` leads to the next page and is ``None`` on the last one. ``newest`` is the bookmark after this page.
    ``positions`` are the positions of the posts in the listing, in the form of bookmarks, if the times of the posts do
    not tell which of them are behind the bookmark. ``cost_usd`` is the network's price of the page, in US dollars.
    ``is_unfinished`` is true if the next page has more media items of posts so far, so the reading does not stop here.
    ``continues_posts`` is true for that next page: its posts count for no limit. ``warnings`` are for an operator, and
    there are few different ones. ``declared`` is the number of all posts of the feed, if the response states it.
    """

    posts: list[Post]
    rejects: list[Reject]
    cursor: str | None
    rate: RateLimit | None = None
    newest: Bookmark | None = None
    positions: list[Bookmark] | None = None
    cost_usd: float = 0.0
    is_unfinished: bool = False
    continues_posts: bool = False
    warnings: tuple[str, ...] = ()
    declared: int | None = None

    @property
    def entries(self) -> list[Post | Reject]:
        """All posts, then all rejects."""
        return [*self.posts, *self.rejects]


# Says if an entry of a page must not be stored.
IsRemoved = Callable[[Post | Reject], bool]


class Source(Protocol):
    """An adapter of one network."""

    name: str
    manifest: Manifest
    # False only if, from a bookmark, the pages run to newer posts. A run that ends at its limit then moves the bookmark
    # to the newest post that it has read; a listing from new to old would lose the unread posts between the two.
    # So a listing from new to old is True, even if the network leaves out all that is older than the bookmark.
    newest_first: bool
    # The number of posts behind the bookmark that each run reads again, because networks insert posts there: late and
    # backdated ones. They use up no limit, and known media items get no second row. It is 0 if the network bills posts.
    # It ends at the limit of the feed, because the first run has read no more posts. If ``newest_first`` is true, Fetch
    # reads on behind the bookmark. Otherwise the adapter reads these posts first, as pages without ``newest`` and with
    # empty ``positions``.
    overlap: int
    # Hosts that serve this network's media, subdomains included; ``None`` if any host may.
    media_hosts: frozenset[str] | None

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the page at ``cursor``; raise ``BadFeedError`` if the feed lacks what it needs."""
        ...

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse a page; raise only ``ImagelakeError``s, whatever the bytes."""
        ...

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Return the body of a page without some of its entries, and with all others as they were."""
        ...


class Authorized:
    """Base class of an adapter whose requests can carry credentials; only ``imagelake.accounts.session`` calls it.

    ``secret`` is the network's secret, a JSON object. Reading a field that it lacks raises ``CredentialsError``; read
    optional fields with ``secret.get``. No exception may contain a value of it.
    """

    # Hosts of the network that may receive its secret, over https only. ``None`` if the secret has one field per host.
    # Trusted origins may receive it too.
    secret_hosts: frozenset[str] | None = None
    # Non-secret fields. The values of all others are redacted from everything that is stored.
    public_fields: frozenset[str] = frozenset()
    # True if renewed fields are written back to the secret; otherwise they stay in the memory of this worker.
    keeps_renewed: bool = False

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the credentials that ``request`` needs; return it unchanged if it needs none."""
        raise NotImplementedError

    def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
        """Build the request that renews the credentials, without any secret in it; ``None`` if no renewal is needed."""
        return None

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        """Read the new fields of the secret from the response to ``renewal``; raise only ``ImagelakeError``s."""
        raise NotImplementedError


@runtime_checkable
class RefreshesUrls(Source, Protocol):
    """An adapter of a network whose image URLs expire; asking for a post again brings fresh ones."""

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request | None:
        """Build the request for a page with the posts of that second; ``None`` if the feed has no listing by time."""
        ...


@runtime_checkable
class Counted(Protocol):
    """An adapter of a network that can tell how many posts a run would read."""

    def count_request(self, feed: Feed, bookmark: Bookmark | None) -> Request | None:
        """Build a request for a page without posts whose ``declared`` is their number; ``None`` if there is none.

        ``feed.since`` is set only if the network lists posts of that day.
        """
        ...


@runtime_checkable
class Priced(Protocol):
    """An adapter of a network that charges for reading."""

    def price(self, request: Request) -> float:
        """Return the highest possible cost of ``request``, in US dollars."""
        ...
