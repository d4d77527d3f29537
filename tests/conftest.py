"""What holds for every test: none reaches a real AWS account, but for those marked ``cloud``."""

from __future__ import annotations

import os

import pytest

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
