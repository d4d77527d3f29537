"""What the step functions meet: Lambda's context, a network that says what it is told, a web server they trust."""

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
    """The network of every feed."""
    network = Network(website)
    for module in (fetch.feed_reader, validate.app):
        monkeypatch.setattr(module, "get_source", lambda name: network)
    return network


def pytest_itemcollected(item: pytest.Item) -> None:
    # Powertools warns of every call that raises before it has measured anything.
    item.add_marker(pytest.mark.filterwarnings("ignore:No application metrics to publish:UserWarning"))
