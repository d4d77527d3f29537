"""HTTP/1.1 on a connected socket: h11 reads and writes the protocol; deadlines, limits and the pool are ours.

Every answer may be hostile. An answer that two parsers could read differently is refused, even if h11 accepts it. A
header line that is none is ignored, as browsers do, unless it is about the length of the body.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import h11

from imagelake.web.errors import BodyCutError, ConnectionFailedError, HttpError, HttpTimeoutError, TooLargeError
from imagelake.web.urls import Url

_IDLE_SECONDS = 30.0
_MOST_IDLE = 64
_LONGEST_HEAD = 65536
# The longest line of a chunk, and the longest trailers. h11 takes quadratic time to refuse some lines of many spaces:
# 0.5 s for 8 KB, 30 s for 60 KB. In a head, `_AMBIGUOUS` and `_well_formed` find such a line first.
_LONGEST_LINE = 4096
# Each chunk costs 10 microseconds. A body may have so many chunks of any size, and beyond that so many bytes a chunk.
MAX_SMALL_CHUNKS = 25_000
MIN_CHUNK = 512
# So many bytes of chunk lines count as one chunk.
LINES_PER_CHUNK = 256
# Bytes received at once: of a head or of chunks, and of any other body.
_SMALL_PIECE, _PIECE = 4096, 262144
_HEAD_END = re.compile(rb"\n\r?\n")
# A carriage return inside a line, and control characters that some parsers read as the end of a line.
_AMBIGUOUS = re.compile(rb"\r[^\n]|[\0\x0b\x0c]")
# A line with those that continue it: https://www.rfc-editor.org/rfc/rfc9112#section-5.2
_LINE = re.compile(rb"[^\n]*\n(?:[\t ][^\n]*\n)*")
_FOLD = re.compile(rb"\r?\n[\t ]+")
# A header line: https://www.rfc-editor.org/rfc/rfc9112#section-5. The name is a token, right before the colon.
_HEADER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:")
# Lines that say where the body ends are never repaired: two parsers would read two bodies.
_FRAMING = re.compile(rb"content-length|transfer-encoding", re.IGNORECASE)


class Deadline:
    """A point in time, ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds until then; negative once it has passed."""
        return self._at - time.monotonic()

    def extend(self, seconds: float) -> None:
        """Move it to ``seconds`` later."""
        self._at += seconds

    def cap(self, seconds: float) -> float:
        """Return ``seconds``, or the remaining ones if they are fewer; raise ``TimeoutError`` if there are none."""
        remaining = self.remaining()
        if remaining <= 0:
            raise TimeoutError
        return min(seconds, remaining)


class Connection:
    """A connected socket; ``http`` is h11's state of both sides of the exchange."""

    def __init__(self, origin: str, sock: socket.socket) -> None:
        self.origin = origin
        self.http = h11.Connection(h11.CLIENT, _LONGEST_HEAD)
        self.idle_since = 0.0
        self._sock = sock
        self._timeout = 0.0
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def send(self, data: bytes, timeout: float) -> None:
        self._set_timeout(timeout)
        self._sock.sendall(data)

    def receive(self, size: int, timeout: float) -> None:
        """Hand at most ``size`` bytes, or the end of the connection, to h11."""
        self.http.receive_data(self.read(size, timeout))

    def read(self, size: int, timeout: float) -> bytes:
        """Return at most ``size`` bytes; none at the end of the connection."""
        self._set_timeout(timeout)
        return self._sock.recv(size)

    def _set_timeout(self, timeout: float) -> None:
        # Setting it is a system call, and most reads and writes have the same timeout.
        if timeout != self._timeout:
            self._sock.settimeout(timeout)
            self._timeout = timeout

    def has_input(self) -> bool:
        """Say whether bytes or the end of the connection are waiting to be received."""
        pending = isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0
        return pending or bool(self._poll.poll(0))

    def close(self) -> None:
        self._sock.close()


class Pool:
    """Idle connections, the longest idle one first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def take(self, origin: str) -> Connection | None:
        """Return an open connection on which no unexpected bytes have come, or ``None``."""
        while True:
            with self._lock:
                self._drop(time.monotonic() - _IDLE_SECONDS)
                connection = next((idle for idle in reversed(self._idle) if idle.origin == origin), None)
                if connection is None:
                    return None
                self._idle.remove(connection)
            if not connection.has_input():
                return connection
            connection.close()

    def keep(self, connection: Connection) -> None:
        """Keep a connection whose request and answer are complete."""
        connection.http.start_next_cycle()
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(connection)
            self._drop(float("inf") if self._closed else connection.idle_since - _IDLE_SECONDS)

    def close(self) -> None:
        """Close the idle connections now, and the others when they are given back."""
        with self._lock:
            self._closed = True
            self._drop(float("inf"))

    def _drop(self, before: float) -> None:
        while self._idle and (self._idle[0].idle_since < before or len(self._idle) > _MOST_IDLE):
            self._idle.pop(0).close()


class Headers(Mapping[str, str]):
    """Header values by name in any case; a comma joins the values of a name that came more than once."""

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
        """Return the values of ``name``, one for each time that it came."""
        return self._values.get(name.lower(), [])


class ResponseStream:
    """The response to ``request``, its body not yet received: iteration receives it in pieces, still encoded.

    ``read_timeout`` limits every single read and write, ``deadline`` all of them together.
    """

    def __init__(
        self,
        connection: Connection,
        request: h11.Request,
        body: bytes,
        url: Url,
        *,
        deadline: Deadline,
        read_timeout: float,
    ) -> None:
        self.url = url
        self._connection, self._http = connection, connection.http
        self._deadline, self._read_timeout = deadline, read_timeout
        self._repaired = False
        with _errors_as(ConnectionFailedError, f"{url.host} gave no valid HTTP answer", f"{url.host} did not answer"):
            self._send(request, body)
            head = self._receive_head()
        self.status = head.status_code
        self.headers = Headers([(name.decode("ascii"), _text(value)) for name, value in head.headers])
        self._chunked = "transfer-encoding" in self.headers
        self._line_bytes = 0
        self.length = self._body_length(request)
        if self.length == 0:
            list(self)  # so that the connection is reusable although nobody reads the empty body

    @property
    def reusable(self) -> bool:
        """True if the connection can take another request: both sides are done, and nothing came after the answer.

        After a repaired head, two parsers could still see the end of the answer at two places.
        """
        is_done = not self._repaired and self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        return is_done and self._http.next_event() is h11.NEED_DATA

    def __iter__(self) -> Iterator[bytes]:
        host = self.url.host
        with _errors_as(BodyCutError, f"{host} broke off inside the body", f"{host} did not finish"):
            chunks = size = 0
            while self._http.their_state is h11.SEND_BODY:
                event = self._next_chunked_event() if self._chunked else self._http.next_event()
                if isinstance(event, h11.Data):
                    chunks += event.chunk_end
                    size += len(event.data)
                    if chunks + self._line_bytes / LINES_PER_CHUNK > MAX_SMALL_CHUNKS + size / MIN_CHUNK:
                        raise TooLargeError(f"{host} sends {chunks:,} chunks of {size // chunks} bytes on average")
                    yield event.data
                elif event is h11.NEED_DATA:
                    self._receive(_SMALL_PIECE if self._chunked else _PIECE)

    def _send(self, request: h11.Request, body: bytes) -> None:
        data = self._http.send(request)
        if body:
            data += self._http.send(h11.Data(body))
        data += self._http.send(h11.EndOfMessage())
        try:
            self._connection.send(data, self._deadline.cap(self._read_timeout))
        except TimeoutError:
            raise
        except OSError:
            # A server may answer and hang up before it has read the whole request.
            self._http.send_failed()

    def _receive(self, size: int) -> None:
        self._connection.receive(size, self._deadline.cap(self._read_timeout))

    def _receive_head(self) -> h11.Response:
        received, remaining = b"", _LONGEST_HEAD
        while True:
            end = _HEAD_END.search(received)
            head = received[: end.end()] if end else received
            if len(head) > remaining or _AMBIGUOUS.search(head):
                raise h11.RemoteProtocolError("a head that is too long or that can be read in two ways")
            if end is None:
                piece = self._connection.read(_SMALL_PIECE, self._deadline.cap(self._read_timeout))
                received += piece
                if not piece:
                    self._http.receive_data(received)
                    self._http.receive_data(b"")
                    self._http.next_event()
                    raise h11.RemoteProtocolError("the connection ended inside the head")
                continue
            remaining -= len(head)
            received = received[len(head) :]
            event = self._head_event(head)
            if isinstance(event, h11.Response):
                if received:
                    self._http.receive_data(received)
                return event

    def _head_event(self, head: bytes) -> h11.InformationalResponse | h11.Response:
        repaired = _well_formed(head)
        self._repaired |= repaired != head
        self._http.receive_data(repaired)
        event = self._http.next_event()
        if not isinstance(event, h11.InformationalResponse | h11.Response) or not event.http_version.startswith(b"1."):
            raise h11.RemoteProtocolError("not the head of an HTTP/1 response")
        return event

    def _next_chunked_event(self) -> object:
        before = self._http.trailing_data[0]
        event = self._http.next_event()
        rest = len(self._http.trailing_data[0])
        data = len(event.data) if isinstance(event, h11.Data) else 0
        # What h11 has read and not returned: a chunk's line, the line end after a chunk, or trailers.
        line = before[: len(before) - rest - data]
        self._line_bytes += len(line)
        if _AMBIGUOUS.search(line) or _FOLD.search(line) or (event is h11.NEED_DATA and rest > _LONGEST_LINE):
            raise h11.RemoteProtocolError("a line that is too long or that can be read in two ways")
        return event

    def _body_length(self, request: h11.Request) -> int | None:
        """Return the length of the body, or ``None`` if it is known only at the end."""
        length = self.headers.get("content-length")
        if self._chunked and length is not None:
            raise ConnectionFailedError(f"{self.url.host} gave no valid HTTP answer")
        if request.method == b"HEAD" or self.status in (204, 304):
            return 0
        return None if length is None else int(length)


def _well_formed(head: bytes) -> bytes:
    """Return the head without lines that are no header lines, and with folded lines as one."""
    status, end, rest = head.partition(b"\n")
    lines = []
    for line in _LINE.findall(rest):
        repaired = _FOLD.sub(b" ", line) if _HEADER_LINE.match(line) or not line.strip(b"\r\n") else b""
        if repaired != line and _FRAMING.search(line):
            raise h11.RemoteProtocolError("a malformed header line about the length of the body")
        lines.append(repaired)
    return status + end + b"".join(lines)


@contextmanager
def _errors_as(kind: type[HttpError], message: str, late: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise HttpTimeoutError(f"{late} in time") from error
    except h11.RemoteProtocolError:
        # Drop the cause: its text may hold what the server sent.
        raise kind(message) from None
    except OSError as error:
        raise kind(message) from error


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")
