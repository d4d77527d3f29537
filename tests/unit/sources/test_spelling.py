"""Feeds as people write them: the URL of a profile, a handle, a network's name with capital letters or spaces.

The URLs are those that the networks' own pages show: https://bsky.app/profile/HANDLE, https://SERVER/@NAME
(https://docs.joinmastodon.org/entities/Account/#url), https://www.instagram.com/NAME/, https://x.com/NAME,
https://www.facebook.com/NAME or profile.php?id=NUMBER, https://commons.wikimedia.org/wiki/Category:TITLE.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagelake.run.errors import BadFeedError
from imagelake.sources import SOURCES, parse_feed
from imagelake.sources.spelling import short_form

# The feeds of sites whose pages are no feeds: https://www.reddit.com/wiki/rss, https://www.flickr.com/services/feeds/,
# and the links rel="alternate" of YouTube's channels.
FEEDS_OF_SITES = (
    "www.youtube.com/feeds/videos.xml?channel_id=UCLA_DiR1FfKNvjuUpBHmylQ",
    "www.reddit.com/r/EarthPorn/.rss",
    "www.reddit.com/r/EarthPorn.rss",
    "old.reddit.com/user/alice/.json",
    "www.flickr.com/services/feeds/photos_public.gne?id=44494372@N05",
)


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/@NASA", "youtube.com/channel/UCLA", "https://youtu.be/abc", "https://m.youtube.com/@NASA/",
        "https://www.tiktok.com/@nasa", "https://www.threads.net/@nasa", "threads.com/@nasa/media",
        "https://www.reddit.com/r/EarthPorn/", "old.reddit.com/user/alice", "https://www.flickr.com/photos/nasahqphoto/",
    ],
)  # fmt: skip
def test_page_that_no_network_reads_is_refused(url: str) -> None:
    with pytest.raises(BadFeedError, match=r"no network here reads the pages of [a-z.]+; write the URL of an RSS or"):
        parse_feed(url)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("nasa.gov", "did you mean bluesky:nasa.gov? the networks are bluesky, commons,"),
        ("Alice.Example.org", "did you mean bluesky:Alice.Example.org? the networks are"),
        ("nasa", "such as bluesky:nasa.gov; the networks are bluesky, commons, facebook, instagram, mastodon, rss,"),
        ("@nasa", "such as bluesky:nasa.gov; the networks are bluesky"),
        ("", "such as bluesky:nasa.gov; the networks are bluesky"),
        ("bluesky:a b", "such as bluesky:nasa.gov"),
    ],
)
def test_text_without_a_network_is_refused_with_an_example_and_the_networks(text: str, hint: str) -> None:
    with pytest.raises(BadFeedError, match=re.escape(hint)):
        parse_feed(text)


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
        ("https://medium.com/@alice", "rss:https://medium.com/@alice"),
        ("rss:https://www.youtube.com/@NASA", "rss:https://www.youtube.com/@NASA"),
        *((f"https://{url}", f"rss:https://{url}") for url in FEEDS_OF_SITES),
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


# Bookmarks and open batches have these ids.
IDS = [
    ("bluesky:alice.example", "bluesky-9b21cd99dfc4cc9c"),
    ("bluesky:did:plc:Abc", "bluesky-9661a11414301896"),
    ("bluesky:http://127.0.0.1:5000@sample.example", "bluesky-2816a01eee83a742"),
    ("x:NASA", "x-ab6ad60aca4c7b0b"),
    ("x:nasa", "x-4b512cae071555f9"),
    ("x:#Cats", "x-27a94d0a9e402806"),
    ("instagram:@natgeo", "instagram-8aba9b7a460c0857"),
    ("instagram:me", "instagram-359911b91e76fec5"),
    ("facebook:NASA", "facebook-a101bef73d415ea7"),
    ("mastodon:server.example@alice", "mastodon-91908ac424086eb4"),
    ("mastodon:http://127.0.0.1:8000#cats", "mastodon-12cfcf2167174195"),
    ("mastodon:a.example:8443@Alice", "mastodon-3c66011ab1724698"),
    ("mastodon:server.example#Café", "mastodon-d81c11a0b6a28330"),
    ("rss:https://a.example/Feed.xml?a=B", "rss-9b18ac572cd52bfe"),
    ("rss:http://127.0.0.1:8000/feed", "rss-5e7b59fffd69d5b9"),
    ("rss:https://a.example:8443/", "rss-276c4aacb0d0926e"),
    ("rss:https://a.example/?token=abc", "rss-4260f38a67be57cf"),
    ("commons:Featured_pictures_of_cats", "commons-46bd2ca12e251ec5"),
    ("stream:posts", "stream-40fa7252d03af7f3"),
]


@pytest.mark.parametrize(("feed", "feed_id"), IDS)
def test_id_of_a_feed_in_its_usual_spelling_never_changes(feed: str, feed_id: str) -> None:
    assert parse_feed(feed).feed_id == feed_id


@pytest.mark.parametrize(
    ("spelling", "usual"),
    [
        # A handle of Bluesky is a host name (https://atproto.com/specs/handle): capital letters mean nothing.
        ("bluesky:@Alice.Example", "bluesky:alice.example"),
        ("bluesky:https://pds.example:443@alice.example", "bluesky:pds.example@alice.example"),
        ("x:@NASA", "x:NASA"),
        ("facebook:@NASA", "facebook:NASA"),
        ({"source": "x", "hashtag": "#cats"}, "x:#cats"),
        ({"source": "mastodon", "server": "a.example", "hashtag": "＃cats"}, "mastodon:a.example#cats"),
        ("mastodon:https://a.example@alice", "mastodon:a.example@alice"),
        ("mastodon:HTTPS://A.example:443/#cats", "mastodon:a.example#cats"),
        ("mastodon:a.example:443#cats", "mastodon:a.example#cats"),
        ("mastodon:http://127.0.0.1:80@alice", "mastodon:http://127.0.0.1@alice"),
        # RFC 3986, 6.2.2.1 and 6.2.3: scheme and host have no case, and the default port may be left out.
        ("rss:HTTPS://A.Example:443/Feed", "rss:https://a.example/Feed"),
        ("rss:http://a.example:80?x=:80", "rss:http://a.example?x=:80"),
        ("A.Example/Feed", "rss:https://a.example/Feed"),
    ],
)
def test_spellings_that_the_network_does_not_distinguish_have_one_id(spelling: Any, usual: str) -> None:
    assert parse_feed(spelling).feed_id == parse_feed(usual).feed_id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rss:https://a.example/F", "rss:https://a.example/f"),
        ("rss:https://a.example/", "rss:http://a.example/"),
        ("rss:https://a.example:80/", "rss:https://a.example/"),
        ("rss:https://a.example/?u=https://B.example:443/", "rss:https://a.example/?u=https://b.example/"),
        ("mastodon:http://a.example@alice", "mastodon:a.example@alice"),
        ("bluesky:did:plc:Abc", "bluesky:did:plc:abc"),
        ("x:nasa", "x:#nasa"),
    ],
)
def test_different_feeds_have_different_ids(one: str, other: str) -> None:
    assert parse_feed(one).feed_id != parse_feed(other).feed_id


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
