from __future__ import annotations

import pytest

from imagelake.run.errors import BadFeedError
from imagelake.sources import get_source

NETWORKS = ["bluesky", "commons", "facebook", "instagram", "mastodon", "rss", "x"]


# The stream is no network one can look at: its posts are put there by programs of one's own.
SOURCES = sorted([*NETWORKS, "stream"])


@pytest.mark.parametrize("name", SOURCES)
def test_source_when_known_bears_its_name(name: str) -> None:
    assert get_source(name).name == name


def test_source_when_unknown_names_the_known_ones() -> None:
    with pytest.raises(BadFeedError, match=f"no network named 'myspace'; known are {', '.join(SOURCES)}$"):
        get_source("myspace")
