"""Credentials in URLs are masked in every spelling, and everything else stays as it is."""

from __future__ import annotations

import time

import pytest

from imagelake.run.masking import mask, mask_feed, mask_users_in_bytes
from imagelake.run.posts import Media, Post
from tests.support.factories import NOON

USERS = [
    ("rss:https://user:s3cret@a.example/feed", "rss:https://REDACTED@a.example/feed"),
    ("https://s3cret@a.example/", "https://REDACTED@a.example/"),
    ("https://user:1234@a.example/", "https://REDACTED@a.example/"),
    ("HTTPS://user:s3c@ret@a.example:8443/", "HTTPS://REDACTED@a.example:8443/"),
    ("mastodon:https://user:s3cret@a.example@alice", "mastodon:https://REDACTED@a.example@alice"),
    ("mastodon:https://user:s3cret@a.example#cats", "mastodon:https://REDACTED@a.example#cats"),
    ("mastodon:https://s3cret@a.example#cats", "mastodon:https://REDACTED@a.example#cats"),
    ("https%3A%2F%2Fuser%3As3cret%40a.example%2F", "https%3A%2F%2FREDACTED%40a.example%2F"),
    (r'{"u":"https:\/\/user:s3cret@a.example\/x"}', r'{"u":"https:\/\/REDACTED@a.example\/x"}'),
    ('<a href="https://user:s3cret@a.example">', '<a href="https://REDACTED@a.example">'),
]
TOKENS = [
    ("https://a.example/?a=1&api_key=s3cret&b=2", "https://a.example/?a=1&api_key=REDACTED&b=2"),
    ("https://a.example/?token=s3cret", "https://a.example/?token=REDACTED"),
    ("https://a.example/?X-Amz-Signature=s3cret#x", "https://a.example/?X-Amz-Signature=REDACTED#x"),
    ("a?x=1&amp;sig=s3cret", "a?x=1&amp;sig=REDACTED"),
    (r'"a?x=1\u0026password=s3cret"', r'"a?x=1\u0026password=REDACTED"'),
    ("https://user:s3/cret@a.example/", "https://REDACTED@a.example/"),
]
PLAIN = [
    "mastodon:https://a.example@alice: failed",
    "bluesky:http://127.0.0.1:5000@sample.imagelake.example",
    "mastodon:a.example:8001@alice",
    "bluesky:did:plc:abc",
    "rss:https://a.example:8080/@alice.rss",
    "https://a.example/@alice?author=bob&monkey=1",
    "mail to alice@a.example, https://a.example",
    "https://a.example/#/v2/executions/details/arn:aws:states:eu-central-1:1:execution:M:x",
]


@pytest.mark.parametrize(("text", "masked"), USERS + TOKENS)
def test_message_holds_no_credential(text: str, masked: str) -> None:
    assert mask(text) == masked
    assert mask(masked) == masked


@pytest.mark.parametrize(("text", "masked"), USERS)
def test_page_holds_no_password_of_a_url(text: str, masked: str) -> None:
    assert mask_users_in_bytes(b"\xff" + text.encode()) == b"\xff" + masked.encode()


@pytest.mark.parametrize("text", PLAIN)
def test_text_without_credentials_stays_as_it_is(text: str) -> None:
    assert mask(text) == mask_feed(text) == mask_users_in_bytes(text.encode()).decode() == text


@pytest.mark.parametrize(
    ("config", "masked"),
    [
        ("mastodon:user:s3cret@a.example#cats", "mastodon:REDACTED@a.example#cats"),
        ("mastodon:user:s3cret@a.example@alice", "mastodon:REDACTED@alice"),
        (
            {"source": "mastodon", "server": "user:s3cret@a.example", "hashtag": "cats"},
            {"source": "mastodon", "server": "REDACTED@a.example", "hashtag": "cats"},
        ),
        (
            [{"account": "https://user:s3cret@a.example", "limit": 5}],
            [{"account": "https://REDACTED@a.example", "limit": 5}],
        ),
        # A feed whose URL holds a token works, so its definition stays.
        ("rss:https://a.example/?token=abc", "rss:https://a.example/?token=abc"),
    ],
)
def test_definition_of_a_feed_holds_no_password(config: object, masked: object) -> None:
    assert mask_feed(config) == masked


@pytest.mark.parametrize(
    "hostile",
    [
        "://a:b",
        "https://",
        "a",
        "abcdefgh:",
        "https://a@",
        "?a",
        "&token=",
        "://a:b/@",
        "mastodon:https://a@",
        "https:%2f%2f",
    ],
)
def test_hostile_page_is_read_in_linear_time(hostile: str) -> None:
    def seconds(size: int) -> float:
        text, before = (hostile * (size // len(hostile)) + "@"), time.process_time()
        mask_users_in_bytes(text.encode())
        mask(text[: size // 10])
        return time.process_time() - before

    assert seconds(2_000_000) < 1


@pytest.mark.parametrize(
    "password", ["s3cret", "s3 cret", 's3"cret', "s3'cret", "s3<cret", "s3\\cret", "#s3cret", "/s3cret"]
)
@pytest.mark.parametrize("feed", ["rss:https://user:{}@host.example/feed", "rss:user:{}@host.example/feed"])
def test_password_of_a_feed_can_have_any_character(feed: str, password: str) -> None:
    assert mask_feed(feed.format(password)).endswith("REDACTED@host.example/feed")
    assert "cret" not in mask_feed(feed.format(password))


@pytest.mark.parametrize(
    "feed",
    [
        "mastodon:https://[2001:db8::1]@alice",
        "mastodon:https://server.example@alice",
        "mastodon:https://server.example:8443@alice",
        "rss:https://host.example/@alice",
        "rss:https://host.example:8443/feed/@alice?to=bob@host.example",
        "bluesky:alice.example",
        {"source": "mastodon", "account": "alice", "server": "https://[2001:db8::1]"},
    ],
)
def test_feed_without_a_password_stays_as_it_is(feed: object) -> None:
    assert mask_feed(feed) == feed


@pytest.mark.parametrize("account", ["user:s3cret@host.example/feed", "user:s3 cret@pds.example"])
def test_password_in_an_account_is_masked(account: str) -> None:
    assert "cret" not in mask_feed({"source": "bluesky", "account": account})["account"]


def test_texts_of_a_post_hold_no_password_that_was_escaped_in_its_page() -> None:
    url = "https://user:s3cret@host.example/image"
    media = Media(media_id=f"rss/{url}", index=0, kind="image", url=url, alt_text=url)
    post = Post(post_id=url, author_id="a", posted_at=NOON, text=f"see {url}", permalink=url, media=[media])
    assert "s3cret" not in post.model_dump_json()
    assert post.permalink == "https://REDACTED@host.example/image"
