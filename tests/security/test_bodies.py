"""Answers without an end or with a wrong length, from a real server: we hang up within the limits."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import pytest

from imagelake.run.errors import DownloadError, ErrorCode
from tests.support.fixtures import Serve
from tests.support.raw_server import RawServer
from transform.download import Downloader, Limits

LIMITS = Limits(
    max_bytes=100_000, connect_seconds=1, read_seconds=0.5, total_seconds=0.6, grace_seconds=0.2,
    min_bytes_per_second=2_000, max_tries=2, backoff_seconds=0.001,
)  # fmt: skip
HEAD = b"HTTP/1.1 200 X\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Sent:
    """One answer: ``first``, then ``part`` again and again; counts the bytes sent."""

    def __init__(self, first: bytes, part: bytes, pause: float) -> None:
        self.first, self.part, self.pause = first, part, pause
        self.bytes = 0
        self.server: RawServer | None = None

    def __iter__(self) -> Iterator[bytes]:
        assert self.server
        yield self.first
        until = time.monotonic() + 8  # so that a test ends even if the limits do not work
        while not self.server.stopped.wait(self.pause) and time.monotonic() < until:
            self.bytes += len(self.part)
            yield self.part


HOSTILE = {
    "head, byte by byte": (Sent(b"", b"H", 0.02), {ErrorCode.TIMED_OUT, ErrorCode.CONNECTION_FAILED}),
    "header line, byte by byte": (Sent(HEAD + b"X-Slow: ", b"x", 0.02), {ErrorCode.TIMED_OUT}),
    "headers, line by line": (Sent(HEAD, b"X: y\r\n", 0.02), {ErrorCode.TIMED_OUT}),
    "headers without end": (Sent(HEAD, b"X: " + b"y" * 60_000 + b"\r\n", 0), {ErrorCode.CONNECTION_FAILED}),
    "interim answers without end": (Sent(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.02), {ErrorCode.TIMED_OUT}),
    "body, byte by byte": (Sent(HEAD + b"Content-Length: 5000\r\n\r\n", b"x", 0.02), {ErrorCode.TOO_SLOW}),
    "body without a length": (Sent(HEAD + b"\r\n", bytes(60_000), 0), {ErrorCode.TOO_LARGE}),
    "chunks without end": (Sent(CHUNKED, b"ea60\r\n" + bytes(60_000) + b"\r\n", 0), {ErrorCode.TOO_LARGE}),
    "chunks, byte by byte": (Sent(CHUNKED, b"1\r\nx\r\n", 0.02), {ErrorCode.TOO_SLOW}),
    "chunk's length without end": (Sent(CHUNKED, b"0", 0.005), {ErrorCode.BODY_CUT, ErrorCode.TIMED_OUT}),
    "chunk's extension without end": (Sent(CHUNKED + b"1;a=", b"x" * 10_000, 0), {ErrorCode.BODY_CUT}),
    "trailers without end": (Sent(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n", 0.005),
                             {ErrorCode.BODY_CUT, ErrorCode.TIMED_OUT}),
    "gzip without end": (
        Sent(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(bytes(50_000_000)), b"", 0.01),
        {ErrorCode.TOO_LARGE},
    ),
}  # fmt: skip


def failure(server: RawServer) -> DownloadError:
    with (
        Downloader(LIMITS, trusted_origins=frozenset({server.origin})) as downloader,
        pytest.raises(DownloadError) as caught,
    ):
        downloader.download(f"{server.origin}/a")
    return caught.value


@pytest.mark.parametrize("name", HOSTILE)
def test_an_answer_without_an_end_is_left(name: str, serve: Serve) -> None:
    answer, codes = HOSTILE[name]
    server = answer.server = serve(a=[answer])
    started = time.monotonic()
    error = failure(server)
    assert error.code in codes, error
    # The time of all tries together, and 5 s for a busy machine.
    assert time.monotonic() - started < LIMITS.total_seconds + 5
    # The limit, and as much as the buffers of the two sockets hold.
    assert answer.bytes < 20_000_000


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (HEAD + b"Content-Length: 99999999999999999999\r\n\r\nx", "too_large"),
        (HEAD + b"Content-Length: 100001\r\n\r\nx", "too_large"),
        (HEAD + b"Content-Length: 100\r\n\r\nx", "body_cut"),
        (HEAD + b"Content-Length: 1e9\r\n\r\nx", "connection_failed"),
        (HEAD + b"Content-Length: 0x10\r\n\r\nx", "connection_failed"),
        (HEAD + b"Content-Length: 1, 2\r\n\r\nx", "connection_failed"),
        (CHUNKED + b"-1\r\nx\r\n", "body_cut"),
        (CHUNKED + b"0x10\r\nx\r\n", "body_cut"),
        (CHUNKED + b"fffffffffffffffff\r\nx\r\n", "body_cut"),
        (CHUNKED + b"\r\n\r\n\r\n", "body_cut"),
        (CHUNKED + b"5\r\nabcdefgh\r\n0\r\n\r\n", "body_cut"),
        (CHUNKED + b"\xff\xfe\xfd\r\n", "body_cut"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\nx", "connection_failed"),
        (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", "body_cut"),
    ],
)
def test_an_answer_with_a_false_length_is_no_image(answer: bytes, code: str, serve: Serve) -> None:
    assert failure(serve(a=[[answer, None]])).code == code
