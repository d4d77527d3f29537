"""The browser of these tests, which are part of ``make test-all``; without one they are skipped, but not in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.browser import Browser, BrowserMissingError


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    try:
        return Browser(tmp_path)
    except BrowserMissingError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
