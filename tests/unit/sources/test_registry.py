from __future__ import annotations

import pytest

from imagelake.run.errors import BadFeedError
from imagelake.sources import Feed, get_source, parse_feed

NETWORKS = ["bluesky", "commons", "facebook", "instagram", "mastodon", "rss", "x"]


# The stream is not a public network: your own programs put posts on it.
SOURCES = sorted([*NETWORKS, "stream"])


@pytest.mark.parametrize("name", SOURCES)
def test_source_when_known_bears_its_name(name: str) -> None:
    assert get_source(name).name == name


def test_source_when_unknown_names_the_known_ones() -> None:
    with pytest.raises(BadFeedError, match=f"no network named 'myspace'; the known networks are {', '.join(SOURCES)}$"):
        get_source("myspace")


def test_settings_of_feeds_are_each_known_to_one_network() -> None:
    known = [setting for name in SOURCES for setting in get_source(name).manifest.settings]
    assert sorted([*known, "account", "hashtag", "limit", "server", "source"]) == sorted(Feed.model_fields)


def test_parse_feed_when_a_setting_is_of_its_network_or_the_network_is_unknown() -> None:
    assert parse_feed({"source": "stream", "account": "posts", "window": "w-1"}).window == "w-1"
    assert parse_feed("flickr:alice").source == "flickr"
    with pytest.raises(BadFeedError, match=r"^feed .*: window is a setting of stream feeds only$"):
        parse_feed({"source": "flickr", "account": "alice", "window": "w"})
