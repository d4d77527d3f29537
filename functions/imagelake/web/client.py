"""The guarded HTTP client: it connects to public IP addresses and trusted origins only, within limits of size and time.

Every URL may be hostile. We resolve a host name once, check each of its IP addresses and connect to a checked one, so a
later answer of the name server changes nothing. The Host header and TLS use the name.
"""

from __future__ import annotations

import json as jsons
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import certifi
import h11

from imagelake import __version__
from imagelake.run.errors import BadInputError
from imagelake.web.body import read_body
from imagelake.web.errors import ConnectionFailedError, HostNotFoundError, HttpTimeoutError, UrlRefusedError
from imagelake.web.http1 import Connection, Deadline, Pool, ResponseStream
from imagelake.web.messages import Response
from imagelake.web.public_addresses import is_public
from imagelake.web.urls import Url, parse_origins, refusal


class GuardedClient:
    """The one HTTP client, for images, API calls and webhooks; many threads may share it.

    It raises only ``HttpError``, and no message holds the path or query of a URL. It follows no redirects and keeps no
    cookies. ``contact`` is an email or a URL for the operators of the servers. ``trusted_origins``, such as
    ``http://127.0.0.1:4567``, are exempt from the checks of port and IP address.
    """

    def __init__(
        self,
        *,
        contact: str = "",
        trusted_origins: frozenset[str] = frozenset(),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if not contact.isascii() or not contact.isprintable() or set(contact) & set("()\\"):
            raise BadInputError("contact must be printable ASCII without parentheses or backslashes")
        self._user_agent = f"Imagelake/{__version__}" + (f" (+{contact})" if contact else "")
        self._trusted = parse_origins(trusted_origins)
        self._tls = ssl_context or _default_tls()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pool = Pool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections now, and the others when their requests are done."""
        self._pool.close()

    def check(self, url: str, *, base: Url | None = None, allowed_hosts: frozenset[str] | None = None) -> Url:
        """Parse ``url`` or raise ``UrlRefusedError``; connects to nothing.

        ``base`` is the URL that redirects to it. ``allowed_hosts`` include their subdomains; ``None`` allows any host.
        """
        parsed = Url.parse(url) if base is None else base.join(url)
        self._refuse(parsed)
        if base is not None and base.scheme == "https" and parsed.scheme == "http":
            raise refusal(f"{base.host} redirects from https to http")
        if allowed_hosts is not None and parsed.origin not in self._trusted and not parsed.is_under(allowed_hosts):
            raise refusal(f"{parsed.host} is not among the allowed hosts")
        return parsed

    def _refuse(self, url: Url) -> None:
        if url.origin in self._trusted:
            return
        if url.port not in (80, 443):
            raise refusal(f"port {url.port} of {url.host} is not 80 or 443")
        if ":" in url.host and not is_public(url.host):
            raise refusal(f"{url.host} is not a public IP address")

    @contextmanager
    def open(
        self,
        method: str,
        url: Url,
        *,
        deadline: Deadline,
        connect: float,
        read: float,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Iterator[ResponseStream]:
        """Send a request and give its response with the body still to be received.

        ``connect`` and ``read`` are seconds, ``read`` for each single read; ``deadline`` applies until the block ends.
        """
        self._refuse(url)
        request, body = self._request(method, url, headers or {}, json)
        connection = self._pool.take(url.origin) or self._connect(url, deadline, connect)
        response = None
        try:
            response = ResponseStream(connection, request, body, url, deadline=deadline, read_timeout=read)
            yield response
        finally:
            if response is not None and response.reusable:
                self._pool.keep(connection)
            else:
                connection.close()

    def _request(self, method: str, url: Url, headers: Mapping[str, str], json: Any) -> tuple[h11.Request, bytes]:
        fields = {
            "Host": url.authority,
            "User-Agent": self._user_agent,
            "Accept-Encoding": "identity",
            **headers,
        }
        body = b""
        if json is not None:
            body = jsons.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            fields.setdefault("Content-Type", "application/json")
        if body or method == "POST":
            fields["Content-Length"] = str(len(body))
        try:
            return h11.Request(method=method, target=url.target, headers=list(fields.items())), body
        except (h11.LocalProtocolError, UnicodeEncodeError):
            # Drop the cause: its text may hold a token.
            raise ConnectionFailedError(f"a header for {url.host} is not printable ASCII") from None

    def _connect(self, url: Url, deadline: Deadline, seconds: float) -> Connection:
        try:
            sock = _connect_to_any(url, url.origin in self._trusted, deadline.cap(seconds))
            if url.scheme == "https":
                with _closing_on_error(sock):
                    sock.settimeout(deadline.cap(seconds))
                    sock = self._tls.wrap_socket(sock, server_hostname=url.host)
            return Connection(url.origin, sock)
        except TimeoutError as error:
            raise HttpTimeoutError(f"{url.host} did not answer in time") from error
        except (OSError, ValueError) as error:  # TLS raises ValueError for some host names
            raise ConnectionFailedError(f"no connection to {url.host}: {error}") from error

    def exchange(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        max_bytes: int = 10_000_000,
        connect: float = 5.0,
        read: float = 10.0,
        total: float = 30.0,
    ) -> Response:
        """Make one API call and return its response, whatever the status.

        ``max_bytes`` limits the decoded body; ``connect``, ``read`` and ``total`` are seconds.
        """
        target = self.check(url)
        if params:
            target = target.with_params(params)
        with self.open(
            method,
            target,
            deadline=Deadline(total),
            connect=connect,
            read=read,
            headers={"Accept-Encoding": "gzip", **(headers or {})},
            json=json,
        ) as response:
            body = read_body(response, max_bytes)
        return Response(response.status, dict(response.headers), body, str(target))


@cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())  # reading the certificates takes 20 ms


def _connect_to_any(url: Url, trusted: bool, seconds: float) -> socket.socket:
    """Connect to one of the host's IP addresses; unless ``trusted``, all of them must be public."""
    until = Deadline(seconds)
    *others, last = _resolve(url, trusted)
    for index, (family, address) in enumerate(others):
        # A dead address must not use up the time of the next ones.
        share = until.remaining() / (len(others) + 1 - index)
        try:
            return _connect_to(url.host, trusted, family, address, share)
        except OSError:
            continue
    return _connect_to(url.host, trusted, *last, until.remaining())


def _resolve(url: Url, trusted: bool) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        results = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise HostNotFoundError(f"{url.host} has no IP address") from error
    if not results:
        raise HostNotFoundError(f"{url.host} has no IP address")
    for result in results:
        _check_address(url.host, trusted, str(result[4][0]))
    return [(result[0], result[4]) for result in results]


def _connect_to(host: str, trusted: bool, family: socket.AddressFamily, address: Any, seconds: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    with _closing_on_error(sock):
        sock.settimeout(max(seconds, 0.01))
        sock.connect(address)
        _check_address(host, trusted, str(sock.getpeername()[0]))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _check_address(host: str, trusted: bool, address: str) -> None:
    if not trusted and not is_public(address):
        raise UrlRefusedError(f"{host} is at {address}, which is not a public IP address")


@contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise
