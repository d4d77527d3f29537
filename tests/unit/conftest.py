"""Fixtures of all unit tests."""

from __future__ import annotations

from tests.support.fixtures import clients, environment, lake, serve, website

__all__ = ["clients", "environment", "lake", "serve", "website"]
