"""Facts about a network for its users; ``docs/networks.md`` is generated from them."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Manifest:
    """Facts about one network, as short sentences or phrases.

    ``feeds`` are examples in the short text form. ``credentials`` are the fields of the network's secret, none for a
    network without a login. ``page_size`` is the largest number of posts in one response, ``None`` if the network
    decides. ``post_usd`` is the price of reading one post in US dollars, ``None`` if reading is free. ``settings`` are
    the fields of ``Feed`` that only feeds of this network may set, ``unused`` those that they must not set.
    ``short_form`` is a pattern for the text after ``network:`` that goes before the usual short forms; the names of its
    groups are fields of ``Feed``.
    """

    title: str
    feeds: tuple[str, ...]
    lookback: str
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
