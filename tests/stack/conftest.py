"""One deployed stack for all files of this folder, with everything on that a stack can have.

Each file reads feeds of its own, so it does not meet the posts of another. Before all of them, a first run reads the
sample feed into the empty lake. Files whose engine differs are in ``own_engine/``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from local.deploy import ONLY_WITH_TLS, STACK_NAME, deploy
from local.engine import Engine
from tests.support.deployed_stack import TEMPLATE, Stack
from tests.support.servers import Servers
from tests.support.wire.planted_secrets import SECRETS
from tests.support.wire.webhook import PATH


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    with ExitStack() as opened:
        for server in vars(servers).values():
            opened.enter_context(server)
        yield servers


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, servers: Servers) -> Iterator[Stack]:
    # With AUTH, a function may do what its role allows and nothing else. Pauses of the state machine take no time.
    settings = {"AUTH": "true", "SFN_WAIT_SCALE": "0"}
    with Engine(tmp_path_factory.mktemp("engine"), settings=settings) as engine:
        secrets: dict[str, Any] = {f"{STACK_NAME}/{network}": secret for network, secret in SECRETS.items()}
        secrets["alerts"] = {"url": servers.webhook.url + PATH, "format": "slack"}
        for name, secret in secrets.items():
            engine.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(secret))
        parameters = {
            "ScheduleState": "DISABLED",
            "FrequentScheduleExpression": "rate(6 hours)",
            "ScheduleTimeZone": "Europe/Berlin",
            "StreamIngest": "ENABLED",
            "AlertWebhookSecret": "alerts",
            "TrustedOrigins": ",".join(server.url for server in vars(servers).values()),
        }
        stack = Stack(engine, deploy(engine, TEMPLATE, parameters, without=ONLY_WITH_TLS))
        stack.run(feeds=[servers.sample.account], batch_size=10, dt="2026-11-23")
        yield stack


@pytest.fixture(scope="session")
def first_run(stack: Stack) -> dict[str, Any]:
    """The run over the sample feed, into the empty lake."""
    return stack.runs[0]
