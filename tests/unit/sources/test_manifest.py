from __future__ import annotations

from pathlib import Path

import pytest

from imagelake.run.errors import BadFeedError
from imagelake.sources import Feed, get_source
from tests.unit.sources.test_registry import NETWORKS
from tools.networks_page import networks_page

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", NETWORKS)
def test_manifest_when_declared_has_every_fact_and_feeds_that_work(name: str) -> None:
    source = get_source(name)
    manifest = source.manifest
    assert all([manifest.title, manifest.feeds, manifest.lookback, manifest.deletion, manifest.terms])
    assert manifest.credentials or not manifest.credentials_required
    for text in manifest.feeds:
        feed = Feed.of(text)
        assert feed.source == name
        if "," not in (feed.server or ""):  # Check Input makes one feed for each server of a list
            source.request(feed, None, None)


def test_networks_page_is_what_the_manifests_say() -> None:
    page = networks_page()
    assert (DOCS / "networks.md").read_text("utf-8") == page, "run make docs"


def test_feed_when_of_a_network_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadFeedError):
        get_source(Feed.of("flickr:alice").source)
