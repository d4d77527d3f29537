"""Feeds as people write them: the URL of a profile, a handle, a network's name with capital letters or spaces.

The URLs are those that the networks' own pages show: https://bsky.app/profile/HANDLE, https://SERVER/@NAME
(https://docs.joinmastodon.org/entities/Account/#url), https://www.instagram.com/NAME/, https://x.com/NAME,
https://www.facebook.com/NAME or profile.php?id=NUMBER, https://commons.wikimedia.org/wiki/Category:TITLE.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.errors import BadFeedError
from imagelake.sources import SOURCES, parse_feed
from imagelake.sources.spelling import short_form


@pytest.mark.parametrize(
    ("text", "feed"),
    [
        ("https://bsky.app/profile/nasa.gov", "bluesky:nasa.gov"),
        ("bsky.app/profile/did:plc:abc/", "bluesky:did:plc:abc"),
        ("https://bsky.app/hashtag/cats?author=x", "bluesky:#cats"),
        ("@alice.bsky.social", "bluesky:alice.bsky.social"),
        ("https://mastodon.social/@alice", "mastodon:mastodon.social@alice"),
        ("mastodon.social/@alice/media", "mastodon:mastodon.social@alice"),
        ("https://mastodon.social/users/alice", "mastodon:mastodon.social@alice"),
        ("https://mastodon.social/tags/Katzen", "mastodon:mastodon.social#Katzen"),
        ("https://home.example/@alice@other.example", "mastodon:other.example@alice"),
        ("http://127.0.0.1:8000/@alice", "mastodon:http://127.0.0.1:8000@alice"),
        ("@alice@Server.Example", "mastodon:server.example@alice"),
        ("instagram.com/nasa", "instagram:@nasa"),
        ("https://www.instagram.com/nasa/?hl=en", "instagram:@nasa"),
        ("https://www.instagram.com/explore/tags/caf%C3%A9/", "instagram:#café"),
        ("x.com/NASA", "x:NASA"),
        ("https://mobile.twitter.com/NASA/media", "x:NASA"),
        ("https://x.com/hashtag/cats?src=hashtag_click", "x:#cats"),
        ("facebook.com/NASA", "facebook:NASA"),
        ("https://m.facebook.com/profile.php?id=100064", "facebook:100064"),
        ("https://www.facebook.com/p/Space-Agency-100064/", "facebook:100064"),
        ("https://commons.wikimedia.org/wiki/Category:Featured_pictures_of_cats", "commons:Featured_pictures_of_cats"),
        ("https://commons.m.wikimedia.org/wiki/Category:Caf%C3%A9s in Paris", "commons:Cafés_in_Paris"),
        ("commons: Featured pictures of cats", "commons:Featured_pictures_of_cats"),
        ("https://example.org/feed.xml", "rss:https://example.org/feed.xml"),
        ("blog.example/feed/", "rss:https://blog.example/feed/"),
        ("https://mastodon.social/@alice.rss", "rss:https://mastodon.social/@alice.rss"),
        ("https://www.youtube.com/@NASA", "rss:https://www.youtube.com/@NASA"),
        ("https://[::1", "rss:https://[::1"),
        ("Bluesky: nasa.gov", "bluesky:nasa.gov"),
        ("  MASTODON :server.example#cats ", "mastodon:server.example#cats"),
        ("RSS: https://example.org/feed.xml", "rss:https://example.org/feed.xml"),
        ("Twitter:NASA", "x:NASA"),
        ("<https://x.com/NASA>", "x:NASA"),
        ("\u200bbluesky:nasa.gov\ufeff", "bluesky:nasa.gov"),
        ("x:https://x.com/NASA", "x:NASA"),
        ("mastodon:https://server.example/@alice", "mastodon:server.example@alice"),
        ("mastodon:@alice@server.example", "mastodon:server.example@alice"),
    ],
)
def test_spelling_of_a_feed_is_read(text: str, feed: str) -> None:
    assert parse_feed(text).name == feed


@pytest.mark.parametrize("feed", [feed for source in SOURCES.values() for feed in source.manifest.feeds])
def test_short_form_of_every_network_stays_as_it_is(feed: str) -> None:
    assert short_form(feed, SOURCES) == feed


@pytest.mark.parametrize(
    "feed",
    [
        "mastodon:http://127.0.0.1:8000#cats",
        "mastodon:https://server.example@alice",
        "bluesky:http://127.0.0.1:8000@sample.example",
        "rss:https://example.org/?a=1,2;b=3",
        "rss:http://127.0.0.1:8000/feed.xml",
        "commons:Cats:_a_history",
        "x:https://elsewhere.example/NASA",
        "blusky:nasa.gov",
        "nonsense",
        "#cats",
        "",
        "{}",
    ],
)
def test_other_text_stays_as_it_is(feed: str) -> None:
    assert short_form(feed, SOURCES) == feed


@pytest.mark.parametrize(
    "text",
    [
        "bluesky:a.example bluesky:b.example",
        "bluesky:a.example,mastodon:b.example#cats",
        "Bluesky: a.example; X: NASA",
        "https://x.com/NASA https://x.com/ESA",
        "x.com/NASA\nx.com/ESA",
        "@a@server.example, @b@server.example",
        "rss:https://a.example/f rss:https://b.example/f",
    ],
)
def test_several_feeds_in_one_text_are_refused(text: str) -> None:
    with pytest.raises(BadFeedError, match="it names several feeds; write each of them on its own"):
        parse_feed(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://bsky.app/profile/nasa.gov/post/3kabc",
        "https://bsky.app/search?q=cats",
        "https://www.instagram.com/p/Cabc123/",
        "https://www.instagram.com/explore/",
        "https://x.com/NASA/status/123",
        "https://x.com/home",
        "https://www.facebook.com/groups/cats",
        "https://www.facebook.com/profile.php",
        "https://commons.wikimedia.org/wiki/File:Cat.jpg",
        "https://mastodon.social/@alice/1234567",
    ],
)
def test_url_of_another_page_is_refused(url: str) -> None:
    with pytest.raises(BadFeedError, match="this URL is"):
        parse_feed(url)


@pytest.mark.parametrize("value", [{"source": "x", "account": "https://x.com/NASA"}, 7, None, ["bluesky:a.example"]])
def test_only_a_text_has_spellings(value: Any) -> None:
    if isinstance(value, dict):
        assert parse_feed(value).account == "https://x.com/NASA"
    else:
        with pytest.raises(BadFeedError):
            parse_feed(value)


_PARTS = (
    "https://",
    "x.com/",
    "bsky.app/profile/",
    "@",
    "a.example",
    ":",
    "/",
    "#",
    "?",
    "%40",
    "[",
    "bluesky",
    " ",
    ",",
)


@given(st.lists(st.sampled_from(_PARTS) | st.text(max_size=3), max_size=9).map("".join))
def test_any_text_becomes_a_feed_or_is_refused(text: str) -> None:
    with suppress(BadFeedError):
        parse_feed(text)
