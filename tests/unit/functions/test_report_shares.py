"""The division of places on the page: no feed gets more than it wants, and no place stays empty."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from report.shares import fair_shares


@pytest.mark.parametrize(
    ("wanted", "shares"),
    [
        ([60, 3], [45, 3]),
        ([3, 60], [3, 45]),
        ([10, 10], [10, 10]),
        ([100, 100, 100], [16, 16, 16]),
        ([], []),
        ([0], [0]),
    ],
)
def test_small_feeds_leave_their_places_to_others(wanted: list[int], shares: list[int]) -> None:
    assert fair_shares(wanted, 48) == shares


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(0, 200))
def test_places_are_used_and_shared_equally(wanted: list[int], places: int) -> None:
    shares = fair_shares(wanted, places)
    assert sum(shares) == min(sum(wanted), places)
    cut = [share for share, want in zip(shares, wanted, strict=True) if share < want]
    assert all(max(cut) - share <= 1 for share in cut)
    assert all(share <= min(cut) + 1 for share in shares if cut)
