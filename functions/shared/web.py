"""The guarded HTTP client: it connects to public addresses and trusted origins only, under a cap and a deadline.

Every URL and every answer may be hostile. The name is resolved here, each of its addresses is checked, and the
connection goes to a checked address, so a second answer of the name server changes nothing. Host header and TLS keep
the name. An answer that leaves in doubt where it ends, or what it says, is none.
"""

from __future__ import annotations

import io
import json as jsons
import re
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import certifi

from shared.addresses import is_public
from shared.errors import (
    BadFeedError,
    BadInputError,
    DownloadError,
    ErrorCode,
    SourceChangedError,
    SourceUnavailableError,
)
from shared.urls import Origin, Url, refusal

VERSION = "0.1.0"

_IDLE_SECONDS = 30.0
_MOST_IDLE = 64
_LONGEST_HEAD = 65536
# Bytes received at once: ahead while lines are read, of a body as it comes, and of one whose end is known and that is
# not encoded. Most of these are one piece, and so are never copied.
_BUFFER, _PIECE, _LARGE_PIECE = 8192, 65536, 1 << 20
# A body in chunks of a byte would take fifty times its size.
_MOST_PIECES = 65536

_TEXT = rb"[^\x00\n\r\x0b\x0c]*"
_STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-9][0-9]{2})(?: %b)?\r?\n" % _TEXT)
_FIELD = re.compile(rb"([!#$%%&'*+\-.^_`|~0-9A-Za-z]+):(%b)\r?\n" % _TEXT)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;%b|[\t ]*)\r\n" % _TEXT)
_LENGTH = re.compile(r"[0-9]{1,20}")
_CHUNKED = re.compile(r"(?ai:chunked)")


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

    def cap(self, seconds: float) -> float:
        """``seconds``, or those left if they are fewer; raises ``TimeoutError`` if none are."""
        left = self.remaining()
        if left <= 0:
            raise TimeoutError
        return min(seconds, left)


class _BadAnswerError(Exception):
    """The server breaks off, or what it sends is no HTTP; never leaves this module."""


class _Pace:
    """The least rate at which bytes have to come in, after ``grace`` seconds."""

    def __init__(self, host: str, min_rate: float, grace: float) -> None:
        self._host, self._min_rate, self._grace = host, min_rate, grace
        self._started, self._received = time.monotonic(), 0

    def count(self, received: int) -> None:
        """Raise ``DownloadError`` (``too_slow``) if that is too little by now."""
        self._received += received
        elapsed = time.monotonic() - self._started
        if elapsed > self._grace and self._received < self._min_rate * elapsed:
            raise DownloadError(ErrorCode.TOO_SLOW, f"{self._host} sends less than {self._min_rate:g} bytes per second")


class _Connection(io.RawIOBase):
    """A connected socket, read by way of ``reader``; what is set by ``serve`` holds for every call."""

    def __init__(self, origin: Origin, sock: socket.socket) -> None:
        self.origin = origin
        self.reader = io.BufferedReader(self, _BUFFER)
        self.idle_since = 0.0
        self.pace: _Pace | None = None
        self._deadline: Deadline | None = None
        self._patience = self._timeout = 0.0
        self._sock = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def serve(self, deadline: Deadline | None, patience: float = 0.0) -> None:
        """Be used by a request of this deadline, which waits ``patience`` seconds for each read; ``None`` ends it."""
        self._deadline, self._patience, self.pace = deadline, patience, None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is None:
            return None
        self._limit(self._deadline)
        received = self._sock.recv_into(buffer)
        if self.pace is not None:
            self.pace.count(received)
        return received

    def send(self, data: bytes) -> None:
        assert self._deadline is not None
        self._limit(self._deadline)
        self._sock.sendall(data)

    def _limit(self, deadline: Deadline) -> None:
        # To set it is a system call, and of most reads and writes it is the same.
        timeout = deadline.cap(self._patience)
        if timeout != self._timeout:
            self._sock.settimeout(timeout)
            self._timeout = timeout

    def has_input(self) -> bool:
        """Whether bytes or the end of the connection are there to be received, while no request is served."""
        pending = isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
        return pending or bool(self.reader.peek(1)) or bool(self._poll.poll(0))

    def close(self) -> None:
        super().close()
        self._sock.close()


class _Pool:
    """Idle connections, the one that idles longest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []
        self._closed = False

    def take(self, origin: Origin) -> _Connection | None:
        """A connection that is in step: the server has neither sent more than it was asked for nor hung up."""
        while True:
            with self._lock:
                self._drop(time.monotonic() - _IDLE_SECONDS)
                found = next((idle for idle in reversed(self._idle) if idle.origin == origin), None)
                if found is None:
                    return None
                self._idle.remove(found)
            if not found.has_input():
                return found
            found.close()

    def keep(self, connection: _Connection) -> None:
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(connection)
            self._drop(float("inf") if self._closed else connection.idle_since - _IDLE_SECONDS)

    def close(self) -> None:
        """Close what is idle now, and later what is kept."""
        with self._lock:
            self._closed = True
            self._drop(float("inf"))

    def _drop(self, before: float) -> None:
        while self._idle and (self._idle[0].idle_since < before or len(self._idle) > _MOST_IDLE):
            self._idle.pop(0).close()


class Headers(Mapping[str, str]):
    """By name in any case; the values of a name that came more than once are joined by a comma."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in fields:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def each(self, name: str) -> list[str]:
        """The values of ``name``, one for each time that it came."""
        return self._values.get(name.lower(), [])


class Response:
    """The answer to a request, its body unread: to iterate receives it, in pieces, still encoded."""

    def __init__(self, connection: _Connection, url: Url, method: str) -> None:
        self.url = url
        self._connection, self._reader = connection, connection.reader
        self._head_left = _LONGEST_HEAD
        minor, self.status, self.headers = self._head()
        while self.status < 200:
            minor, self.status, self.headers = self._head()
        self._chunked, self.length = self._framing(method)
        self._plain = self.length is not None and "content-encoding" not in self.headers
        self._pace: _Pace | None = None
        wishes = [wish.strip().lower() for wish in self.headers.get("connection", "").split(",")]
        self._lasts = minor > 0 and "close" not in wishes and (self._chunked or self.length is not None)
        self.in_step = self._lasts and self.length == 0  # whether the connection can take another request

    def pace(self, min_rate: float, grace: float) -> None:
        """From now on, raise ``DownloadError`` where the body comes at less than ``min_rate`` bytes per second."""
        self._pace = _Pace(self.url.host, min_rate, grace)
        self._connection.pace = self._pace if self._plain else None

    def __iter__(self) -> Iterator[bytes]:
        if self._chunked:
            while size := self._chunk_size():
                yield from self._exactly(size)
                if self._line() != b"\r\n":
                    raise _BadAnswerError
            self._fields()
        elif self.length is not None:
            yield from self._exactly(self.length)
        else:
            while piece := self._piece(_PIECE):
                yield piece
        self.in_step = self._lasts

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._piece(size)
            if not piece:
                raise _BadAnswerError
            size -= len(piece)
            yield piece

    def _piece(self, most: int) -> bytes:
        if self._plain:
            return self._reader.read(min(most, _LARGE_PIECE))
        piece = self._reader.read1(min(most, _PIECE))
        if self._pace is not None:
            self._pace.count(len(piece))
        return piece

    def _head(self) -> tuple[int, int, Headers]:
        """The minor version, the status and the headers."""
        found = _STATUS_LINE.fullmatch(self._head_line())
        if not found or found[2] == b"101":  # nobody asked to switch protocols
            raise _BadAnswerError
        return int(found[1]), int(found[2]), Headers(self._fields())

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while (line := self._head_line()) not in (b"\r\n", b"\n"):
            found = _FIELD.fullmatch(line)
            if not found:
                raise _BadAnswerError
            fields.append((found[1].decode("ascii"), _text(found[2].strip(b"\t "))))
        return fields

    def _framing(self, method: str) -> tuple[bool, int | None]:
        """Whether the body is chunked, and its length if that is known."""
        codings = self.headers.each("transfer-encoding")
        lengths = {text.strip("\t ") for line in self.headers.each("content-length") for text in line.split(",")}
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise _BadAnswerError
        if codings and (lengths or len(codings) > 1 or not _CHUNKED.fullmatch(codings[0])):
            raise _BadAnswerError
        if method == "HEAD" or self.status in (204, 304):
            return False, 0
        return bool(codings), int(lengths.pop()) if lengths else None

    def _chunk_size(self) -> int:
        found = _CHUNK_SIZE.fullmatch(self._line())
        if not found:
            raise _BadAnswerError
        return int(found[1], 16)

    def _head_line(self) -> bytes:
        line = self._line()
        self._head_left -= len(line)
        if self._head_left < 0:
            raise _BadAnswerError
        return line

    def _line(self) -> bytes:
        line = self._reader.readline(_LONGEST_HEAD)
        if not line.endswith(b"\n"):
            raise _BadAnswerError
        return line


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")


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
        self._user_agent = f"Imagelake/{VERSION}" + (f" (+{contact})" if contact else "")
        self._trusted = frozenset(_parse_origin(text) for text in trusted_origins)
        self._tls = ssl_context or _default_tls()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._pool = _Pool()

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

    def _connect(self, url: Url, deadline: Deadline, seconds: float) -> _Connection:
        try:
            sock = _connect_any(url, url.origin in self._trusted, deadline.cap(seconds))
            if url.scheme == "https":
                with _closing_on_error(sock):
                    sock.settimeout(deadline.cap(seconds))
                    sock = self._tls.wrap_socket(sock, server_hostname=url.host)
            return _Connection(url.origin, sock)
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


def _ask(connection: _Connection, request: bytes, url: Url, method: str) -> Response:
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
    except (OSError, _BadAnswerError) as error:  # its text may hold what the server sent
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
    except (OSError, _BadAnswerError, zlib.error) as error:
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
