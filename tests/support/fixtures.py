"""Fixtures of the tests that call functions: their environment, AWS in memory, servers on loopback.

The ``conftest.py`` of a folder imports those that its tests use.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import fetch.feed_reader
import validate.app
from imagelake.accounts import secrets
from imagelake.lake.suppression import suppressions
from imagelake.run import aws
from imagelake.run.settings import Settings
from tests.support.factories import Context
from tests.support.fake_bus import Bus
from tests.support.fake_lake import ENVIRONMENT, Lake, aws_in_memory
from tests.support.fake_network import Network
from tests.support.private_parts import forget_secrets
from tests.support.raw_server import Parts, RawServer, Script, by_path
from tests.support.web_server import WebServer
from transform.near_duplicates import hash_log_cache

Serve = Callable[..., RawServer]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the variables of all functions, as ``template.yaml`` does."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr("imagelake.run.events._client", lambda: Bus())
    Settings.load.cache_clear()
    yield
    Settings.load.cache_clear()


@pytest.fixture(scope="module")
def clients() -> Iterator[None]:
    """Share clients of AWS among the tests of one file, because creating them takes longer than most tests."""
    for client in (aws._client, secrets._provider):
        client.cache_clear()
    yield
    for client in (aws._client, secrets._provider):
        client.cache_clear()


@pytest.fixture
def lake(environment: None, clients: None) -> Iterator[Lake]:
    """An empty lake."""
    hash_log_cache.cache_clear()
    suppressions.cache_clear()
    with aws_in_memory():
        yield Lake()


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """Collect the events that functions publish."""
    bus = Bus()
    monkeypatch.setattr("imagelake.run.events._client", lambda: bus)
    return bus


@pytest.fixture
def secrets_manager(lake: Lake) -> Iterator[Any]:
    """An empty Secrets Manager."""
    forget_secrets()
    yield secrets._provider().client
    forget_secrets()


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def website(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """A web server that the functions trust."""
    with WebServer() as website:
        monkeypatch.setenv("TRUSTED_ORIGINS", website.origin)
        Settings.load.cache_clear()
        yield website


@pytest.fixture
def network(website: WebServer, monkeypatch: pytest.MonkeyPatch) -> Network:
    """Replace the network of every feed."""
    network = Network(website)
    for module in (fetch.feed_reader, validate.app):
        monkeypatch.setattr(module, "get_source", lambda name: network)
    return network


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that retries would have slept."""
    pauses: list[float] = []
    monkeypatch.setattr("imagelake.run.retries.time.sleep", pauses.append)
    return pauses


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that send bytes: those of a script, or answers in turn for each path, given by keyword."""
    with ExitStack() as servers:

        def start(script: Script | None = None, tls: ssl.SSLContext | None = None, **answers: list[Parts]) -> RawServer:
            return servers.enter_context(RawServer(script or by_path(answers), tls))

        yield start
