"""Hostile URLs: no request ever connects to a private address, checked at the socket itself.

Every connection of the process is noted and led to a trap, a real listener on this machine, unless it goes to the one
server that a test trusts. So a check that fails to stop a connection shows twice: in the notes and in the trap.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import transform.app
import transform.batch
from imagelake.lake.staging import Staging
from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.run.settings import Settings
from imagelake.sources import get_source
from tests.unit.fake_lake import Lake
from tests.unit.functions.factories import Context, event, item, keep_plan, plan
from tests.unit.web.test_client import LITERALS, URLS
from transform.download import Downloader, Limits

PUBLIC, PUBLIC_V6 = "93.184.215.14", "2606:4700::6810:84e5"
LIMITS = Limits(connect_seconds=2, read_seconds=2, total_seconds=5, max_tries=2, backoff_seconds=0.001)
REFUSALS = (ErrorCode.URL_REFUSED, ErrorCode.HOST_NOT_FOUND)

# Targets of an attacker: the machine itself, the private network, the metadata services of the clouds.
V4 = ["127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200",
      "168.63.129.16", "192.0.0.192", "100.64.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255"]  # fmt: skip
# The forms in which IPv6 carries IPv4, each around the metadata service, loopback and a private address.
_FORMS = [
    "::{0}", "::ffff:{0}", "::ffff:0:{0}", "64:ff9b::{0}", "64:ff9b:1::{0}", "2002:{1}::1", "2001:0:{1}::1",
    "2001:0:4136:e378:8000:63bf:{2}", "2a00::5efe:{0}", "2a00::200:5efe:{0}", "fe80::5efe:{0}",
]  # fmt: skip


def _halves(address: str, flip: int) -> str:
    one, two, three, four = (int(part) ^ flip for part in address.split("."))
    return f"{one << 8 | two:x}:{three << 8 | four:x}"


V6 = [
    form.format(address, _halves(address, 0), _halves(address, 255))  # Teredo holds its client's address inverted
    for form in _FORMS
    for address in ("169.254.169.254", "127.0.0.1", "10.0.0.1")
] + ["::", "::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "3fff::1", "2001:db8::1", "100::1"]
ADDRESSES = V4 + V6

# Other spellings of the same targets that parsers and resolvers know, beside those of the client's own tests.
HOSTS = [
    "0x7f.0.0.1", "0x7f.0x1", "0x7F000001", "0x0000007f.1", "00000177.1", "0177.1", "127.0x0.0.01", "127.000.000.001",
    "0300.0250.0.1", "0xc0a80001", "3232235521", "0x0a.1", "012.1", "10.1", "167772161", "192.168.1", "172.1048577",
    "0251.254.169.254", "0xa9.0xfe.0xa9.0xfe", "0xa9.254.43518", "025177524776", "169.16689662", "4294967295",
    "00000000000", "0.0", "127.0.0.1...", "127.1.", "0x7f.1.", "2130706433.", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
    "%30x7f.1", "127.0.0.1%23", "127.0.0.1%2523", "127.0.0.1%3f", "127.0.0.1%0d%0a", "127.0.0.1%09",
    "\uff10\uff580\uff577\uff46.1", "\uff12\uff11\uff13\uff10\uff17\uff10\uff16\uff14\uff13\uff13",
    "\u2474.0.0.1", "\U0001d7cf\U0001d7d0\U0001d7d5.0.0.1", "\u00b9\u00b2\u2077.0.0.1",
    "169\u3002254\u3002169\u3002254",
    "l\u2070calhost", "loca\u200blhost", "lo\u00adcalhost.", "LocalHost.", "%4cocalhost", "[::ffff:7f00:1%25]",
    "[::ffff:127.0.0.1%25eth0]", "[0000:0000:0000:0000:0000:ffff:a9fe:a9fe]", "[::FFFF:A9FE:A9FE]", "[::1%00]",
    "[::1].example.com", "[::1]example.com", "[[::1]]", "[::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1",
]  # fmt: skip
CONFUSED = [
    # one parser's host is another's user name, path or fragment
    "http://media.example#@127.0.0.1/", "http://media.example?@127.0.0.1/", "http://media.example;@127.0.0.1/",
    "http://127.0.0.1#@media.example/", "http://127.0.0.1?@media.example/", "http://127.0.0.1/@media.example/",
    "http://media.example%2f@127.0.0.1/", "http://media.example%5c@127.0.0.1/", "http://media.example:80@127.0.0.1/",
    "http://media.example\\\\127.0.0.1/", "http:/\\127.0.0.1/", "http:\\/127.0.0.1/", "/\\127.0.0.1/",
    "\\\\127.0.0.1\\share", "http:127.0.0.1/", "http:///127.0.0.1/", "http:////127.0.0.1/", "http;//127.0.0.1/",
    "http://127.0.0.1:80:443/", "http://127.0.0.1:+80/", "http://127.0.0.1:\uff18\uff10/", "http://127.0.0.1:080/",
    "http://127.0.0.1:80/", "https://127.0.0.1:443/", "http://127.0.0.1:443/", "http://media.example:80@/",
    # ports and schemes
    "http://media.example:21/", "http://media.example:25/", "http://media.example:6379/", "http://media.example:9200/",
    "http://media.example:2375/", "https://media.example:4430/", "http://media.example:80000/",
    "ldap://127.0.0.1/", "ssh://127.0.0.1/", "tftp://127.0.0.1/", "netdoc:///etc/passwd", "file://127.0.0.1/etc/passwd",
    "FILE:///etc/passwd", "view-source:http://127.0.0.1/", "blob:http://127.0.0.1/a", "about:blank", "s3://bucket/key",
    "httpx://media.example/", "http+unix://socket/", "http\u00ad://127.0.0.1/", "\x00http://127.0.0.1/",
    # one request that is two: line ends in every place
    "http://media.example/\r\n\r\nGET /latest HTTP/1.1\r\nHost: 169.254.169.254", "http://media.example/a\nX: y",
    "http://media.example\r\nX: y/", "http://media.example:80\r\nX: y/", "http://media.example/?a=\r\nX: y",
    "http://media.example/#\r\nX: y", "\r\nhttp://media.example/", "http://media.example/\u0085X: y",
    "http://media.example/\u2028X: y", "http\r\n://media.example/",
]  # fmt: skip
DIRECT = sorted(
    {f"http://{f'[{address}]' if ':' in address else address}/a.jpg" for address in ADDRESSES}
    | {f"{scheme}://{host}/a.jpg" for host in {*HOSTS, *LITERALS} for scheme in ("http", "https")}
    | {*CONFUSED, *URLS}
)


class Wire:
    """All connections and lookups of the process; only the names given here have addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {"localhost": [["127.0.0.1", "::1"]]}
        self.servers: dict[Any, int] = {}  # by address: where connections really go
        self.made: list[Any] = []
        self.trapped = 0  # connections that the trap has seen
        self.trap = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._getaddrinfo, self._connect = socket.getaddrinfo, socket.socket.connect
        wire = self
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)
        monkeypatch.setattr(socket.socket, "connect", lambda sock, address: wire.connect(sock, address))
        monkeypatch.setattr(socket.socket, "connect_ex", lambda sock, address: wire.connect(sock, address))

    def resolve(self, host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        rounds = self.names.get(host.lower().rstrip("."))
        if rounds is None:
            # The system reads every spelling of an address, and asks no name server.
            return self._getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        addresses = rounds.pop(0) if len(rounds) > 1 else rounds[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    def connect(self, sock: socket.socket, address: Any) -> None:
        self.made.append(address[:2])
        port = self.servers.get(address[:2])
        if port is None:
            with socket.socket() as probe:
                self._connect(probe, self.trap.getsockname())
                self.trap.accept()[0].close()
            self.trapped += 1
            raise ConnectionRefusedError
        self._connect(sock, ("127.0.0.1", port))


@pytest.fixture
def wire() -> Iterator[Wire]:
    with pytest.MonkeyPatch.context() as patch:
        wire = Wire(patch)
        yield wire
        wire.trap.close()


def code_of(url: str, **options: Any) -> ErrorCode:
    with Downloader(LIMITS, **options) as downloader, pytest.raises(DownloadError) as caught:
        downloader.download(url)
    return caught.value.code


def test_the_vectors_are_many_and_different() -> None:
    assert len(set(ADDRESSES)) == len(ADDRESSES) >= 44
    assert len(DIRECT) >= 120


def test_no_hostile_url_connects(wire: Wire) -> None:
    wire.names["media.example"] = [["10.0.0.1"]]
    wrong = [url for url in DIRECT if code_of(url) not in REFUSALS or wire.made or wire.trapped]
    assert wrong == []


def test_the_trap_springs_when_a_url_is_let_through(wire: Wire) -> None:
    # The same with a public address: the connection that the tests above must not see does happen.
    assert code_of(f"http://{PUBLIC}/") is ErrorCode.CONNECTION_FAILED
    assert wire.made == [(PUBLIC, 80)] * LIMITS.max_tries
    assert wire.trapped == LIMITS.max_tries


@pytest.mark.parametrize("before", [[], [PUBLIC], [PUBLIC_V6, PUBLIC]], ids=["alone", "after one", "after two"])
def test_no_name_with_a_private_address_connects(wire: Wire, before: list[str]) -> None:
    wrong = []
    for address in ADDRESSES:
        for addresses in ([*before, address], [address, *before]):
            wire.names["rebind.example"] = [addresses]
            if code_of("https://rebind.example/a.jpg") is not ErrorCode.URL_REFUSED or wire.made or wire.trapped:
                wrong.append(addresses)
    assert wrong == []


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_name_is_looked_up_once_for_a_connection(wire: Wire, address: str) -> None:
    # The name turns private between the check and the connection, and stays so: the next try is refused.
    wire.names["rebind.example"] = [[PUBLIC], [address]]
    assert code_of("http://rebind.example/") is ErrorCode.URL_REFUSED
    assert wire.made == [(PUBLIC, 80)]


class Redirector:
    """A server that redirects every path to the location set for it, one request per connection."""

    def __init__(self) -> None:
        self.locations: dict[str, str] = {}
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock:
                sock.settimeout(5)
                head = sock.recv(65536)
                if not head:
                    return
                path = head.split()[1].decode()
                self.asked.append(path)
                location = self.locations.get(path, "/a").encode()
                sock.sendall(
                    b"HTTP/1.1 302 X\r\nConnection: close\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location
                )

    def stop(self) -> None:
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join(6)
        self._listener.close()


@pytest.fixture
def redirector() -> Iterator[Redirector]:
    server = Redirector()
    yield server
    server.stop()


def _redirects(wire: Wire, server: Redirector, location: str) -> ErrorCode:
    server.locations |= {"/a": "/b", "/b": location}
    wire.made.clear()
    return code_of(f"{server.origin}/a", trusted_origins=frozenset({server.origin}))


def test_no_redirect_leads_to_a_private_place(redirector: Redirector, wire: Wire) -> None:
    here = ("127.0.0.1", redirector.port)
    wire.servers[here] = redirector.port
    wire.names |= {"media.example": [["10.0.0.1"]], "mixed.example": [[PUBLIC, "::1"]]}
    targets = [url for url in DIRECT if url.isprintable() and "://" in url and url.isascii()]
    targets += [
        "http://mixed.example/",
        "//127.0.0.1/",
        "//[::1]/",
        "//localhost/",
        f"//127.0.0.1:{redirector.port + 1}/",
    ]
    assert len(targets) >= 120
    wrong = [
        url
        for url in targets
        # A target without a host stays on the server, which redirects until the limit.
        if _redirects(wire, redirector, url) not in (*REFUSALS, ErrorCode.TOO_MANY_REDIRECTS)
        or set(wire.made) != {here}
        or wire.trapped
    ]
    assert wrong == []


def test_a_name_that_turns_private_behind_its_own_redirect_is_refused(
    redirector: Redirector, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "getpeername", lambda sock: (PUBLIC, 80))
    redirector.locations["/a"] = "/b"
    wire.servers[PUBLIC, 80] = redirector.port
    for address in ADDRESSES:
        wire.made.clear()
        wire.names["rebind.example"] = [[PUBLIC], [address]]
        assert code_of("http://rebind.example/a") is ErrorCode.URL_REFUSED, address
        assert wire.made == [(PUBLIC, 80)]
    assert not wire.trapped
    assert set(redirector.asked) == {"/a"}


def test_a_public_peer_that_turns_out_private_is_sent_nothing(redirector: Redirector, wire: Wire) -> None:
    # As behind a transparent proxy or a rewritten route: the address was public, the peer is not.
    wire.names["media.example"] = [[PUBLIC]]
    wire.servers[PUBLIC, 80] = redirector.port
    redirector.locations["/a"] = "/a"
    assert code_of("http://media.example/a") is ErrorCode.URL_REFUSED
    assert redirector.asked == []


def test_a_batch_of_hostile_urls_becomes_rows_and_no_connection(
    lake: Lake, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The network with the least protection: any host may serve its images.
    monkeypatch.setattr(transform.batch, "get_source", lambda name: SimpleNamespace(media_hosts=None))
    monkeypatch.setenv("TRUSTED_ORIGINS", "")
    Settings.load.cache_clear()
    wire.names["media.example"] = [["169.254.169.254"]]
    urls = [url for url in DIRECT if url.isprintable()][::4]
    planned = keep_plan(lake, plan(*(item(str(number), url) for number, url in enumerate(urls))))
    counts = transform.app.handler(event("transform", batch=planned.batch), Context())
    assert counts == {"ok": 0, "duplicate": 0, "rejected": 0, "failed": len(urls)}
    assert {row["error_code"] for row in Staging(lake.bucket, planned.batch).rows()} <= set(REFUSALS)
    assert (wire.made, wire.trapped) == ([], 0)


# Hosts that the networks' own answers name, by the network that reads from them.
CDN_HOSTS = {
    "instagram": [
        "scontent.cdninstagram.com", "scontent-fra3-1.cdninstagram.com", "scontent-fra5-2.cdninstagram.com",
        "scontent-iad3-1.cdninstagram.com", "scontent-lhr8-1.cdninstagram.com", "scontent-nrt1-2.cdninstagram.com",
        "instagram.fham1-1.fna.fbcdn.net", "instagram.fsgn5-14.fna.fbcdn.net", "scontent.xx.fbcdn.net",
    ],
    "facebook": [
        "scontent.xx.fbcdn.net", "scontent-fra3-1.xx.fbcdn.net", "scontent-ams2-1.xx.fbcdn.net",
        "scontent-sea1-1.xx.fbcdn.net", "scontent.fham1-1.fna.fbcdn.net", "external.xx.fbcdn.net",
        "external-fra3-1.xx.fbcdn.net", "static.xx.fbcdn.net", "platform-lookaside.fbsbx.com", "lookaside.fbsbx.com",
    ],
    "x": ["pbs.twimg.com"],
    "bluesky": ["cdn.bsky.app"],
    "commons": ["upload.wikimedia.org"],
    "mastodon": [
        "files.mastodon.social", "files.mastodon.online", "media.mstdn.social", "cdn.masto.host", "cdn.fosstodon.org",
        "media.hachyderm.io", "media.infosec.exchange", "assets.chaos.social", "media.mas.to", "cdn.mastodon.world",
        "media.mstdn.jp", "img.pawoo.net", "files.techhub.social", "media.social.lol", "cdn.mstdn.party",
        "storage.googleapis.com", "s3.eu-central-1.wasabisys.com", "fsn1.your-objectstorage.com",
        "nyc3.digitaloceanspaces.com",
    ],
    "rss": [
        "i.ytimg.com", "live.staticflickr.com", "images.unsplash.com", "i.redd.it", "preview.redd.it", "i.imgur.com",
        "64.media.tumblr.com", "apod.nasa.gov", "www.nasa.gov", "images-assets.nasa.gov", "miro.medium.com",
        "substackcdn.com", "i0.wp.com", "blogger.googleusercontent.com", "res.cloudinary.com", "media.wired.com",
        "d111111abcdef8.cloudfront.net", "imgs.xkcd.com",
    ],
}  # fmt: skip


def test_the_networks_own_hosts_are_many() -> None:
    assert sum(len(set(hosts)) for hosts in CDN_HOSTS.values()) >= 50


@pytest.mark.parametrize("network", CDN_HOSTS)
def test_pictures_are_asked_for_at_the_networks_own_hosts(network: str, wire: Wire) -> None:
    for host in CDN_HOSTS[network]:
        wire.made.clear()
        wire.names = {host: [[PUBLIC, PUBLIC_V6]]}
        code = code_of(f"https://{host}/a%20b.jpg?_nc_ht={host}&sig=x", allowed_hosts=get_source(network).media_hosts)
        assert code is ErrorCode.CONNECTION_FAILED, host
        assert wire.made == [(PUBLIC, 443), (PUBLIC_V6, 443)] * LIMITS.max_tries


@pytest.mark.parametrize("network", [name for name in CDN_HOSTS if get_source(name).media_hosts])
def test_a_network_with_hosts_of_its_own_reads_from_no_other(network: str, wire: Wire) -> None:
    allowed = get_source(network).media_hosts
    assert allowed
    for own in allowed:
        for other in (f"{own}.evil.example", f"evil{own}", f"evil-{own}", f"{own}@media.example", "media.example"):
            wire.names = {other: [[PUBLIC]]}
            assert code_of(f"https://{other}/a.jpg", allowed_hosts=allowed) is ErrorCode.URL_REFUSED, other
    assert (wire.made, wire.trapped) == ([], 0)
