"""Fixtures of the tests of functions."""

from __future__ import annotations

from tests.support.fixtures import context, network, pauses

__all__ = ["context", "network", "pauses"]
