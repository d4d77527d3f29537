"""Fixtures of all unit tests."""

from __future__ import annotations

from tests.support.fixtures import bus, clients, environment, lake, secrets_manager, serve, website

__all__ = ["bus", "clients", "environment", "lake", "secrets_manager", "serve", "website"]
