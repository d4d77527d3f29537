"""Fixtures of the security tests."""

from __future__ import annotations

from tests.support.fixtures import clients, context, environment, lake, serve, website

__all__ = ["clients", "context", "environment", "lake", "serve", "website"]
