"""The guarded HTTP client: it connects to public addresses and trusted origins only, under a cap and a deadline.

Every URL may be hostile. The name is resolved here, each of its addresses is checked, and the connection goes to a
checked address, so a second answer of the name server changes nothing. Host header and TLS keep the name.
"""

from __future__ import annotations

import json as jsons
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import certifi

from imagelake import __version__
from imagelake.run.errors import (
    BadFeedError,
    BadInputError,
    DownloadError,
    ErrorCode,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.web.http1 import BadAnswerError, Connection, Deadline, Pool, Response
from imagelake.web.public_addresses import is_public
from imagelake.web.urls import Origin, Url, refusal

# A body in chunks of a byte would take fifty times its size.
_MOST_PIECES = 65536


@dataclass(frozen=True)
class Answer:
    """One whole HTTP response; header names are in lower case, ``body`` is decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


class GuardedClient:
    """The one HTTP client, for pictures and for API calls; shared by many threads.

    It raises nothing but ``DownloadError``, and no message of it holds the path or query of a URL. Redirects are not
    followed and cookies not kept. ``contact`` is an address or URL for the operators of the servers that are asked.
    ``trusted_origins`` (``http://127.0.0.1:4567``) are exempt from the checks of port and address, each exactly as
    it is given: scheme, host and port.
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
        self._trusted = frozenset(_parse_origin(text) for text in trusted_origins)
        self._tls = ssl_context or _default_tls()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pool = Pool()

    def __enter__(self) -> GuardedClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection, those in use when they are done."""
        self._pool.close()

    def check(self, url: str, *, base: Url | None = None, allowed_hosts: frozenset[str] | None = None) -> Url:
        """Parse ``url`` or raise ``DownloadError`` (``url_refused``); connects to nothing.

        ``base`` is the URL that redirects to it. ``allowed_hosts`` also allow their subdomains; ``None`` is any host.
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
            raise refusal(f"{url.host} is not a public address")

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
    ) -> Iterator[Response]:
        """The response with its body unread; ``deadline`` holds until the block ends."""
        self._refuse(url)
        request = self._request(method, url, headers or {}, json)
        connection = self._pool.take(url.origin) or self._connect(url, deadline, connect)
        response = None
        try:
            connection.serve(deadline, read)
            response = _ask(connection, request, url, method)
            yield response
        finally:
            if response is not None and response.in_step:
                connection.serve(None)
                self._pool.keep(connection)
            else:
                connection.close()

    def _request(self, method: str, url: Url, headers: Mapping[str, str], json: Any) -> bytes:
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
        lines = [f"{method} {url.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if not all(line.isascii() and line.isprintable() for line in lines):
            raise DownloadError(ErrorCode.CONNECTION_FAILED, f"a header for {url.host} is not printable ASCII")
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    def _connect(self, url: Url, deadline: Deadline, seconds: float) -> Connection:
        try:
            sock = _connect_any(url, url.origin in self._trusted, deadline.cap(seconds))
            if url.scheme == "https":
                with _closing_on_error(sock):
                    sock.settimeout(deadline.cap(seconds))
                    sock = self._tls.wrap_socket(sock, server_hostname=url.host)
            return Connection(url.origin, sock)
        except TimeoutError as error:
            raise DownloadError(ErrorCode.TIMED_OUT, f"{url.host} did not answer in time") from error
        except (OSError, ValueError) as error:  # ValueError is of a name that TLS does not take
            raise DownloadError(ErrorCode.CONNECTION_FAILED, f"no connection to {url.host}: {error}") from error

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
    ) -> Answer:
        """One API call, whatever its status; ``max_bytes`` is of the decoded body, the times are in seconds."""
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
        return Answer(response.status, dict(response.headers), body, str(target))


@cache
def _default_tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())  # reads a file of certificates: 20 ms


def _parse_origin(text: str) -> Origin:
    try:
        url = Url.parse(text)
    except DownloadError as error:
        raise BadInputError(f"trusted origin {text!r} is not a URL") from error
    if url.path not in ("", "/") or url.query or url.fragment:
        raise BadInputError(f"trusted origin {text!r} is not of the form http://host:port")
    return url.origin


def _connect_any(url: Url, trusted: bool, seconds: float) -> socket.socket:
    """A connection to one of the host's addresses; unless ``trusted``, all of them have to be public."""
    until = Deadline(seconds)
    *others, last = _resolve(url, trusted)
    for index, (family, address) in enumerate(others):
        # A dead address may not use up the time of those after it.
        share = until.remaining() / (len(others) + 1 - index)
        try:
            return _connect(url.host, trusted, family, address, share)
        except OSError:
            continue
    return _connect(url.host, trusted, *last, until.remaining())


def _resolve(url: Url, trusted: bool) -> list[tuple[socket.AddressFamily, Any]]:
    try:
        answers = socket.getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise DownloadError(ErrorCode.HOST_NOT_FOUND, f"{url.host} has no address") from error
    if not answers:
        raise DownloadError(ErrorCode.HOST_NOT_FOUND, f"{url.host} has no address")
    for answer in answers:
        _check_address(url.host, trusted, str(answer[4][0]))
    return [(answer[0], answer[4]) for answer in answers]


def _connect(host: str, trusted: bool, family: socket.AddressFamily, address: Any, seconds: float) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    with _closing_on_error(sock):
        sock.settimeout(max(seconds, 0.01))
        sock.connect(address)
        _check_address(host, trusted, str(sock.getpeername()[0]))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _check_address(host: str, trusted: bool, address: str) -> None:
    if not trusted and not is_public(address):
        raise DownloadError(ErrorCode.URL_REFUSED, f"{host} is at {address}, which is not a public address")


@contextmanager
def _closing_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _ask(connection: Connection, request: bytes, url: Url, method: str) -> Response:
    try:
        try:
            connection.send(request)
        except TimeoutError:
            raise
        except OSError:
            pass  # a server may answer before it has read the request, and hang up
        return Response(connection, url, method)
    except TimeoutError as error:
        raise DownloadError(ErrorCode.TIMED_OUT, f"{url.host} did not answer in time") from error
    except (OSError, BadAnswerError) as error:  # its text may hold what the server sent
        raise DownloadError(ErrorCode.CONNECTION_FAILED, f"{url.host} gave no valid HTTP answer") from error


def read_body(response: Response, max_bytes: int, *, min_rate: float = 0.0, grace: float = 0.0) -> bytes:
    """The decoded body of at most ``max_bytes``; after ``grace`` seconds it must come at ``min_rate`` bytes per second.

    Raises ``DownloadError``: ``too_large``, ``too_slow``, ``timed_out``, ``body_cut``, or ``http_error`` for an
    encoding other than gzip. Content-Length only ever refuses early.
    """
    host = response.url.host
    too_large = DownloadError(ErrorCode.TOO_LARGE, f"{host} sends more than {max_bytes} bytes")
    if response.length is not None and response.length > max_bytes:
        raise too_large
    decode = _decoder(response)
    pieces: list[bytes] = []
    size = received = 0
    response.pace(min_rate, grace)
    try:
        for piece in response:
            received += len(piece)
            pieces.append(decode(piece, max_bytes + 1 - size))
            size += len(pieces[-1])
            if max(received, size) > max_bytes:
                raise too_large
            if len(pieces) > _MOST_PIECES:
                pieces = [b"".join(pieces)]
    except TimeoutError as error:
        raise DownloadError(ErrorCode.TIMED_OUT, f"{host} did not finish in time") from error
    except (OSError, BadAnswerError, zlib.error) as error:
        raise DownloadError(ErrorCode.BODY_CUT, f"{host} broke off inside the body") from error
    if received and not decode.complete:
        raise DownloadError(ErrorCode.BODY_CUT, f"{host} broke off inside the compressed body")
    return b"".join(pieces)


class _Identity:
    complete = True

    def __call__(self, data: bytes, max_length: int) -> bytes:
        return data


class _Gunzip:
    """Never inflates beyond what is asked for, so a bomb stays as small as the cap."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    def __call__(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(data, max_length)

    @property
    def complete(self) -> bool:
        return self._inflate.eof


def _decoder(response: Response) -> _Identity | _Gunzip:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return _Identity()
    if encoding in ("gzip", "x-gzip"):
        return _Gunzip()
    raise DownloadError(ErrorCode.HTTP_ERROR, f"{response.url.host} chose an encoding nobody asked for")


def as_feed_error(error: DownloadError) -> BadFeedError | SourceChangedError | SourceUnavailableError:
    """What a failed API call means for its feed; raise the result ``from error``."""
    if error.code is ErrorCode.URL_REFUSED:
        return BadFeedError(str(error))
    if error.code in (ErrorCode.TOO_LARGE, ErrorCode.HTTP_ERROR):
        return SourceChangedError(str(error))
    return SourceUnavailableError(str(error))
