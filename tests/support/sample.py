"""Sets of many similar cases: ``make test`` runs a sample of them, ``make test-all`` runs all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def full(*values: Any) -> Any:
    """Leave a case to ``make test-all``."""
    return pytest.param(*values, marks=pytest.mark.full)


# Sets that only ``make test-all`` runs, and not ``.ci/run``: together they take an hour or more.
EXHAUSTIVE = (pytest.mark.full, pytest.mark.exhaustive)


def exhaustive(*values: Any) -> Any:
    """Mark a case that only ``make test-all`` runs."""
    return pytest.param(*values, marks=EXHAUSTIVE)


def sample(cases: Iterable[Any], *kept: Any) -> list[Any]:
    """Keep some cases, and leave the others to ``make test-all``."""
    known = list(cases)
    assert all(case in known for case in kept), "the sample has a case that does not exist"
    return [case if case in kept else full(case) for case in known]


def pairs(first: Iterable[Any], second: Iterable[Any]) -> list[Any]:
    """Pair each value with each other one; keep as few pairs as have every value."""
    ones, others = list(first), list(second)
    number = max(len(ones), len(others))
    kept = {(place % len(ones), place % len(others)) for place in range(number)}
    return [
        (one, other) if (at, place) in kept else full(one, other)
        for at, one in enumerate(ones)
        for place, other in enumerate(others)
    ]
