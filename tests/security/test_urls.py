"""Hostile URLs: no request ever connects to a private IP address, checked at the socket itself.

Every connection of the process is noted and led to a trap, a real listener on this machine, unless it goes to the one
server that a test trusts. So a check that fails to stop a connection shows twice: in the notes and in the trap.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import transform.app
import transform.batch
from imagelake.lake.staging import Staging
from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.run.settings import Settings
from imagelake.sources import SOURCES
from tests.support.factories import Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake
from tests.support.hostile_urls import ADDRESSES, DIRECT
from tests.support.web_server import Answer, Received, WebServer
from transform.download import Downloader, Limits

PUBLIC, PUBLIC_V6 = "93.184.215.14", "2606:4700::6810:84e5"
LIMITS = Limits(connect_seconds=2, read_seconds=2, total_seconds=5, max_tries=2, backoff_seconds=0.001)
REFUSALS = (ErrorCode.URL_REFUSED, ErrorCode.HOST_NOT_FOUND)


class Wire:
    """All connections and lookups of the process; only the names given here have IP addresses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: dict[str, list[list[str]]] = {"localhost": [["127.0.0.1", "::1"]]}
        self.servers: dict[Any, int] = {}  # by IP address: where connections really go
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
            # The system reads every spelling of an IP address, and asks no name server.
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
    # The same with a public IP address: the connection that the tests above must not see does happen.
    assert code_of(f"http://{PUBLIC}/") is ErrorCode.CONNECTION_FAILED
    assert wire.made == [(PUBLIC, 80)] * LIMITS.max_tries
    assert wire.trapped == LIMITS.max_tries


@pytest.mark.parametrize("before", [[], [PUBLIC], [PUBLIC_V6, PUBLIC]], ids=["alone", "after one", "after two"])
def test_no_name_with_a_private_ip_address_connects(wire: Wire, before: list[str]) -> None:
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


class Redirector(WebServer):
    """A server that redirects every path to the location set for it."""

    def __init__(self) -> None:
        super().__init__()
        self.locations: dict[str, str] = {}

    def answer(self, request: Received) -> Answer:
        return Answer(b"", 302, {"Location": self.locations.get(request.target, "/a")})


@pytest.fixture
def redirector() -> Iterator[Redirector]:
    with Redirector() as server:
        yield server


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
    # As behind a transparent proxy or a rewritten route: the IP address was public, the peer is not.
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
    assert counts == {"ok": 0, "duplicate": 0, "rejected": 0, "failed": len(urls), "erased": 0}
    assert {row["error_code"] for row in Staging(lake.bucket, planned.batch).rows()} <= set(REFUSALS)
    assert (wire.made, wire.trapped) == ([], 0)


# Hosts that the networks' own responses name. Those of other networks are in their adapters.
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


def hosts_of(network: str) -> list[str]:
    return CDN_HOSTS.get(network) or sorted(SOURCES[network].media_hosts or {"media.example"})


def test_the_networks_own_hosts_are_many() -> None:
    assert len({host for network in SOURCES for host in hosts_of(network)}) >= 50


@pytest.mark.parametrize("network", SOURCES)
def test_images_are_asked_for_at_the_networks_own_hosts(network: str, wire: Wire) -> None:
    for host in hosts_of(network):
        wire.made.clear()
        wire.names = {host: [[PUBLIC, PUBLIC_V6]]}
        code = code_of(f"https://{host}/a%20b.jpg?_nc_ht={host}&sig=x", allowed_hosts=SOURCES[network].media_hosts)
        assert code is ErrorCode.CONNECTION_FAILED, host
        assert wire.made == [(PUBLIC, 443), (PUBLIC_V6, 443)] * LIMITS.max_tries


@pytest.mark.parametrize("network", [name for name in SOURCES if SOURCES[name].media_hosts])
def test_a_network_with_hosts_of_its_own_reads_from_no_other(network: str, wire: Wire) -> None:
    allowed = SOURCES[network].media_hosts
    assert allowed
    for own in allowed:
        for other in (f"{own}.evil.example", f"evil{own}", f"evil-{own}", f"{own}@media.example", "media.example"):
            wire.names = {other: [[PUBLIC]]}
            assert code_of(f"https://{other}/a.jpg", allowed_hosts=allowed) is ErrorCode.URL_REFUSED, other
    assert (wire.made, wire.trapped) == ([], 0)
