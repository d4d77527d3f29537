"""The guarded client: URLs that it refuses before it connects, and answers that it reads once it is connected."""

from __future__ import annotations

import gzip
import json
import logging
import socket
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from imagelake import __version__
from imagelake.run.errors import BadInputError
from imagelake.web.client import GuardedClient
from imagelake.web.errors import ConnectionFailedError, HostNotFoundError, HttpError, UrlRefusedError
from imagelake.web.http1 import Deadline
from imagelake.web.urls import Url
from tests.support.fixtures import Serve
from tests.support.hostile_urls import LITERALS, URLS
from tests.support.raw_server import EVIL, OK, get

PUBLIC = "93.184.215.14"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that anything tries to connect to; nothing gets through."""
    made: list[Any] = []

    def connect(self: socket.socket, address: Any) -> None:
        made.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    return made


def resolve_to(monkeypatch: pytest.MonkeyPatch, *rounds: list[str]) -> list[str]:
    """Answer lookups of any name with ``rounds`` in turn, the last one for good; return the looked-up names."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        addresses = rounds[min(len(asked), len(rounds) - 1)]
        asked.append(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def reroute(monkeypatch: pytest.MonkeyPatch, port: int, *, peer: str | None) -> list[Any]:
    """Lead every connection to a local server that claims to be ``peer``; return the addresses that were meant."""
    wanted: list[Any] = []
    connect, getpeername = socket.socket.connect, socket.socket.getpeername

    def connect_here(self: socket.socket, address: Any) -> None:
        wanted.append(address)
        connect(self, ("127.0.0.1", port))

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    monkeypatch.setattr(socket.socket, "getpeername", lambda self: (peer, 443) if peer else getpeername(self))
    return wanted


def error_of(url: str) -> type[BaseException]:
    with pytest.raises(HttpError) as caught:
        get(url)
    return caught.type


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", LITERALS)
def test_exchange_when_the_host_is_an_address_in_disguise(host: str, scheme: str, connections: list[Any]) -> None:
    # The system may read the spelling as an address or not know it; both are right.
    assert error_of(f"{scheme}://{host}/a.jpg") in (UrlRefusedError, HostNotFoundError)
    assert connections == []


@pytest.mark.parametrize("url", URLS)
def test_exchange_when_the_url_is_refused(url: str, connections: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve_to(monkeypatch, [PUBLIC])
    assert error_of(url) is UrlRefusedError
    assert (asked, connections) == ([], [])


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["169.254.169.254"], ["10.1.2.3"], ["100.100.100.200"], ["::1"], ["fd00:ec2::254"],
        ["fe80::1%2"], ["::ffff:10.0.0.1"],
        ["64:ff9b::a9fe:a9fe"], ["0.0.0.0"], [PUBLIC, "127.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC, "::1"],
        ["2606:4700::1", "10.0.0.1"],
        [PUBLIC, "1.1.1.1", "8.8.8.8", "192.168.0.1"], ["2606:4700::1", PUBLIC, "64:ff9b::7f00:1"],
        ["2002:a9fe:a9fe::1", PUBLIC],
    ],
)  # fmt: skip
def test_exchange_when_a_name_has_any_address_that_is_not_public(
    addresses: list[str], connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, addresses)
    assert error_of("https://rebind.example/") is UrlRefusedError
    assert connections == []


def test_exchange_when_the_name_changes_its_address_after_the_check(
    connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolve_to(monkeypatch, [PUBLIC], ["127.0.0.1"])
    assert error_of("http://rebind.example/") is ConnectionFailedError
    assert asked == ["rebind.example"]
    assert connections == [(PUBLIC, 80)]


def test_exchange_when_the_peer_is_not_public(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda head: [OK])
    resolve_to(monkeypatch, [PUBLIC])
    reroute(monkeypatch, server.port, peer=None)
    assert error_of("http://media.example/") is UrlRefusedError
    monkeypatch.undo()
    assert server.requests == []


def test_exchange_when_a_name_is_unknown(connections: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, [])
    assert error_of("https://nowhere.example/") is HostNotFoundError
    assert connections == []


def test_exchange_when_proxies_are_in_the_environment(connections: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:3128")
    resolve_to(monkeypatch, [PUBLIC])
    assert error_of("https://media.example/") is ConnectionFailedError
    assert connections == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "host",
    [
        "cdn.bsky.app", "video.bsky.app", "public.api.bsky.app", "scontent-fra3-1.cdninstagram.com",
        "scontent.xx.fbcdn.net", "pbs.twimg.com",
        "files.mastodon.social", "media.mstdn.social", "upload.wikimedia.org", "live.staticflickr.com", "i.redd.it",
        "xn--bcher-kva.example", "xn--", "xn--i-7iq.ws",
        "under_score.example", "a-.example", "2130706433.example", "1.1.1.1", "[2606:4700::6810:84e5]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_exchange_when_the_host_is_public(
    host: str, scheme: str, connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, [PUBLIC, "2606:4700::6810:84e5"])
    assert error_of(f"{scheme}://{host}/a%20b.jpg?sig=x@y") is ConnectionFailedError
    port = 443 if scheme == "https" else 80
    assert connections == [(PUBLIC, port), ("2606:4700::6810:84e5", port, 0, 0)]


def test_exchange_when_the_first_address_is_dead(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(lambda head: [OK])
    resolve_to(monkeypatch, ["2606:4700::1", PUBLIC])
    wanted = reroute(monkeypatch, server.port, peer=PUBLIC)  # an IPv6 socket cannot connect there
    answer = get("http://media.example/a.jpg")
    monkeypatch.undo()
    assert (answer.status, answer.body, len(wanted)) == (200, b"ok", 2)
    assert server.requests[0].startswith(b"GET /a.jpg HTTP/1.1\r\nHost: media.example\r\n")


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for ``name``, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cafile=str(file))


def test_exchange_when_https_is_pinned_then_tls_names_the_host(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_server, at_client = certificate(tmp_path, "media.example")
    named: list[str | None] = []
    at_server.sni_callback = lambda sock, name, context: named.append(name)
    server = serve(lambda head: [OK], at_server)
    resolve_to(monkeypatch, [PUBLIC])
    wanted = reroute(monkeypatch, server.port, peer=PUBLIC)
    answer = get("https://media.example/", GuardedClient(ssl_context=at_client))
    monkeypatch.undo()
    assert (answer.body, named, wanted) == (b"ok", ["media.example"], [(PUBLIC, 443)])


@pytest.mark.parametrize(("extra", "connections"), [(b"", 1), (EVIL, 3)])
def test_exchange_when_https_then_only_a_reusable_connection_is_kept(
    extra: bytes, connections: int, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_server, at_client = certificate(tmp_path, "media.example")
    server = serve(lambda head: [OK + extra], at_server)
    resolve_to(monkeypatch, [PUBLIC])
    reroute(monkeypatch, server.port, peer=PUBLIC)
    with GuardedClient(ssl_context=at_client) as client:
        bodies = [client.exchange("GET", "https://media.example/").body for _ in range(3)]
    monkeypatch.undo()
    assert (bodies, server.connections) == ([b"ok"] * 3, connections)


def test_exchange_when_the_certificate_is_for_another_name(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    at_server, at_client = certificate(tmp_path, "other.example")
    server = serve(lambda head: [OK], at_server)
    resolve_to(monkeypatch, [PUBLIC])
    reroute(monkeypatch, server.port, peer=PUBLIC)
    with pytest.raises(HttpError) as caught:
        get("https://media.example/?token=secret", GuardedClient(ssl_context=at_client))
    monkeypatch.undo()
    assert caught.type is ConnectionFailedError
    assert "secret" not in str(caught.value)
    assert server.requests == []


CHECKER = GuardedClient()


def check_error(url: str, **options: Any) -> type[HttpError] | None:
    try:
        CHECKER.check(url, **options)
    except HttpError as error:
        return type(error)
    return None


@settings(deadline=None)
@given(st.text())
@example("http://[")
@example("http://[::1]]/")
@example("http://xn--/")
def test_check_when_the_url_is_any_text(text: str) -> None:
    assert check_error(text, base=Url.parse("https://example.com/")) in (None, UrlRefusedError)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("cdn.example", True), ("a.cdn.example", True), ("a.b.cdn.example", True), ("CDN.example", True),
        ("one.test", True),
        ("evilcdn.example", False), ("cdn.example.evil", False), ("example", False), ("a.one.test.x", False),
        ("8.8.8.8", False),
        ("[2606:4700::1]", False),
    ],
)  # fmt: skip
def test_check_when_hosts_are_listed_then_whole_labels_count(host: str, allowed: bool) -> None:
    error = check_error(f"https://{host}/", allowed_hosts=frozenset({"cdn.example", "one.test"}))
    assert error is (None if allowed else UrlRefusedError)


def test_check_when_the_origin_is_trusted_then_it_is_exact() -> None:
    client = GuardedClient(trusted_origins=frozenset({"http://127.0.0.1:4567", "https://mirror.lan"}))
    none = frozenset[str]()
    for url in ("http://127.0.0.1:4567/a", "https://mirror.lan/a", "https://mirror.lan:443/a", "HTTP://127.0.0.1:4567"):
        client.check(url, allowed_hosts=none)
    for url in (
        "http://127.0.0.1:45678/", "http://127.0.0.1:456/", "https://127.0.0.1:4567/", "http://127.0.0.1/",
        "http://127.0.0.1:4567.evil.test/",
        "http://127.0.0.1:4567@evil.test/", "http://u@127.0.0.1:4567/", "http://mirror.lan/",
        "https://a.mirror.lan/", "https://mirror.lan:80/",
        "https://mirror.lan.evil.test/", "http://127.0.0.2:4567/", "http://127.1:4567/",
    ):  # fmt: skip
        with pytest.raises(UrlRefusedError):
            client.check(url, allowed_hosts=none)


def test_exchange_when_another_scheme_of_a_trusted_origin_has_a_private_address(
    connections: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, ["10.0.0.1"])
    client = GuardedClient(trusted_origins=frozenset({"https://mirror.lan"}))
    with pytest.raises(HttpError) as caught:
        get("http://mirror.lan:443/", client)
    assert (caught.type, connections) == (UrlRefusedError, [])


@pytest.mark.parametrize(
    "origin",
    ["127.0.0.1:4567", "ftp://a", "http://", "http://a/path", "http://a?b", "http://u@a", "*", "null"],
)
def test_client_when_a_trusted_origin_is_not_an_origin(origin: str) -> None:
    with pytest.raises(BadInputError):
        GuardedClient(trusted_origins=frozenset({origin}))


@pytest.mark.parametrize("contact", ["a\r\nX: y", "caf\u00e9", "a) evil (", "\\"])
def test_client_when_the_contact_does_not_fit_a_header(contact: str) -> None:
    with pytest.raises(BadInputError):
        GuardedClient(contact=contact)


def test_exchange_when_all_is_well(serve: Serve) -> None:
    body = json.dumps({"posts": []}).encode()
    packed = gzip.compress(body)
    server = serve(
        lambda head: [
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-A: 1\r\nSet-Cookie: a=b\r\nContent-Length: %d\r\n\r\n"
            % len(packed),
            packed,
        ]
    )
    client = GuardedClient(contact="ops@example.org", trusted_origins=frozenset({server.origin}))
    with client:
        for _ in range(3):
            answer = client.exchange("GET", f"{server.origin}/api?a=1", params={"b": "2"}, headers={"X-Token": "t"})
    assert (answer.status, answer.body, answer.headers["x-a"]) == (200, body, "1")
    assert answer.url == f"{server.origin}/api?a=1&b=2"
    head = server.requests[-1].lower()
    assert head.startswith(b"get /api?a=1&b=2 http/1.1\r\n")
    assert f"user-agent: imagelake/{__version__} (+ops@example.org)\r\n".encode() in head
    assert b"accept-encoding: gzip\r\n" in head
    assert b"x-token: t\r\n" in head
    assert b"cookie" not in head
    assert server.connections == 1


def test_exchange_when_a_body_is_sent(serve: Serve) -> None:
    server = serve(lambda head: [OK])
    client = GuardedClient(trusted_origins=frozenset({server.origin}))
    with client:
        client.exchange("POST", server.origin, json={"a": 1})
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert (b"POST / HTTP/1.1" in head, b"application/json" in head) == (True, True)
    assert body == b'{"a":1}'


def test_exchange_when_the_answer_redirects_then_it_is_returned(serve: Serve) -> None:
    server = serve(
        lambda head: [b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"]
    )
    answer = get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})))
    assert (answer.status, len(server.requests)) == (302, 1)


@pytest.mark.parametrize("url", ["http://[::1]/", "http://127.0.0.1/", "http://example.com:22/"])
def test_open_when_the_url_was_not_checked_then_it_is_refused_the_same(url: str, connections: list[Any]) -> None:
    client = GuardedClient()
    with (
        pytest.raises(HttpError) as caught,
        client.open("GET", Url.parse(url), deadline=Deadline(5), connect=1, read=1),
    ):
        raise AssertionError
    assert (caught.type, connections) == (UrlRefusedError, [])


def test_exchange_when_everything_is_logged_then_no_signature_is(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(lambda head: [b"HTTP/1.1 302 Found\r\nLocation: /?sig=secret\r\nContent-Length: 0\r\n\r\n"])
    get(f"{server.origin}/?sig=secret", GuardedClient(trusted_origins=frozenset({server.origin})))
    assert "secret" not in caplog.text


def test_public_address_of_these_tests_when_checked_is_one() -> None:
    assert ip_address(PUBLIC).is_global
