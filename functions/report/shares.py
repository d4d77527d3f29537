"""A fair division of the places on the report's page."""

from __future__ import annotations

from collections.abc import Sequence


def fair_shares(wanted: Sequence[int], places: int) -> list[int]:
    """Give each feed the places that it wants, or as many as the others that want more than there are."""
    shares = [0] * len(wanted)
    by_want = sorted(range(len(wanted)), key=lambda feed: wanted[feed])
    for done, feed in enumerate(by_want):
        shares[feed] = min(wanted[feed], (places - sum(shares)) // (len(wanted) - done))
    return shares
