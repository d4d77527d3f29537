"""Fixtures of the functions: Lambda's context, and a network whose pages a test chooses."""

from __future__ import annotations

import pytest

import fetch.feed_reader
import validate.app
from tests.unit.functions.factories import Context
from tests.unit.functions.network import Network
from tests.unit.functions.website import Website


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def network(website: Website, monkeypatch: pytest.MonkeyPatch) -> Network:
    """Replace the network of every feed."""
    network = Network(website)
    for module in (fetch.feed_reader, validate.app):
        monkeypatch.setattr(module, "get_source", lambda name: network)
    return network


def pytest_itemcollected(item: pytest.Item) -> None:
    # Powertools warns if a call raises before it adds a metric.
    item.add_marker(pytest.mark.filterwarnings("ignore:No application metrics to publish:UserWarning"))
