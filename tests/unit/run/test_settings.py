"""The environment: read once per function, and an error names the wrong variable."""

from __future__ import annotations

import pytest

from check_input.settings import CheckInputSettings
from fetch.settings import FetchSettings
from imagelake.run.errors import BadInputError
from validate.settings import ValidateSettings

pytestmark = pytest.mark.usefixtures("environment")


def test_settings_are_those_of_one_function() -> None:
    settings = CheckInputSettings.load()
    assert settings.model_dump() == {
        "bucket_name": "lake",
        "event_bus_name": "bus",
        "batch_size": 500,
        "posts_per_feed": 1000,
        "failure_tolerance_percent": 20,
    }


def test_settings_are_read_once_per_function(monkeypatch: pytest.MonkeyPatch) -> None:
    before = FetchSettings.load()
    monkeypatch.setenv("CONTACT", "someone@example.com")
    monkeypatch.setenv("BUCKET_NAME", "another")
    assert FetchSettings.load() is before
    assert ValidateSettings.load().bucket_name == "another"


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", set()),
        ("https://a.example:8443", {"https://a.example:8443"}),
        ("http://127.0.0.1:1,https://b.example", {"http://127.0.0.1:1", "https://b.example"}),
    ],
)
def test_trusted_origins_are_a_list(monkeypatch: pytest.MonkeyPatch, text: str, origins: set[str]) -> None:
    monkeypatch.setenv("TRUSTED_ORIGINS", text)
    assert FetchSettings.load().trusted_origins == origins


@pytest.mark.parametrize(
    ("name", "value"),
    [("BATCH_SIZE", "0"), ("POSTS_PER_FEED", "many"), ("FAILURE_TOLERANCE_PERCENT", "101"), ("EVENT_BUS_NAME", "")],
)
def test_error_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInputError, match=f"environment variable {name}: "):
        CheckInputSettings.load()


def test_error_when_a_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOOKMARKS_TABLE")
    with pytest.raises(BadInputError, match="environment variable BOOKMARKS_TABLE: it is missing"):
        FetchSettings.load()
