"""The lake and the web server that the tests of the step functions have."""

from __future__ import annotations

from tests.unit.conftest import clients, environment, lake, website
from tests.unit.functions.conftest import context, pytest_itemcollected

__all__ = ["clients", "context", "environment", "lake", "pytest_itemcollected", "website"]
