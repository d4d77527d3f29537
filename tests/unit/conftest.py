"""Fixtures of all unit tests."""

from __future__ import annotations

from tests.support.fixtures import clients, environment, lake, secrets_manager, serve, website

__all__ = ["clients", "environment", "lake", "secrets_manager", "serve", "website"]
