"""The environment: read once, and wrong only with the variable's name."""

from __future__ import annotations

import pytest

from imagelake.run.errors import BadInputError
from imagelake.run.settings import settings

pytestmark = pytest.mark.usefixtures("environment")


def test_settings_when_only_names_are_given() -> None:
    read = settings()
    assert (read.bucket_name, read.image_keys_table, read.bookmarks_table) == ("lake", "image-keys", "bookmarks")
    assert (read.batch_size, read.posts_per_feed, read.failure_tolerance_percent) == (500, 1000, 20)
    assert (read.trusted_origins, read.contact) == (frozenset(), "")


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings()
    monkeypatch.setenv("BATCH_SIZE", "7")
    assert settings() is before


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
    assert settings().trusted_origins == origins


@pytest.mark.parametrize(
    ("name", "value"),
    [("BATCH_SIZE", "0"), ("POSTS_PER_FEED", "many"), ("FAILURE_TOLERANCE_PERCENT", "101"), ("BUCKET_NAME", "")],
)
def test_error_names_the_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInputError, match=f"environment variable {name}: "):
        settings()


def test_error_when_a_variable_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOOKMARKS_TABLE")
    with pytest.raises(BadInputError, match="environment variable BOOKMARKS_TABLE: Field required"):
        settings()
