"""HTTP on the wire: answers that are read, answers that are refused, and connections that take another request."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from imagelake.web.body import MAX_MEMBERS, read_body
from imagelake.web.client import GuardedClient
from imagelake.web.errors import (
    BodyCutError,
    ConnectionFailedError,
    HttpError,
    HttpTimeoutError,
    TooLargeError,
    TooSlowError,
    UnknownEncodingError,
)
from imagelake.web.http1 import Deadline
from tests.support.fixtures import Serve
from tests.support.raw_server import EVIL, OK, RawServer, get
from tests.support.sample import full

BOMB = gzip.compress(bytes(50_000_000))


def packed(body: bytes) -> bytes:
    """Compress without the time of day, because the names of tests contain the bytes and must not change."""
    return gzip.compress(body, mtime=0)


ENDLESS = [b"HTTP/1.1 200 OK\r\n\r\n"] + [bytes(65536)] * 100


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB), BOMB], TooLargeError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999999\r\n\r\n", None], ConnectionFailedError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1000001\r\n\r\n", None], TooLargeError),
        (ENDLESS, TooLargeError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", None], BodyCutError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", None], BodyCutError),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", None], BodyCutError),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + BOMB[:50], None], BodyCutError),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip", None], BodyCutError),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\nabc", None], UnknownEncodingError),
        ([b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\n\r\nabc", None], UnknownEncodingError),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", None], ConnectionFailedError),
        ([b"SSH-2.0-OpenSSH_9.9 token=secret\r\n", None], ConnectionFailedError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", None], ConnectionFailedError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nab", None], ConnectionFailedError),
        ([None], ConnectionFailedError),
    ],
)
def test_exchange_when_the_answer_is_hostile(parts: list[bytes | None], kind: type[HttpError], serve: Serve) -> None:
    server = serve(lambda head: parts)
    with pytest.raises(HttpError) as caught:
        get(
            f"{server.origin}/?token=secret",
            GuardedClient(trusted_origins=frozenset({server.origin})),
            max_bytes=1_000_000,
        )
    assert caught.type is kind
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def trickle(server: RawServer, first: bytes, part: bytes) -> Iterator[bytes]:
    """``first``, then ``part`` again and again, a hundredth of a second apart, until the server is stopped."""
    yield first
    while not server.stopped.wait(0.01):
        yield part


@pytest.mark.parametrize(
    ("first", "part"), [(b"", b""), (b"", b"HTTP/1.1 100 Continue\r\n\r\n"), (b"HTTP/1.1 200 OK\r\nX: ", b"x")]
)
def test_exchange_when_the_head_never_ends(first: bytes, part: bytes, serve: Serve) -> None:
    server: RawServer = serve(lambda head: trickle(server, first, part))
    with pytest.raises(HttpError) as caught:
        get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})), total=0.2)
    assert caught.type is HttpTimeoutError


@pytest.mark.parametrize(("scheme", "json"), [("https", None), ("http", "x" * 20_000_000)])
def test_exchange_when_the_server_accepts_the_connection_and_never_answers(scheme: str, json: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        with pytest.raises(HttpError) as caught:
            get(origin, GuardedClient(trusted_origins=frozenset({origin})), method="POST", json=json, total=0.2)
    assert caught.type is HttpTimeoutError
    assert time.monotonic() - started < 3


def test_read_body_when_it_trickles(serve: Serve) -> None:
    server: RawServer = serve(lambda head: trickle(server, b"HTTP/1.1 200 OK\r\n\r\n", b"x"))
    with (
        GuardedClient(trusted_origins=frozenset({server.origin})) as client,
        client.open("GET", client.check(server.origin), deadline=Deadline(5), connect=1, read=1) as response,
        pytest.raises(HttpError) as caught,
    ):
        read_body(response, 1000, min_rate=1_000_000, grace=0.1)
    assert caught.type is TooSlowError


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + EVIL,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + EVIL,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + EVIL,
    ],
)
def test_exchange_when_more_comes_than_was_announced_then_it_answers_no_other_request(
    answer: bytes, serve: Serve
) -> None:
    server = serve(lambda head: [answer])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        bodies = [client.exchange("GET", server.origin).body for _ in range(3)]
    assert b"evil" not in bodies
    assert server.connections == 3


def test_read_body_when_it_is_done_then_no_other_request_gets_the_connection_until_the_block_ends(
    serve: Serve,
) -> None:
    server = serve(lambda head: [OK])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        with client.open("GET", client.check(server.origin), deadline=Deadline(5), connect=1, read=1) as response:
            assert read_body(response, 10) == b"ok"
            client.exchange("GET", server.origin)
        client.exchange("GET", server.origin)
    assert server.connections == 2


def test_exchange_when_a_bomb_inflates_then_memory_stays_small(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB)
    server = serve(lambda _: [head, BOMB])
    client = GuardedClient(trusted_origins=frozenset({server.origin}))
    tracemalloc.start()
    try:
        with pytest.raises(HttpError):
            get(server.origin, client, max_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_exchange_when_a_body_comes_in_chunks_then_the_connection_is_kept(serve: Serve) -> None:
    server = serve(
        lambda head: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nok\r\n", b"0\r\n", b"\r\n"]
    )
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert [client.exchange("GET", server.origin).body for _ in range(5)] == [b"ok"] * 5
    assert server.connections == 1


def raw(head: bytes, body: bytes = b"") -> bytes:
    """An answer whose head has these lines, separated by ``|``."""
    return head.replace(b"|", b"\r\n") + b"\r\n\r\n" + body


CHUNKED = b"HTTP/1.1 200 OK|Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        # two opinions on where the answer ends
        (raw(CHUNKED + b"|Content-Length: 2", b"2\r\nok\r\n0\r\n\r\n"), ConnectionFailedError),
        (raw(CHUNKED + b"|Transfer-Encoding: chunked"), ConnectionFailedError),
        (raw(b"HTTP/1.1 200 OK|Transfer-Encoding: gzip, chunked"), ConnectionFailedError),
        (raw(b"HTTP/1.1 200 OK|Transfer-Encoding: identity", b"ok"), ConnectionFailedError),
        (raw(b"HTTP/1.1 200 OK|Transfer-Encoding: chun\xe2\x84\xaaed"), ConnectionFailedError),
        *(
            (raw(b"HTTP/1.1 200 OK|Content-Length: " + length, b"okok"), ConnectionFailedError)
            for length in (b"2, 4", b"2,", b"+2", b"-2", b"0x2", b"2_0", b"2 2", b"", b"2.0", b"\xd9\xa2", b"2\xc2\xa0")
        ),
        # heads that are none
        *(
            (raw(b"HTTP/1.1 200 OK|Content-Length: 2|" + line, b"ok"), ConnectionFailedError)
            for line in (
                b"A: b\rContent-Length: 0", b"A: \0", b"A: \x0b", b"A: \x0c", b"\r: a",
                # about the length, and malformed
                b"Content-Length : 2", b" Content-Length: 2", b"Content-Length:|\t2", b"A: b|\tContent-Length: 2",
                b"Content-Length 2", b"X Transfer-Encoding: chunked", b"\xe4transfer-encoding: chunked",
            )
        ),
        *(
            (raw(line + b"|Content-Length: 2", b"ok"), ConnectionFailedError)
            for line in (
                b"HTTP/0.9 200 OK", b"HTTP/2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK",
                b"HTTP/1.1 +20 OK",
                b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b" HTTP/1.1 200 OK",
                b"HTTP/1.1 200\rOK",
                b"HTTP/2.0 103 Early||HTTP/1.1 200 OK",
                b"|HTTP/1.1 200 OK", b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 099 OK", b"<html>",
            )
        ),
        (raw(b"HTTP/1.1 200 OK|" + b"A: b|" * 14_000 + b"A: b"), ConnectionFailedError),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 4_000, ConnectionFailedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", ConnectionFailedError),
        # chunks that are none
        *(
            (raw(CHUNKED, b"2\r\nok\r\n" + rest), BodyCutError)
            for rest in (
                b"+2\r\nok\r\n0\r\n\r\n", b"0x2\r\nok\r\n0\r\n\r\n", b"0_2\r\nok\r\n0\r\n\r\n",
                b" 2\r\nok\r\n0\r\n\r\n",
                b"-2\r\nok\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", b"2\nok\r\n0\r\n\r\n", b"2\r\nokok\r\n0\r\n\r\n",
                b"2\r\nok0\r\n\r\n",
                b"000000000000000000002\r\nok\r\n0\r\n\r\n", b"2;a\rb\r\nok\r\n0\r\n\r\n", b"0\r\n",
                b"0\r\nno trailer\r\n\r\n",
                b"0\r\n" + b"A: b\r\n" * 14_000 + b"\r\n", b"ffffffffffffffffffff\r\nok",
                b"2;" + b"x" * 70_000 + b"\r\nok\r\n0\r\n\r\n", b"2;" + b" " * 60_000 + b"\nok\r\n0\r\n\r\n",
                b"2;a\0\r\nok\r\n0\r\n\r\n", b"2;a\x0b\r\nok\r\n0\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n",
            )
        ),
    ],
)  # fmt: skip
def test_exchange_when_the_answer_is_malformed(answer: bytes, kind: type[HttpError], serve: Serve) -> None:
    server = serve(lambda head: [answer, None])
    with pytest.raises(HttpError) as caught:
        get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})))
    assert caught.type is kind


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"HTTP/1.1 200 OK|A:" + b" " * 60_000 + b"\x0b"),
        raw(b"HTTP/1.1 200 OK|A:" + b"\n " * 30_000 + b"\x0b"),
        raw(CHUNKED, b"2;" + b" " * 60_000 + b"\nok\r\n"),
        raw(CHUNKED, b"0\r\nA:" + b" " * 60_000 + b"\x0b\r\n\r\n"),
        raw(CHUNKED, b"0\r\nA:" + b" " * 8_000 + b"\x0b\r\n\r\n"),
    ],
)
def test_exchange_when_a_line_would_keep_h11_busy_then_it_is_refused_soon(answer: bytes, serve: Serve) -> None:
    server = serve(lambda head: [answer, None])
    started = time.process_time()
    with pytest.raises(HttpError):
        get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})))
    assert time.process_time() - started < 2


def test_open_when_the_method_is_head_then_the_length_announces_no_body(serve: Serve) -> None:
    server = serve(lambda head: [raw(b"HTTP/1.1 200 OK|Content-Length: 50")])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        for _ in range(2):
            url = client.check(server.origin)
            with client.open("HEAD", url, deadline=Deadline(5), connect=1, read=1) as response:
                assert (read_body(response, 10), response.headers["content-length"]) == (b"", "50")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200\nContent-Length:2\n\nok", b"ok"),
        (raw(b"HTTP/1.1 200 |content-length: 2, 2|CONTENT-LENGTH:\t2 ", b"ok"), b"ok"),
        (raw(b"HTTP/1.1 200 \xe4|A: \xe4|Content-Length: 2", b"ok"), b"ok"),
        (raw(b"HTTP/1.1 102 Wait|A: b||HTTP/1.1 103 Early|A: b||HTTP/1.1 200 OK|Content-Length: 2", b"ok"), b"ok"),
        (raw(b"HTTP/1.1 200 OK|transfer-encoding: Chunked", b"1;a=b \r\no\r\n01 \r\nk\r\n0\r\nA: b\r\n\r\n"), b"ok"),
        (raw(b"HTTP/1.1 204 No Content|Content-Length: 2"), b""),
        (raw(b"HTTP/1.1 304 Not Modified|Content-Length: 2"), b""),
        (raw(b"HTTP/1.1 200 OK|Content-Length: 300000", b"ok" * 150_000), b"ok" * 150_000),
        (raw(CHUNKED, b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"), b"a" * 20_000),
    ],
)
def test_exchange_when_the_answer_is_odd_but_clear_then_the_connection_is_kept(
    answer: bytes, body: bytes, serve: Serve
) -> None:
    server = serve(lambda head: [answer])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert [client.exchange("GET", server.origin).body for _ in range(2)] == [body] * 2
    assert server.connections == 1


@pytest.mark.parametrize(
    "line",
    [
        b" folded: a", b"A : b", b"A", b": a", b"A b: c", b"\xc3\xa4: a", b"HTTP/1.1 200 OK", b"<b>x</b>", b"(a): b",
        b"A|\tb: c", b"\t|\t",
    ],
)  # fmt: skip
def test_header_line_when_malformed_is_ignored_as_in_browsers(line: bytes, serve: Serve) -> None:
    """Chromium and Firefox skip such a line (``HttpResponseHeaders``, ``nsHttpHeaderArray::ParseHeaderLine``).

    The connection is not used again.
    """
    server = serve(lambda head: [raw(b"HTTP/1.1 200 OK|" + line + b"|B: c|Content-Length: 2", b"ok")])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        answers = [client.exchange("GET", server.origin) for _ in range(2)]
    assert [(answer.body, dict(answer.headers)) for answer in answers] == [
        (b"ok", {"b": "c", "content-length": "2"})
    ] * 2
    assert server.connections == 2


@pytest.mark.parametrize("fold", [b"|\t", b"|  ", b" | \t |  "])
def test_header_line_when_folded_is_one_line(fold: bytes, serve: Serve) -> None:
    """A user agent replaces each fold by spaces: https://www.rfc-editor.org/rfc/rfc9112#section-5.2."""
    server = serve(lambda head: [raw(b"HTTP/1.1 200 OK|A: b" + fold + b"c|Content-Length: 2", b"ok")])
    answer = get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})))
    assert (answer.headers["a"].split(), answer.status) == (["b", "c"], 200)


def test_header_lines_when_malformed_in_a_head_before_the_answer_are_ignored(serve: Serve) -> None:
    server = serve(lambda head: [raw(b"HTTP/1.1 103 Early|A b: c||HTTP/1.1 200 OK|oops|Content-Length: 2", b"ok")])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert client.exchange("GET", server.origin).body == b"ok"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        *((name, b"hello") for name in (b"UTF-8", b"aws-chunked", b"none", b"binary", b"", b"identity, utf-8", b",")),
        (b"utf-8, gzip", packed(b"hello")),
        (b"gzip, identity", packed(b"hello")),
        # Members: https://www.rfc-editor.org/rfc/rfc1952#section-2.2
        (b"gzip", packed(b"hel") + packed(b"lo")),
        (b"gzip", packed(b"") + packed(b"hello") + packed(b"")),
        (b"gzip", b"".join(packed(bytes([letter])) for letter in b"hello")),
        # Browsers and gzip ignore other bytes after a member.
        (b"gzip", packed(b"hello") + bytes(512)),
        (b"gzip", packed(b"hello") + b"\x1f"),
        (b"gzip", packed(b"hel") + packed(b"lo") + b"garbage" + packed(b"x")),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_body_when_the_encoding_is_unknown_or_gzip_has_several_members(
    encoding: bytes, body: bytes, size: int, serve: Serve
) -> None:
    """No browser asks what a coding means that is not registered (RFC 9110, 8.4.1), and the bytes are as they are."""
    head = raw(b"HTTP/1.1 200 OK|Content-Encoding: " + encoding + b"|Content-Length: %d" % len(body))
    server = serve(lambda _: [head, *(body[start : start + size] for start in range(0, len(body), size))])
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert client.exchange("GET", server.origin).body == b"hello"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (packed(b"hello") + packed(b"hello")[:-1], BodyCutError),
        (packed(b"hello") + b"\x1f\x8b", BodyCutError),
        (packed(b"hello") + b"\x1f\x8bgarbage", BodyCutError),
        (packed(b"hello")[:-3] + b"xyz", BodyCutError),
        (packed(b"hello") + BOMB, TooLargeError),
        (packed(b"") * (MAX_MEMBERS + 1), TooLargeError),
    ],
)
def test_body_when_a_later_gzip_member_is_wrong_is_an_error(body: bytes, kind: type[HttpError], serve: Serve) -> None:
    head = raw(b"HTTP/1.1 200 OK|Content-Encoding: gzip|Content-Length: %d" % len(body))
    server = serve(lambda _: [head, body])
    with pytest.raises(kind), GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        client.exchange("GET", server.origin, max_bytes=100_000)


@pytest.mark.parametrize("name", ["br", "zstd", "deflate", "compress", "gzip, br"])
def test_body_when_the_encoding_is_known_and_not_asked_for_is_refused(name: str, serve: Serve) -> None:
    server = serve(lambda _: [raw(b"HTTP/1.1 200 OK|Content-Length: 2|Content-Encoding: " + name.encode(), b"ok")])
    with pytest.raises(UnknownEncodingError), GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        client.exchange("GET", server.origin)


@pytest.mark.parametrize(
    "parts",
    [
        [raw(b"HTTP/1.1 200 OK|Connection: x, Close|Content-Length: 2", b"ok")],
        [raw(b"HTTP/1.0 200 OK|Connection: keep-alive|Content-Length: 2", b"ok")],
        [raw(b"HTTP/1.0 200 OK|Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n")],
        [raw(b"HTTP/1.1 200 OK", b"ok"), None],
    ],
)
def test_exchange_when_the_answer_ends_the_connection(parts: list[bytes | None], serve: Serve) -> None:
    server = serve(lambda head: parts)
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert [client.exchange("GET", server.origin).body for _ in range(2)] == [b"ok"] * 2
    assert server.connections == 2


def test_exchange_when_a_header_comes_twice_then_its_values_are_joined(serve: Serve) -> None:
    server = serve(lambda head: [raw(b"HTTP/1.1 200 OK|A: b|Content-Length: 0|a:\tc  d |B: \xc3\xa4|C: \xe4")])
    answer = get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})))
    assert answer.headers == {"a": "b, c  d", "content-length": "0", "b": "ä", "c": "ä"}


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\0", "caf\u00e9", "\u2028"])
def test_exchange_when_a_header_does_not_fit_then_nothing_is_sent(value: str, serve: Serve) -> None:
    server = serve(lambda head: [OK])
    with pytest.raises(HttpError) as caught:
        get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})), headers={"X-Token": value})
    assert caught.type is ConnectionFailedError
    assert value not in str(caught.value)
    assert server.connections == 0


def test_exchange_when_the_server_answers_before_it_has_read_the_body(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def refuse() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(100)
                sock.sendall(raw(b"HTTP/1.1 413 Too Large|Content-Length: 2", b"no"))
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        answer = get(origin, GuardedClient(trusted_origins=frozenset({origin})), method="POST", json="x" * 1_000_000)
        thread.join()
    assert (answer.status, answer.body) == (413, b"no")


def fetched(client: GuardedClient, server: RawServer) -> bytes:
    return client.exchange("GET", server.origin).body


def test_connection_when_the_server_hangs_up_on_it_while_idle(serve: Serve) -> None:
    gone = threading.Event()

    def hang_up(head: bytes) -> Iterator[bytes | None]:
        yield OK
        gone.wait(5)
        yield None

    server = serve(hang_up)
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert fetched(client, server) == b"ok"
        gone.set()
        time.sleep(0.1)
        assert fetched(client, server) == b"ok"
    assert server.connections == 2


def test_connection_when_it_idles_for_long_or_is_one_too_many(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = serve(lambda head: [OK]), serve(lambda head: [OK])
    with GuardedClient(trusted_origins=frozenset({one.origin, two.origin})) as client:
        for _ in range(2):
            fetched(client, one)
            fetched(client, two)
        assert (one.connections, two.connections) == (1, 1)
        monkeypatch.setattr("imagelake.web.http1._MOST_IDLE", 1)
        fetched(client, two)
        fetched(client, one)
        assert (one.connections, two.connections) == (2, 1)
        monkeypatch.setattr("imagelake.web.http1._IDLE_SECONDS", -1.0)
        fetched(client, one)
        assert one.connections == 3


def test_connection_when_the_client_is_closed_meanwhile(serve: Serve) -> None:
    server = serve(lambda head: [OK])
    client = GuardedClient(trusted_origins=frozenset({server.origin}))
    with client.open("GET", client.check(server.origin), deadline=Deadline(5), connect=1, read=1) as response:
        client.close()
        assert read_body(response, 10) == b"ok"
    fetched(client, server)
    assert server.connections == 2


def test_exchange_when_many_threads_share_the_client_then_each_has_its_own_answer(serve: Serve) -> None:
    def echo(head: bytes) -> list[bytes]:
        path = head.split()[1]
        return [raw(b"HTTP/1.1 200 OK|Content-Length: %d" % len(path), path)]

    server = serve(echo)
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client, ThreadPoolExecutor(6) as pool:
        paths = [f"/{number}" for number in range(300)]
        bodies = pool.map(lambda path: client.exchange("GET", server.origin + path).body.decode(), paths)
        assert list(bodies) == paths
    assert server.connections <= 6


WHOLE = [
    raw(b"HTTP/1.1 103 Early|A: b||HTTP/1.1 200 OK|Content-Length: 11", b"hello\r\n\r\n42"),
    raw(CHUNKED, b"7;a=b\r\nhello\r\n\r\n4\r\n\r\n42\r\n0\r\nA: b\r\n\r\n"),
]


@pytest.mark.parametrize("answer", WHOLE)
def test_exchange_when_the_answer_comes_in_two_then_it_is_the_same(answer: bytes, serve: Serve) -> None:
    def halved(head: bytes) -> Iterator[bytes]:
        middle = int(head.split()[1][1:])
        yield answer[:middle]
        time.sleep(0.001)
        yield answer[middle:]

    server = serve(halved)
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        for middle in range(len(answer)):
            assert client.exchange("GET", f"{server.origin}/{middle}").body == b"hello\r\n\r\n42"
    assert server.connections == 1


INSERTS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"-1", b"0x", b"\xff", b"9" * 30, b"x" * 70_000, b"Connection: close\r\n",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1 100 X\r\n\r\n", b"0\r\n\r\n", EVIL,
]  # fmt: skip


def mutated(rng: Random) -> list[bytes | None]:
    answer = rng.choice(WHOLE)
    for _ in range(rng.randint(1, 3)):
        start = rng.randint(0, len(answer))
        stop = start + rng.choice([0, 0, 1, 5, 100])
        answer = answer[:start] + rng.choice([b"", bytes([rng.randrange(256)]), *INSERTS]) + answer[stop:]
    end: list[list[bytes | None]] = [[], [None], [None]]
    return [answer + rng.choice([b"", EVIL]), *rng.choice(end)]


def retried(client: GuardedClient, url: str) -> bytes:
    try:
        return client.exchange("GET", url).body
    except ConnectionFailedError:  # the server hung up only now
        return client.exchange("GET", url).body


@pytest.mark.parametrize("number", [100, full(300)])
def test_exchange_when_answers_are_mutated_then_only_our_errors_are_raised_and_no_answer_goes_to_another_request(
    serve: Serve, number: int
) -> None:
    rng = Random(1)
    parts: list[bytes | None] = []
    server = serve(lambda head: [OK] if head.startswith(b"GET /ok ") else parts)
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        for _ in range(number):
            parts = mutated(rng)
            with contextlib.suppress(HttpError):
                client.exchange("GET", f"{server.origin}/mutated", total=0.1, max_bytes=100_000)
            time.sleep(0.002)  # so that the client sees a closed connection
            assert retried(client, f"{server.origin}/ok") == b"ok"


@pytest.mark.slow
@pytest.mark.parametrize("extension", [b"", b";" + b"x" * 3_900, b" " * 4_000])
def test_exchange_when_a_body_comes_in_tiny_chunks_is_refused_within_a_second_of_cpu(
    extension: bytes, serve: Serve
) -> None:
    chunks = (b"1" + extension + b"\r\na\r\n") * 1_000
    server = serve(lambda head: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[chunks] * 1_000])
    started = time.thread_time()
    with pytest.raises(TooLargeError, match="chunks of 1 bytes on average"):
        get(server.origin, GuardedClient(trusted_origins=frozenset({server.origin})))
    assert time.thread_time() - started < 1


@pytest.mark.slow
def test_exchange_when_a_large_body_comes_in_many_chunks_is_read(serve: Serve) -> None:
    chunk = b"12c\r\n" + bytes(300) + b"\r\n"
    server = serve(
        lambda head: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", chunk * 30_000, b"0\r\n\r\n"]
    )
    with GuardedClient(trusted_origins=frozenset({server.origin})) as client:
        assert len(client.exchange("GET", f"{server.origin}/a").body) == 30_000 * 300
