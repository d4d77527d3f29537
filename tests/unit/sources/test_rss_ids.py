"""Ids of RSS and JSON feeds, which a request to erase can name as they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagelake.run.posts import NOT_IN_ID
from imagelake.sources import Feed, get_source
from imagelake.web.messages import Response

FEED = Feed.of("rss:https://blog.example/feed.json")


@pytest.mark.parametrize(
    ("item", "post_id", "author_id"),
    [
        ({"id": " 1 ", "authors": [{"name": "Bob "}]}, "1", "blog.example/Bob"),
        ({"id": "a\tb", "authors": [{"name": "Bob\u0085B"}]}, "a b", "blog.example/Bob B"),
        ({"id": "\u3000", "url": "https://blog.example/1"}, "https://blog.example/1", "blog.example"),
        ({"id": "1", "authors": [{"name": "B\n"}]}, "1", "blog.example/B"),
    ],
)
def test_ids_have_no_spaces_at_their_ends_and_no_controls(item: dict[str, Any], post_id: str, author_id: str) -> None:
    entry = {"date_published": "2026-04-01T10:00:00Z", **item}
    body = json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "t", "items": [entry]}).encode()
    (post,) = get_source("rss").parse(FEED, Response(200, {"content-type": "application/json"}, body, "")).posts
    assert (post.post_id, post.author_id) == (post_id, author_id)
    assert not NOT_IN_ID.search(post.post_id + post.author_id)
