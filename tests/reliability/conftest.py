"""Fixtures of the reliability tests: a lake in memory, a web server, and the environment of the handlers."""

from __future__ import annotations

import pytest

from tests.reliability.killer import Killer
from tests.reliability.world import World
from tests.support.fixtures import clients, environment, lake, website
from tests.support.web_server import WebServer

__all__ = ["clients", "environment", "lake", "website"]


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # One call of AWS after the other, so that the n-th is the same one in every run.
    for name in (
        "erase_images.erasing.THREADS",
        "find_erased.lists.THREADS",
        "imagelake.lake.erased_objects.THREADS",
        "imagelake.lake.erasure_search.THREADS",
        "imagelake.lake.media_index.THREADS",
        "imagelake.lake.open_items.THREADS",
        "imagelake.lake.parts.THREADS",
        "imagelake.lake.suppression.THREADS",
        "imagelake.lake.unmapping.THREADS",
        "transform.decisions.THREADS",
        "transform.results.THREADS",
        "reconcile.reconciliation._BATCHES_AT_ONCE",
        "report_rebuild.reconciliation.THREADS",
    ):
        monkeypatch.setattr(name, 1)


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    return Killer(monkeypatch)


@pytest.fixture
def world(one_thread: None, clients: None, website: WebServer, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(website, monkeypatch)
