"""Fixtures of the client's tests."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest

from tests.unit.web.server import Script, Server


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(script: Script, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(script, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
