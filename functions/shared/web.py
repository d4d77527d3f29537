"""The guarded HTTP client: it connects to public addresses and trusted origins only, under a cap and a deadline.

Every URL may be hostile. The name is resolved here, each of its addresses is checked, and the connection goes to a
checked address, so a second answer of the name server changes nothing. Host header and TLS keep the name.
"""

from __future__ import annotations

import logging
import re
import select
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import httpcore
import httpx

from shared.addresses import is_public
from shared.errors import (
    BadFeedError,
    BadInputError,
    DownloadError,
    ErrorCode,
    SourceChangedError,
    SourceUnavailableError,
)

VERSION = "0.1.0"

# Its debug lines hold response headers, and a Location may carry a signature.
logging.getLogger("httpcore").setLevel(logging.INFO)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")

Origin = tuple[str, str, int]
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class Deadline:
    """A point in time, ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self._at - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Move it back by ``seconds``."""
        self._at += seconds


# Sockets are pooled and outlive a request, so the request's deadline reaches them through its thread's context. Kept
# at the socket, it also ends a response whose *headers* trickle in.
_deadline: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def _time_left(timeout: float | None) -> float | None:
    deadline = _deadline.get()
    if deadline is None:
        return timeout
    left = deadline.remaining()
    if left <= 0:
        raise TimeoutError
    return left if timeout is None else min(timeout, left)


@contextmanager
def _raising(timed_out: type[Exception], failed: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timed_out from error
    except OSError as error:
        raise failed(str(error)) from error


class _Stream(httpcore.NetworkStream):
    """A socket under the deadline of the request that uses it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout: float | None = -1.0  # not known yet
        self.last_received = b""
        self.reusable = True

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _raising(httpcore.ReadTimeout, httpcore.ReadError):
            self._limit(timeout)
            self.last_received = self._sock.recv(max_bytes)
        return self.last_received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _raising(httpcore.WriteTimeout, httpcore.WriteError):
            self._limit(timeout)
            self._sock.sendall(buffer)

    def _limit(self, timeout: float | None) -> None:
        # To set it is a system call, and of most reads and writes it is the same.
        left = _time_left(timeout)
        if left != self._timeout:
            self._sock.settimeout(left)
            self._timeout = left

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> _Stream:
        with _raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            try:
                self._sock.settimeout(_time_left(timeout))
                return _Stream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
            except BaseException:
                self.close()
                raise

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        if info == "is_readable":  # the pool's question whether an idle connection is to be dropped
            return not self.reusable or self._is_readable()
        return None

    def _is_readable(self) -> bool:
        # An epoll takes four system calls, and this is asked of every idle socket.
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(0))


class _Backend(httpcore.NetworkBackend):
    """Opens connections; unless ``trusted``, to names all of whose addresses are public."""

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> _Stream:
        found = self._resolve(host, port)
        with _raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            return _Stream(self._connect_any(host, found, _time_left(timeout)))

    def _resolve(self, host: str, port: int) -> list[tuple[socket.AddressFamily, Any]]:
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DownloadError(ErrorCode.HOST_NOT_FOUND, f"{host} has no address") from error
        if not answers:
            raise DownloadError(ErrorCode.HOST_NOT_FOUND, f"{host} has no address")
        for answer in answers:
            self._check(host, str(answer[4][0]))
        return [(answer[0], answer[4]) for answer in answers]

    def _connect_any(
        self, host: str, found: list[tuple[socket.AddressFamily, Any]], timeout: float | None
    ) -> socket.socket:
        *others, last = found
        until = Deadline(timeout or 0)
        for index, (family, address) in enumerate(others):
            # A dead address may not use up the time of those after it.
            share = None if timeout is None else max(until.remaining() / (len(found) - index), 0.01)
            try:
                return self._connect(host, family, address, share)
            except OSError:
                continue
        return self._connect(host, *last, None if timeout is None else max(until.remaining(), 0.01))

    def _connect(self, host: str, family: socket.AddressFamily, address: Any, timeout: float | None) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(address)
            self._check(host, str(sock.getpeername()[0]))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            sock.close()
            raise
        return sock

    def _check(self, host: str, address: str) -> None:
        if not self._trusted and not is_public(address):
            raise DownloadError(ErrorCode.URL_REFUSED, f"{host} is at {address}, which is not a public address")


@cache
def _default_tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)  # reads a file of certificates: 20 ms


class _PooledTransport(httpx.HTTPTransport):
    """httpx's transport over a pool with our backend."""

    def __init__(self, backend: _Backend, ssl_context: ssl.SSLContext) -> None:
        # httpx has no argument for the backend. Its own __init__ is left out on purpose: should the attribute be
        # renamed, there is no unguarded pool to fall back on.
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl_context,
            max_connections=None,  # a thread holds one at most
            max_keepalive_connections=64,
            keepalive_expiry=30.0,
            network_backend=backend,
        )


class GuardedTransport(httpx.BaseTransport):
    """Sends requests whose URL the policy allows; safe to share between threads.

    ``trusted_origins`` (``http://127.0.0.1:4567``) are exempt from the checks of port and address, each exactly as
    it is given: scheme, host and port.
    """

    def __init__(self, trusted_origins: frozenset[str], ssl_context: ssl.SSLContext | None = None) -> None:
        self._trusted = frozenset(_parse_origin(text) for text in trusted_origins)
        context = ssl_context or _default_tls()
        self._public_pool = _PooledTransport(_Backend(trusted=False), context)
        self._trusted_pool = _PooledTransport(_Backend(trusted=True), context)

    def trusts(self, url: httpx.URL) -> bool:
        """Whether ``url`` is of a trusted origin."""
        return _origin(url) in self._trusted

    def check(self, url: httpx.URL) -> None:
        """Raise ``DownloadError`` (``url_refused``) unless ``url`` may be asked for, as far as its text tells."""
        host = host_of(url)
        if url.scheme not in _DEFAULT_PORTS:
            raise _refusal(f"the scheme {url.scheme[:20]!r} is not http or https")
        if url.userinfo:
            raise _refusal("a URL may not hold a user name or password")
        if self.trusts(url):
            return
        if url.port not in (None, 80, 443):
            raise _refusal(f"port {url.port} of {host[:253]!r} is not 80 or 443")
        if not _HOST_NAME.fullmatch(host) and not is_public(host):
            raise _refusal(f"{host[:253]!r} is not a host name")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.check(request.url)
        pool = self._trusted_pool if self.trusts(request.url) else self._public_pool
        return pool.handle_request(request)

    def close(self) -> None:
        self._public_pool.close()
        self._trusted_pool.close()


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
        self._user_agent = f"Imagelake/{VERSION}" + (f" (+{contact})" if contact else "")
        self._transport = GuardedTransport(trusted_origins, ssl_context)

    def __enter__(self) -> GuardedClient:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._transport.close()

    def check(
        self, url: str, *, base: httpx.URL | None = None, allowed_hosts: frozenset[str] | None = None
    ) -> httpx.URL:
        """Parse ``url`` or raise ``DownloadError`` (``url_refused``); connects to nothing.

        ``base`` is the URL that redirects to it. ``allowed_hosts`` also allow their subdomains; ``None`` is any host.
        """
        parsed = _parse(url, base)
        self._transport.check(parsed)
        if base is not None and base.scheme == "https" and parsed.scheme == "http":
            raise _refusal(f"{host_of(base)} redirects from https to http")
        if allowed_hosts is not None and not self._transport.trusts(parsed) and not _is_under(parsed, allowed_hosts):
            raise _refusal(f"{host_of(parsed)} is not among the allowed hosts")
        return parsed

    @contextmanager
    def open(
        self,
        method: str,
        url: httpx.URL,
        *,
        deadline: Deadline,
        connect: float,
        read: float,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Iterator[httpx.Response]:
        """The response with its body unread; ``deadline`` holds until the block ends."""
        request = httpx.Request(
            method,
            url,
            # Left to itself, httpx derives Host by way of decoding IDNA, which raises on a hostile name.
            headers={
                "Host": url.netloc.decode("ascii"),
                "User-Agent": self._user_agent,
                "Accept-Encoding": "identity",
                **(headers or {}),
            },
            json=json,
            extensions={"timeout": {"connect": connect, "read": read, "write": read, "pool": connect}},
        )
        token = _deadline.set(deadline)
        try:
            response = self._send(request)
            try:
                yield response
            finally:
                response.close()
        finally:
            _deadline.reset(token)

    def _send(self, request: httpx.Request) -> httpx.Response:
        host = host_of(request.url)
        try:
            response = self._transport.handle_request(request)
        except httpx.TimeoutException as error:
            raise DownloadError(ErrorCode.TIMED_OUT, f"{host} did not answer in time") from error
        except httpx.ConnectError as error:
            raise DownloadError(ErrorCode.CONNECTION_FAILED, f"no connection to {host}: {error}") from error
        except httpx.TransportError as error:  # its text may hold what the server sent
            raise DownloadError(ErrorCode.CONNECTION_FAILED, f"{host} gave no valid HTTP answer") from error
        response.request = request
        return response

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
            target = target.copy_merge_params(params)
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
        return Answer(response.status_code, dict(response.headers), body, str(target))


def read_body(response: httpx.Response, max_bytes: int, *, min_rate: float = 0.0, grace: float = 0.0) -> bytes:
    """The decoded body of at most ``max_bytes``; after ``grace`` seconds it must come at ``min_rate`` bytes per second.

    Raises ``DownloadError``: ``too_large``, ``too_slow``, ``timed_out``, ``body_cut``, or ``http_error`` for an
    encoding other than gzip. Content-Length only ever refuses early.
    """
    host = host_of(response.request.url)
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(host, max_bytes)
    decode = _decoder(response)
    body, received, last_chunk = bytearray(), 0, b""
    started = time.monotonic()
    try:
        # Not iter_raw(), which gives the connection back to the pool at the end, before it is judged below.
        for last_chunk in cast(httpx.SyncByteStream, response.stream):
            received += len(last_chunk)
            body += decode(last_chunk, max_bytes + 1 - len(body))
            if max(received, len(body)) > max_bytes:
                raise _too_large(host, max_bytes)
            elapsed = time.monotonic() - started
            if elapsed > grace and received < min_rate * elapsed:
                raise DownloadError(ErrorCode.TOO_SLOW, f"{host} sends less than {min_rate:g} bytes per second")
            _time_left(None)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise DownloadError(ErrorCode.TIMED_OUT, f"{host} did not finish in time") from error
    except (httpx.TransportError, zlib.error) as error:
        raise DownloadError(ErrorCode.BODY_CUT, f"{host} broke off after {received} bytes") from error
    if received and not decode.complete:
        raise DownloadError(ErrorCode.BODY_CUT, f"{host} broke off inside the compressed body")
    _keep_in_step(response, last_chunk)
    return bytes(body)


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


def _decoder(response: httpx.Response) -> _Identity | _Gunzip:
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return _Identity()
    if encoding in ("gzip", "x-gzip"):
        return _Gunzip()
    raise DownloadError(ErrorCode.HTTP_ERROR, f"{host_of(response.request.url)} chose an encoding nobody asked for")


def _keep_in_step(response: httpx.Response, last_chunk: bytes) -> None:
    """Drop the connection if bytes came in after the response: they would be read as the answer to the next request."""
    stream = response.extensions["network_stream"]
    chunked = "transfer-encoding" in response.headers
    end = b"\r\n0\r\n\r\n" if chunked else b"\r\n\r\n" + last_chunk
    stream.reusable = end.endswith(stream.last_received) or stream.last_received.endswith(end)


def as_feed_error(error: DownloadError) -> BadFeedError | SourceChangedError | SourceUnavailableError:
    """What a failed API call means for its feed; raise the result ``from error``."""
    if error.code is ErrorCode.URL_REFUSED:
        return BadFeedError(str(error))
    if error.code in (ErrorCode.TOO_LARGE, ErrorCode.HTTP_ERROR):
        return SourceChangedError(str(error))
    return SourceUnavailableError(str(error))


def _parse(text: str, base: httpx.URL | None) -> httpx.URL:
    # Parsers disagree on control characters and backslashes, and "http://@host" has a user name that is empty.
    if not text.isprintable() or "\\" in text:
        raise _refusal("the URL holds a control character or a backslash")
    if _USERINFO.match(text):
        raise _refusal("a URL may not hold a user name or password")
    try:
        return httpx.URL(text) if base is None else base.join(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _refusal("the URL is malformed") from error


def _parse_origin(text: str) -> Origin:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise BadInputError(f"trusted origin {text!r} is not a URL") from error
    extra = url.userinfo or url.query or url.fragment or url.raw_path != b"/"
    if url.scheme not in _DEFAULT_PORTS or not url.raw_host or extra:
        raise BadInputError(f"trusted origin {text!r} is not of the form http://host:port")
    return _origin(url)


def _origin(url: httpx.URL) -> Origin:
    port = _DEFAULT_PORTS.get(url.scheme, 0) if url.port is None else url.port
    return url.scheme, host_of(url), port


def host_of(url: httpx.URL) -> str:
    """The host as it is asked for; ``url.host`` decodes IDNA, which raises on a hostile name."""
    return url.raw_host.decode("ascii")


def _is_under(url: httpx.URL, hosts: frozenset[str]) -> bool:
    labels = host_of(url).split(".")
    return any(".".join(labels[start:]) in hosts for start in range(len(labels)))


def _refusal(reason: str) -> DownloadError:
    return DownloadError(ErrorCode.URL_REFUSED, f"refused before connecting: {reason}")


def _too_large(host: str, max_bytes: int) -> DownloadError:
    return DownloadError(ErrorCode.TOO_LARGE, f"{host} sends more than {max_bytes} bytes")
