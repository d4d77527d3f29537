"""HTTP/1.1 on a connected socket: the connection under a deadline, the pool of idle ones, and the answer to a request.

Every answer may be hostile. One that leaves in doubt where it ends, or what it says, is none.
"""

from __future__ import annotations

import io
import re
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from imagelake.web.errors import TooSlowError
from imagelake.web.urls import Url

_IDLE_SECONDS = 30.0
_MOST_IDLE = 64
_LONGEST_HEAD = 65536
# Bytes received at once: ahead while lines are read, of a body as it comes, and of one whose end is known and that is
# not encoded. Most of these are one piece, and so are never copied.
_BUFFER, _PIECE, _LARGE_PIECE = 8192, 65536, 1 << 20

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


class BadAnswerError(Exception):
    """The server breaks off, or what it sends is no HTTP; never leaves `imagelake.web.client`."""


class _Pace:
    """The least rate at which bytes have to come in, after ``grace`` seconds."""

    def __init__(self, host: str, min_rate: float, grace: float) -> None:
        self._host, self._min_rate, self._grace = host, min_rate, grace
        self._started, self._received = time.monotonic(), 0

    def count(self, received: int) -> None:
        """Raise ``TooSlowError`` if that is too little by now."""
        self._received += received
        elapsed = time.monotonic() - self._started
        if elapsed > self._grace and self._received < self._min_rate * elapsed:
            raise TooSlowError(f"{self._host} sends less than {self._min_rate:g} bytes per second")


class Connection(io.RawIOBase):
    """A connected socket, read by way of ``reader``; what is set by ``serve`` holds for every call."""

    def __init__(self, origin: str, sock: socket.socket) -> None:
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


class Pool:
    """Idle connections, the one that idles longest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def take(self, origin: str) -> Connection | None:
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

    def keep(self, connection: Connection) -> None:
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


class ResponseStream:
    """The answer to a request, its body unread: to iterate receives it, in pieces, still encoded."""

    def __init__(self, connection: Connection, url: Url, method: str) -> None:
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
        """From now on, raise ``TooSlowError`` where the body comes at less than ``min_rate`` bytes per second."""
        self._pace = _Pace(self.url.host, min_rate, grace)
        self._connection.pace = self._pace if self._plain else None

    def __iter__(self) -> Iterator[bytes]:
        if self._chunked:
            while size := self._chunk_size():
                yield from self._exactly(size)
                if self._line() != b"\r\n":
                    raise BadAnswerError
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
                raise BadAnswerError
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
            raise BadAnswerError
        return int(found[1]), int(found[2]), Headers(self._fields())

    def _fields(self) -> list[tuple[str, str]]:
        fields = []
        while (line := self._head_line()) not in (b"\r\n", b"\n"):
            found = _FIELD.fullmatch(line)
            if not found:
                raise BadAnswerError
            fields.append((found[1].decode("ascii"), _text(found[2].strip(b"\t "))))
        return fields

    def _framing(self, method: str) -> tuple[bool, int | None]:
        """Whether the body is chunked, and its length if that is known."""
        codings = self.headers.each("transfer-encoding")
        lengths = {text.strip("\t ") for line in self.headers.each("content-length") for text in line.split(",")}
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            raise BadAnswerError
        if codings and (lengths or len(codings) > 1 or not _CHUNKED.fullmatch(codings[0])):
            raise BadAnswerError
        if method == "HEAD" or self.status in (204, 304):
            return False, 0
        return bool(codings), int(lengths.pop()) if lengths else None

    def _chunk_size(self) -> int:
        found = _CHUNK_SIZE.fullmatch(self._line())
        if not found:
            raise BadAnswerError
        return int(found[1], 16)

    def _head_line(self) -> bytes:
        line = self._line()
        self._head_left -= len(line)
        if self._head_left < 0:
            raise BadAnswerError
        return line

    def _line(self) -> bytes:
        line = self._reader.readline(_LONGEST_HEAD)
        if not line.endswith(b"\n"):
            raise BadAnswerError
        return line


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("iso-8859-1")
