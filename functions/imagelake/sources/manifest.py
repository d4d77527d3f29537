"""Facts about a network for its users; ``docs/networks.md`` is generated from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta

from imagelake.sources.feed import Feed


@dataclass(frozen=True)
class Lookback:
    """The reach of the listing of one kind of feed: ``reach`` says it in words, ``time`` and ``posts`` in numbers.

    ``kind`` is ``account``, ``hashtag``, or the ``form`` of a feed; it is empty if all feeds are of one kind. ``time``
    is ``None`` if posts never become too old to be listed. ``posts`` is the number of posts from which on a listing
    leaves out older ones, 1 if each site decides; it is ``None`` if there is no such number.
    """

    reach: str = ""
    kind: str = ""
    time: timedelta | None = None
    posts: int | None = None

    def __str__(self) -> str:
        reach = self.reach
        if not reach and self.time is not None:
            days, hours = divmod(round(self.time / timedelta(hours=1)), 24)
            reach = f"{days} days" if days > 1 and not hours else f"{24 * days + hours} hours"
        article = "an" if self.kind[:1] == "a" else "a"
        return f"{article} {self.kind}: {reach}" if self.kind else reach


@dataclass(frozen=True)
class Manifest:
    """Facts about one network, as short sentences or phrases.

    ``feeds`` are examples in the short text form. ``credentials`` are the fields of the network's secret, none for a
    network without a login. ``lookback`` has one entry for each kind of feed. ``page_size`` is the largest number of
    posts in one response, ``None`` if the network decides. ``post_usd`` is the price of reading one post in US dollars,
    ``None`` if reading is free. ``settings`` are the fields of ``Feed`` that only feeds of this network may set,
    ``unused`` those that they must not set. ``short_form`` is a pattern for the text after ``network:`` that goes
    before the usual short forms; the names of its groups are fields of ``Feed``.
    """

    title: str
    feeds: tuple[str, ...]
    lookback: tuple[Lookback, ...]
    page_size: int | None
    credentials: tuple[str, ...]
    credentials_required: bool
    post_usd: float | None
    deletion: str
    terms: str
    notes: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    short_form: re.Pattern[str] | None = None

    @property
    def reaches_back(self) -> str:
        """All look-backs in words."""
        return "; ".join(map(str, self.lookback))

    def lookback_of(self, feed: Feed) -> Lookback:
        """Return the look-back of a feed; the first one is that of a feed of no other kind."""
        # A form is that of an account; a hashtag is always read by a search.
        kinds = ("", feed.form, "account") if feed.account is not None else ("", "search", "hashtag")
        return next((one for one in self.lookback if one.kind in kinds), self.lookback[0])
