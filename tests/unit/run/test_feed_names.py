"""Messages of errors name a feed by its id, because Lambda logs them, and Report puts the name back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from imagelake.run.errors import BadFeedError, RateLimitedError
from imagelake.run.feed_names import errors_with_id, title, with_name
from imagelake.run.models import FeedEntry
from imagelake.run.sentences import show

ID = "bluesky-15a360c6a1ba98dc"


def entry(name: str, config: Any = None) -> FeedEntry:
    return FeedEntry(feed_id=ID, name=name, config=config or name)


def logged(feed: FeedEntry, error: Exception) -> str:
    with pytest.raises(type(error)) as caught, errors_with_id(feed):
        raise error
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "config", "message", "expected"),
    [
        ("bluesky:alice.example", None, "bluesky:alice.example: it is gone", f"{ID}: it is gone"),
        ("bluesky:alice.example", None, "no profile of Alice.Example", f"no profile of {ID}"),
        ("x:at", None, "@at: it does not exist at that time", f"@{ID}: it does not exist {ID} that time"),
        (
            "x:NASA",
            {"source": "x", "account": "NASA"},
            "'nasa' is not a name of NASAs",
            f"'{ID}' is not a name of NASAs",
        ),
        ("mastodon:a.example:8443@alice", None, "a.example did not answer alice", f"{ID} did not answer {ID}"),
        ("mastodon:a.example#Café", None, "a.example has no #café", f"{ID} has no #{ID}"),
        ("rss:https://alice.example/feed", None, "alice.example has no IP address", f"{ID} has no IP address"),
        (
            "x:NASA",
            {"account": 12345, "limit": 0},
            "account: it has to be text, not 12345",
            f"account: it has to be text, not {ID}",
        ),
        (
            "x:NASA",
            {"account": "a", "limit": 0},
            "limit: it has to be more than 0, not 0",
            "limit: it has to be more than 0, not 0",
        ),
        ("x:NASA", {"hashtag": "é" * 90}, f"hashtag: not {show('é' * 90)}", f'hashtag: not "{ID}…'),
        ("bluesky:bsky.app", None, "public.api.bsky.app did not answer", "public.api.bsky.app did not answer"),
        ("bluesky:bsky.app", None, "bsky.app: public.api.bsky.app: 503", f"{ID}: public.api.bsky.app: 503"),
        ("mastodon:a.example#cats", None, "files.a.example has no #cats", f"files.a.example has no #{ID}"),
        (
            "bluesky:alice.example",
            {"source": "bluesky", "account": "alice.example", "server": "pds.alice.example"},
            "pds.alice.example did not answer",
            f"{ID} did not answer",
        ),
        ("rss:https://a.example/f?a=b", None, "https://a.example/f?a=b has moved", f"{ID} has moved"),
    ],
)
def test_error_has_the_id_in_place_of_each_name(name: str, config: Any, message: str, expected: str) -> None:
    assert logged(entry(name, config), BadFeedError(message)) == expected


@pytest.mark.parametrize("feed_id", ["rss-15a360c6a1ba98dc", "bad-15a360c6a1ba98dc"])
def test_site_of_a_person_is_not_named_by_another_host(feed_id: str) -> None:
    name = "rss:https://alice.example/feed"
    feed = FeedEntry(feed_id=feed_id, name=name, config=name)
    message = "the next page is on another site, https://www.alice.example"
    assert "alice" not in logged(feed, BadFeedError(message))


@pytest.mark.parametrize(
    "config", ["Planted \u2603 'name'", {"source": "x", "account": "Planted é"}, ["Planted", 1], "P" * 300]
)
def test_error_about_a_wrong_definition_does_not_show_it(config: Any) -> None:
    feed = entry(str(config)[:120], config)
    assert logged(feed, BadFeedError(f"{title(config)}: it is wrong")) == f"{ID}: it is wrong"


def test_error_keeps_its_kind_and_fields() -> None:
    end = datetime(2026, 4, 1, tzinfo=UTC)
    with pytest.raises(RateLimitedError) as caught, errors_with_id(entry("x:NASA")):
        raise RateLimitedError("x:NASA: its limit is reached", end)
    assert (str(caught.value), caught.value.reset_at) == (f"{ID}: its limit is reached", end)


def test_report_puts_the_name_back() -> None:
    assert with_name(f"{ID}: it is gone", entry("x:NASA")) == "x:NASA: it is gone"
    assert "secret" not in with_name(f"{ID}: it is gone", entry("rss:https://a.example/?token=secret"))
