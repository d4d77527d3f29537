"""Tests that hold for every adapter of the registry; ``tests/support/page_properties.py`` has those of its pages."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from imagelake.run.errors import BadFeedError
from imagelake.run.image_option_models import ImageOptionChanges
from imagelake.run.masking import mask_feed
from imagelake.sources import SOURCES, Feed, get_source, parse_feed
from tools.networks_page import networks_page

DOCS = Path(__file__).parents[3] / "docs"
# No network can have this name.
UNKNOWN = "no_such_network"


@pytest.mark.parametrize("name", SOURCES)
def test_adapter_has_the_name_of_its_place_in_the_registry(name: str) -> None:
    assert get_source(name).name == name


def test_registry_is_in_alphabetical_order() -> None:
    assert [*SOURCES] == sorted(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_adapter_has_a_test_file_with_the_tests_of_pages(name: str) -> None:
    text = Path(__file__).with_name(f"test_{name}.py").read_text()
    assert re.search(r"^class Test\w*\(PageProperties\):", text, re.MULTILINE), "see CONTRIBUTING.md"


@pytest.mark.parametrize("name", SOURCES)
def test_manifest_has_every_fact_and_feeds_that_work(name: str) -> None:
    source = get_source(name)
    manifest = source.manifest
    assert all([manifest.title, manifest.feeds, manifest.lookback, manifest.deletion, manifest.terms])
    assert manifest.credentials or not manifest.credentials_required
    for text in manifest.feeds:
        feed = parse_feed(text)
        assert feed.source == name
        if "," not in (feed.server or ""):  # Check Input makes one feed for each server of a list
            source.request(feed, None, None)


def test_setting_of_feeds_is_known_to_one_network() -> None:
    known = [setting for source in SOURCES.values() for setting in source.manifest.settings]
    of_every_network = ["account", "hashtag", "limit", "server", "since", "source", *ImageOptionChanges.model_fields]
    assert sorted([*known, *of_every_network]) == sorted(Feed.model_fields)


def test_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        BadFeedError, match=f"no network named '{UNKNOWN}'; the known networks are {', '.join(sorted(SOURCES))}$"
    ):
        get_source(Feed.of(f"{UNKNOWN}:alice").source)


def test_setting_of_another_network_is_refused() -> None:
    assert parse_feed({"source": "stream", "account": "posts", "window": "w-1"}).window == "w-1"
    assert parse_feed(f"{UNKNOWN}:alice").source == UNKNOWN
    with pytest.raises(BadFeedError, match=r"^feed .*: window is a setting of stream feeds only$"):
        parse_feed({"source": UNKNOWN, "account": "alice", "window": "w"})


def test_network_can_define_a_short_form(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern = re.compile(r"(?P<account>[0-9]+@N[0-9]+)")
    rss = get_source("rss")
    monkeypatch.setattr(rss, "manifest", replace(rss.manifest, short_form=pattern))
    feed = parse_feed("rss:12345678@N00")
    assert (feed.account, feed.server, feed.name) == ("12345678@N00", None, "rss:12345678@N00")
    # Every other text has one of the usual forms.
    assert parse_feed("rss:server.example@alice").server == "server.example"


def test_networks_page_is_what_the_manifests_say() -> None:
    assert (DOCS / "networks.md").read_text("utf-8") == networks_page(), "run make docs"


@pytest.mark.parametrize("text", ["rss:https://a.example/\ud800", "bluesky:#\udfff", "mastodon:s\ud800@alice"])
def test_feed_with_half_of_a_character_is_refused(text: str) -> None:
    with pytest.raises(BadFeedError, match="it has half of a Unicode character") as caught:
        parse_feed(text)
    str(caught.value).encode()


@pytest.mark.parametrize(
    "feed",
    [
        "mastodon:https://a.example@alice:s3cret@host.example",
        {"source": "mastodon", "account": "alice", "server": "https://user:s3cret@server.example"},
    ],
)
def test_server_whose_password_was_masked_is_refused(feed: object) -> None:
    """Without this, the run would contact a host with the name of the mask."""
    with pytest.raises(BadFeedError, match="server: it must not have a user name or a password") as caught:
        parse_feed(mask_feed(feed))
    assert "s3cret" not in str(caught.value)
