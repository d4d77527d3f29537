"""Fixtures of the security tests."""

from __future__ import annotations

from tests.support.fixtures import bus, clients, context, environment, lake, serve, website

__all__ = ["bus", "clients", "context", "environment", "lake", "serve", "website"]
