"""Posts: every network's posts fit into the tables and the states, and a post that does not is refused."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from imagelake.run.posts import MAX_MEDIA, MAX_MEDIA_ID_BYTES, MAX_POST_BYTES, MAX_POST_ID_BYTES, Media, Post
from imagelake.sources.wire import reason

MEDIA = {"media_id": "cms/1/0", "index": 0, "kind": "image", "url": "https://cdn.test/1.jpg"}
POST = {"post_id": "1", "author_id": "alice", "posted_at": "2026-11-20T12:00:00Z", "media": [MEDIA]}


def media_id(text: str) -> str:
    return Media.model_validate(MEDIA | {"media_id": text}).media_id


@pytest.mark.parametrize("text", ["mastodon/server.example/9", "cms/図/a b", "x" * MAX_MEDIA_ID_BYTES, "a/../b:c"])
def test_media_id_when_it_is_short_stays(text: str) -> None:
    assert media_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "mastodon/" + "図" * 900,
        "mastodon/" + "x" * 504,
        "mastodon/9 ",
        "mastodon/9\n8",
        "mastodon/9\0",
        "mastodon/\ud800",
    ],
)
def test_media_id_when_it_is_long_or_unusual_is_a_digest(text: str) -> None:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    assert media_id(text) == f"mastodon/sha256-{digest}"
    assert media_id(media_id(text)) == media_id(text)


def test_media_id_without_a_network_has_a_prefix_of_its_own() -> None:
    assert media_id("x" * 513).startswith("media/sha256-")
    assert media_id(" ").startswith("media/sha256-")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"post_id": "図" * 683}, "post_id: longer than 2,048 bytes"),
        ({"author_id": "x" * 513}, "author_id: "),
        ({"media": [MEDIA] * (MAX_MEDIA + 1)}, "media: 1,001 media items, more than 1,000"),
        ({"text": "x" * MAX_POST_BYTES}, "the texts, once for each media item, have more than 10,000,000 bytes"),
        ({"text": "x" * 100_001, "media": [MEDIA] * 100}, "the texts, once for each media item, have more than"),
        ({"media": [MEDIA | {"skip_reason": "x" * 201}]}, "media.0.skip_reason: "),
    ],
)
def test_post_when_it_is_above_a_limit_is_refused_with_the_reason(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Post.model_validate(POST | changes)
    assert reason(caught.value).startswith(expected)


def test_post_when_it_is_at_a_limit_is_accepted() -> None:
    Post.model_validate(POST | {"post_id": "x" * MAX_POST_ID_BYTES, "author_id": "図" * 512})
    Post.model_validate(POST | {"text": "x" * 9_000, "media": [MEDIA] * MAX_MEDIA})
