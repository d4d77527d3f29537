"""What a user must know of a network before adding a feed of it; ``docs/networks.md`` is made from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Manifest:
    """The facts of one network, each a short phrase.

    ``feeds`` are examples in the short text form. ``credentials`` are the fields of the network's secret, empty where
    none is needed. ``page_size`` is the most posts a request brings, or ``None`` where the network decides.
    ``post_usd`` is what reading one post costs in US dollars, or ``None`` where it is free.
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
