from __future__ import annotations

import pytest

from imagelake.run.errors import BadFeedError
from imagelake.sources import Feed
from imagelake.sources.mastodon import Mastodon
from imagelake.sources.origin import host, origin
from imagelake.web.client import GuardedClient


def feed(server: str | None) -> Feed:
    return Feed(source="mastodon", account="alice", server=server)


@pytest.mark.parametrize(
    ("server", "url", "name"),
    [
        ("social.example", "https://social.example", "social.example"),
        ("Social.Example.", "https://social.example", "social.example"),
        ("social.example:8443", "https://social.example:8443", "social.example"),
        ("social.example.:8443", "https://social.example:8443", "social.example"),
        ("https://social.example:443", "https://social.example", "social.example"),
        ("https://social.example/", "https://social.example", "social.example"),
        ("HTTP://127.0.0.1:49152", "http://127.0.0.1:49152", "127.0.0.1"),
        ("http://localhost:3000", "http://localhost:3000", "localhost"),
        ("http://[::1]:3000", "http://[::1]:3000", "::1"),
        ("münchen.example", "https://xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        # IDNA 2008: https://www.rfc-editor.org/rfc/rfc5894#section-7.2; mapped by UTS 46, table of deviations
        ("straße.example", "https://xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("STRAẞE.example", "https://xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("βόλος.com", "https://xn--nxasmm1c.com", "xn--nxasmm1c.com"),
        ("ΒΌΛΟΣ.com", "https://xn--nxasmq6b.com", "xn--nxasmq6b.com"),
        ("example.ΒΌΛΟΣ", "https://example.xn--nxasmq6b", "example.xn--nxasmq6b"),
        ("中国。example", "https://xn--fiqs8s.example", "xn--fiqs8s.example"),
        ("ｍｕｎｃｈｅｎ.example", "https://munchen.example", "munchen.example"),
    ],
)
def test_origin_when_server_is_a_host_or_an_origin(server: str, url: str, name: str) -> None:
    assert origin(feed(server)) == url
    assert host(feed(server)) == name


@pytest.mark.parametrize(
    "server",
    [
        "alice",
        "https://",
        "ftp://a.example",
        "https://a.example/api",
        "a.example/x",
        "a.example?x=1",
        "http://[::1",
        "..",
        "a..example",
        "a.example:port",
        "a.example:99999",
        "a_b.example",
        "-a.example",
        "a b.example",
        "x" * 70 + ".example",
    ],
)
def test_origin_when_server_is_neither_is_refused(server: str) -> None:
    with pytest.raises(BadFeedError, match=r"^a mastodon feed's server "):
        origin(feed(server))


@pytest.mark.parametrize("name", ["straße.example", "münchen.example", "faß.de", "βόλος.com", "中国.example"])
def test_server_of_a_feed_and_of_an_image_are_one(name: str) -> None:
    """The login of such a server may be under either of its names."""
    with GuardedClient() as client:
        assert client.check(f"https://{name}/a.jpg").host == host(feed(name))
    request = Mastodon().request(feed(name), None, None)
    for field in (name, host(feed(name))):
        assert Mastodon().authorize(request, {field: "t"}).headers["authorization"] == "Bearer t"


def test_origin_when_server_holds_a_password_does_not_repeat_it() -> None:
    with pytest.raises(BadFeedError) as caught:
        origin(feed("https://alice:hunter2@a.example"))
    assert "hunter2" not in str(caught.value)


def test_origin_when_server_is_missing_tells_how_to_write_it() -> None:
    with pytest.raises(BadFeedError, match="mastodon:SERVER@ACCOUNT or mastodon:SERVER#TAG"):
        origin(feed(None))
    assert origin(feed(None), "https://api.example") == "https://api.example"
