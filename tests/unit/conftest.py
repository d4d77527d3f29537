"""The environment of a function, with AWS in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from imagelake.run import aws
from imagelake.run.settings import Settings
from tests.unit.fake_bus import Bus
from tests.unit.fake_lake import BOOKMARKS, BUCKET, IMAGE_HASHES, IMAGE_KEYS, Lake, aws_in_memory
from tests.unit.functions.website import Website
from transform.near_duplicates import hash_log_cache


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the variables of all functions, as ``template.yaml`` does."""
    values = {
        "BUCKET_NAME": BUCKET,
        "IMAGE_KEYS_TABLE": IMAGE_KEYS,
        "IMAGE_HASHES_TABLE": IMAGE_HASHES,
        "BOOKMARKS_TABLE": BOOKMARKS,
        "TRUSTED_ORIGINS": "",
        "CONTACT": "",
        "SECRETS_PREFIX": "imagelake/",
        "EVENT_BUS_NAME": "bus",
        "BATCH_SIZE": "500",
        "POSTS_PER_FEED": "1000",
        "FAILURE_TOLERANCE_PERCENT": "20",
        "POWERTOOLS_SERVICE_NAME": "test",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr("imagelake.run.events._client", lambda: Bus())
    Settings.load.cache_clear()
    yield
    Settings.load.cache_clear()


@pytest.fixture(scope="module")
def clients() -> Iterator[None]:
    """Share clients of AWS among the tests of one file, because creating them takes longer than most tests."""
    aws._client.cache_clear()
    yield
    aws._client.cache_clear()


@pytest.fixture
def lake(environment: None, clients: None) -> Iterator[Lake]:
    """An empty lake."""
    hash_log_cache.cache_clear()
    with aws_in_memory():
        yield Lake()


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Bus:
    """Collect the events that functions publish."""
    bus = Bus()
    monkeypatch.setattr("imagelake.run.events._client", lambda: bus)
    return bus


@pytest.fixture
def website(environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Website]:
    """A local web server that the functions trust."""
    website = Website()
    monkeypatch.setenv("TRUSTED_ORIGINS", website.origin)
    Settings.load.cache_clear()
    yield website
    website.stop()
