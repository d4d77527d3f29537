"""The downloader: limits, statuses, redirects and retries, against servers that misbehave."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.web.client import GuardedClient
from imagelake.web.errors import HttpError
from imagelake.web.http1 import Headers
from imagelake.web.urls import Url
from tests.support.fixtures import Serve
from tests.support.raw_server import Parts, RawServer
from transform.download import _HTTP_ERROR_CODES, Downloader, Limits

IMAGE = b"\xff\xd8\xff" + bytes(range(256)) * 40
TEN, ELEVEN = "Wed, 01 Apr 2026 10:00:00 GMT", "Wed, 01 Apr 2026 11:00:00 GMT"
LIMITS = Limits(max_bytes=100_000, connect_seconds=2, read_seconds=2, total_seconds=5, backoff_seconds=0.001)


def answer(status: int = 200, body: bytes = IMAGE, **headers: str) -> bytes:
    fields = {"content_length": str(len(body)), "content_type": "image/jpeg"} | headers
    lines = [f"HTTP/1.1 {status} X"] + [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def fetch(server: RawServer, path: str = "a", limits: Limits = LIMITS, **options: Any) -> bytes:
    with Downloader(limits, trusted_origins=frozenset({server.origin})) as downloader:
        return downloader.download(f"{server.origin}/{path}?sig=secret", **options)


def failure(server: RawServer, path: str = "a", limits: Limits = LIMITS, **options: Any) -> ErrorCode:
    with pytest.raises(DownloadError) as caught:
        fetch(server, path, limits, **options)
    assert "secret" not in str(caught.value)
    return caught.value.code


def endless(server: Callable[[], RawServer], first: bytes, part: bytes) -> Iterator[bytes]:
    yield first
    while not server().stopped.wait(0.01):
        yield part


def test_download_when_all_is_well(serve: Serve) -> None:
    server = serve(a=[[answer(content_type="Image/JPEG; x=y")]])
    assert fetch(server) == IMAGE
    head = server.requests[0].lower()
    assert b"\r\naccept-encoding: identity\r\n" in head
    assert b"\r\nuser-agent: imagelake/" in head


def test_download_when_many_images_are_on_one_host_then_connections_are_kept(serve: Serve) -> None:
    server = serve(a=[[answer()]])
    with Downloader(LIMITS, trusted_origins=frozenset({server.origin})) as downloader:
        for _ in range(20):
            downloader.download(f"{server.origin}/a")
    assert (len(server.requests), server.connections) == (20, 1)


def test_download_when_many_threads_share_it_then_the_host_sees_few_at_once(serve: Serve) -> None:
    gate = threading.Barrier(3)

    def slowly() -> Iterator[bytes]:
        gate.wait(5)  # three must be at work together, or it breaks
        yield answer()

    server = serve(a=[slowly() for _ in range(13)])
    with (
        Downloader(replace(LIMITS, per_host=3), trusted_origins=frozenset({server.origin})) as downloader,
        ThreadPoolExecutor(12) as pool,
    ):
        results = list(pool.map(downloader.download, [f"{server.origin}/a"] * 12))
    assert set(results) == {IMAGE}
    assert server.most_at_once == 3
    assert server.connections == 3


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "forbidden"), (403, "forbidden"), (404, "not_found"), (410, "not_found"), (429, "rate_limited"),
        (400, "http_error"),
        (406, "http_error"), (451, "http_error"), (418, "http_error"), (204, "http_error"), (206, "http_error"),
        (304, "http_error"),
        (300, "http_error"), (302, "http_error"), (999, "server_error"),
    ],
)  # fmt: skip
def test_download_when_the_status_is_no_success(status: int, code: str, serve: Serve) -> None:
    server = serve(a=[[answer(status, b""), None]])
    assert failure(server) == code


@pytest.mark.parametrize(
    "problem",
    [
        [answer(500, b"")], [answer(502, b"x" * 1000)], [answer(503, b"", retry_after="0")],
        [answer(429, b"", retry_after="0")],
        [None], [answer()[:-5], None], [b"nonsense\r\n", None],
        [answer(503, b"", date=TEN, retry_after=TEN)],
    ],
)  # fmt: skip
def test_download_when_a_problem_passes_then_it_is_retried(problem: Parts, serve: Serve) -> None:
    server = serve(a=[problem, problem, [answer()]])
    assert fetch(server) == IMAGE
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("problem", "code", "tries"),
    [
        ([answer(500, b"")], "server_error", 3), ([answer()[:-5], None], "body_cut", 3),
        ([None], "connection_failed", 3),
        ([answer(429, b"", retry_after="0")], "rate_limited", 3),
        ([answer(429, b"", retry_after="6")], "rate_limited", 1),
        ([answer(429, b"")], "rate_limited", 1), ([answer(429, b"", retry_after="soon")], "rate_limited", 1),
        ([answer(429, b"", retry_after="99999999999999999999")], "rate_limited", 1),
        ([answer(503, b"", retry_after="3600")], "server_error", 1),
        ([answer(429, b"", date=TEN, retry_after=ELEVEN)], "rate_limited", 1),
        ([answer(429, b"", retry_after=ELEVEN)], "rate_limited", 1),
        ([answer(429, b"", date=TEN.removesuffix(" GMT"), retry_after=ELEVEN)], "rate_limited", 1),
        ([answer(404, b"", retry_after="0")], "not_found", 1), ([answer(403, b"")], "forbidden", 1),
    ],
)  # fmt: skip
def test_download_when_a_problem_stays(problem: Parts, code: str, tries: int, serve: Serve) -> None:
    server = serve(a=[problem])
    assert failure(server) == code
    assert len(server.requests) == tries


def test_download_when_a_retry_would_pass_the_deadline_then_it_ends_at_once(serve: Serve) -> None:
    server = serve(a=[[answer(503, b"", retry_after="5")]])
    assert failure(server, limits=Limits(total_seconds=4)) is ErrorCode.SERVER_ERROR
    assert len(server.requests) == 1


def test_download_when_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Downloader(LIMITS, trusted_origins=frozenset({origin})) as downloader, pytest.raises(DownloadError) as caught:
        downloader.download(origin)
    assert caught.value.code is ErrorCode.CONNECTION_FAILED


def test_download_when_it_redirects_within_the_limit(serve: Serve) -> None:
    def redirect_without_scheme() -> Iterator[bytes]:
        yield answer(307, b"moved", location=server.origin.removeprefix("http:") + "/c")

    server = serve(
        a=[[answer(301, b"", location="b?x=1")]],
        b=[redirect_without_scheme()],
        c=[[answer(308, b"", location="/d#e")]],
        d=[[answer()]],
    )
    assert fetch(server) == IMAGE
    assert server.paths == ["/a", "/b", "/c", "/d"]
    assert b"secret" not in server.requests[-1]


def test_download_when_it_redirects_for_ever(serve: Serve) -> None:
    server = serve(a=[[answer(302, b"", location="/a")]])
    assert failure(server) is ErrorCode.TOO_MANY_REDIRECTS
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/", "http://[::ffff:169.254.169.254]/", "http://127.0.0.1/",
        "http://0x7f.1/", "//127.0.0.1/",
        "http://127.0.0.1:22/", "http://2130706433/", "file:///etc/passwd", "gopher://127.0.0.1/",
        "data:image/png;base64,AA", "ftp://example.com/",
        "http://user@example.com/", "//@example.com/", "http:\\\\example.com", "http://[", "http://[::1",
        "http://\u2100.com/", "http://example.com:22/",
        "https://127.0.0.1:4567/", "javascript:alert(1)", "http://xn--/",
    ],
)  # fmt: skip
def test_download_when_it_redirects_to_a_forbidden_url_then_nothing_is_requested_there(
    location: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(a=[[answer(302, b"", location="/b")]], b=[[answer(302, b"", location=location)]])
    made: list[Any] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, where: Any) -> None:
        made.append(where)
        connect(self, where)

    monkeypatch.setattr(socket.socket, "connect", noted)
    code = failure(server)
    assert code in (ErrorCode.URL_REFUSED, ErrorCode.HOST_NOT_FOUND)
    assert {f"http://{host}:{port}" for host, port in made} == {server.origin}


def test_download_when_https_redirects_to_http(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def answered(self: Any, method: str, url: Url, **options: Any) -> Iterator[Any]:
        assert url.scheme == "https"
        yield SimpleNamespace(status=302, headers=Headers([("Location", "http://media.example/a")]))

    monkeypatch.setattr(GuardedClient, "open", answered)
    with pytest.raises(DownloadError, match="from https to http") as caught, Downloader() as downloader:
        downloader.download("https://media.example/a")
    assert caught.value.code is ErrorCode.URL_REFUSED


def test_download_when_hosts_are_listed_then_redirects_to_others_are_refused(serve: Serve) -> None:
    server = serve(a=[[answer(302, b"", location="https://other.example/b")]])
    with Downloader(trusted_origins=frozenset({server.origin}), allowed_hosts=frozenset({"cdn.example"})) as downloader:
        for url in (f"{server.origin}/a", "https://other.example/b"):
            with pytest.raises(DownloadError) as caught:
                downloader.download(url)
            assert caught.value.code is ErrorCode.URL_REFUSED


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/", "http://localhost/", "file:///etc/passwd", "", "http://a@b/"]
)
def test_download_when_no_origin_is_trusted(url: str) -> None:
    with Downloader(LIMITS) as downloader, pytest.raises(DownloadError) as caught:
        downloader.download(url)
    assert caught.value.code is ErrorCode.URL_REFUSED


def test_download_when_the_body_is_too_large(serve: Serve) -> None:
    server = serve(
        announced=[[answer(body=b"", content_length="100001"), None]],
        exact=[[answer(body=bytes(100_000))]],
        endless=[endless(lambda: server, b"HTTP/1.1 200 X\r\n\r\n", bytes(65536))],
        chunked=[
            [b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"] + [b"10000\r\n" + bytes(65536) + b"\r\n"] * 3
        ],
        bomb=[[answer(body=gzip.compress(bytes(50_000_000)), content_encoding="gzip")]],
    )
    for path in ("announced", "endless", "chunked", "bomb"):
        assert failure(server, path) is ErrorCode.TOO_LARGE
        assert server.paths.count(f"/{path}") == 1
    assert len(fetch(server, "exact")) == 100_000


def test_download_when_the_encoding_was_not_asked_for(serve: Serve) -> None:
    server = serve(
        safe=[[answer(body=gzip.compress(IMAGE), content_encoding="gzip")]],
        br=[[answer(content_encoding="br"), None]],
    )
    assert fetch(server, "safe") == IMAGE
    assert failure(server, "br") is ErrorCode.HTTP_ERROR


def test_download_when_the_length_lies(serve: Serve) -> None:
    server = serve(
        short=[[answer(content_length=str(len(IMAGE) + 1)), None]],
        long=[[answer(content_length=str(len(IMAGE) - 1))]],
    )
    assert failure(server, "short") is ErrorCode.BODY_CUT
    with Downloader(LIMITS, trusted_origins=frozenset({server.origin})) as downloader:
        bodies = [downloader.download(f"{server.origin}/long") for _ in range(3)]
    assert bodies == [IMAGE[:-1]] * 3


def test_download_when_there_is_no_body(serve: Serve) -> None:
    assert fetch(serve(a=[[answer(body=b"")]])) == b""


def test_download_when_it_trickles(serve: Serve) -> None:
    server = serve(a=[endless(lambda: server, b"HTTP/1.1 200 X\r\n\r\n", b"x")])
    slow = Limits(grace_seconds=0.1, min_bytes_per_second=1_000_000)
    assert failure(server, limits=slow) is ErrorCode.TOO_SLOW
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "limits",
    [
        Limits(read_seconds=0.1),
        Limits(total_seconds=0.2),
    ],
)
@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\na"])
def test_download_when_it_stalls(first: bytes, limits: Limits, serve: Serve) -> None:
    server = serve(a=[endless(lambda: server, first, b"")])
    assert failure(server, limits=limits) is ErrorCode.TIMED_OUT
    assert len(server.requests) == 1


def test_download_when_the_total_time_is_up_although_bytes_come(serve: Serve) -> None:
    server = serve(a=[endless(lambda: server, b"HTTP/1.1 200 X\r\n\r\n", b"x")])
    assert failure(server, limits=Limits(total_seconds=0.2)) is ErrorCode.TIMED_OUT


@pytest.mark.parametrize(
    ("tags", "refused"),
    [
        (["noai"], True), (["noimageai"], True), (["NoIndex"], True), (["noarchive, noai"], True), (["none"], True),
        (["noarchive", "noai"], True),
        (["imagelake: noai"], True), (["otherbot: noai, imagelake: noindex"], True),
        (["unavailable_after: 1 Jan 2030, noai"], True),
        (["max-snippet: 10, noindex"], True), (["*: noai"], True), (["all"], False), (["noarchive"], False),
        (["otherbot: noai"], False),
        (["otherbot: noarchive, noindex"], False), (["noaix"], False), ([""], False), ([":"], False),
        (["max-image-preview: none"], False),
    ],
)  # fmt: skip
def test_download_when_robots_are_refused(tags: list[str], refused: bool, serve: Serve) -> None:
    head, _, body = answer().partition(b"\r\n\r\n")
    lines = b"".join(b"\r\nX-Robots-Tag: " + tag.encode() for tag in tags)
    server = serve(a=[[head + lines + b"\r\n\r\n" + body]])
    if refused:
        assert failure(server) is ErrorCode.ROBOTS_REFUSED
    else:
        assert fetch(server) == IMAGE


def test_download_when_the_url_has_expired(serve: Serve) -> None:
    server = serve(a=[[answer()]])
    now = datetime.now(UTC)
    assert failure(server, expires_at=now) is ErrorCode.URL_EXPIRED
    assert failure(server, expires_at=now - timedelta(days=4000)) is ErrorCode.URL_EXPIRED
    assert server.requests == []
    assert fetch(server, expires_at=now + timedelta(minutes=1)) == IMAGE


def test_every_error_of_the_client_has_an_error_code() -> None:
    assert set(_HTTP_ERROR_CODES) == set(HttpError.__subclasses__())
