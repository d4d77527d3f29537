from __future__ import annotations

import pytest

from shared.errors import BadFeedError
from sources import get_source


@pytest.mark.parametrize("name", ["bluesky", "mastodon"])
def test_source_when_known_bears_its_name(name: str) -> None:
    assert get_source(name).name == name


def test_source_when_unknown_names_the_known_ones() -> None:
    with pytest.raises(BadFeedError, match="no network named 'myspace'; known are bluesky, mastodon"):
        get_source("myspace")
