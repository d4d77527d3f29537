"""Rules for every test: only those marked ``cloud`` reach a real AWS account, and a file is run by one process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.private_parts import scheduler_by_file

_UNIT, _STACK = Path(__file__).with_name("unit"), Path(__file__).with_name("stack")
_NOBODY = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(autouse=True)
def _no_account(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("cloud") is None:
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        for name, value in _NOBODY.items():
            monkeypatch.setenv(name, value)


def pytest_configure(config: pytest.Config) -> None:
    # Without the full sets, properties are tested with fewer examples too.
    settings.register_profile("all", max_examples=40 if "not full" in config.option.markexpr else 150)
    settings.load_profile("all")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # One process runs the tests of the shared stack, which often wait: it begins with them, and the others compute. The
    # unit tests are the shortest: with them at the end, all processes end at about the same time.
    items.sort(key=lambda item: (item.path.parent != _STACK, item.path.is_relative_to(_UNIT)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    # The files of this folder share a deployed stack.
    return scheduler_by_file(config, log, together="tests/stack")
