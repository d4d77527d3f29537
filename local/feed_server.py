"""Serve the sample feeds over HTTP on loopback: one as Bluesky would, with its limits and errors, and a photo blog."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from local.errors import CommandError
from local.sample_feed import CONTENT_TYPES, FULL_SIZE, SAMPLES, THUMBNAIL, SampleFeed, iso

_AUTHOR_FEED = "/xrpc/app.bsky.feed.getAuthorFeed"
_PROFILE = "/xrpc/app.bsky.actor.getProfile"
_PAGE_SIZE = 20
_CALLS, _WINDOW_SECONDS = 3000, 300
_RESET_SECONDS = 2
# An RSS feed whose entries state their licenses; the URLs of its images are relative to it.
PHOTO_BLOG = "/photoblog.xml"
SAMPLE_ACCOUNT = "sample.imagelake.example"
# The names of the sample feeds.
_NAME = re.compile(
    rf"(?:bluesky:http://127\.0\.0\.1:(\d+)@{re.escape(SAMPLE_ACCOUNT)}|rss:http://127\.0\.0\.1:(\d+){re.escape(PHOTO_BLOG)})"
)
_FILES = {f"/photos/{photo.name}": photo for photo in (SAMPLES / "photos").iterdir()}


def sample_port(names: Iterable[str]) -> int | None:
    """Return the port of the sample feeds, if one of these feeds is a sample feed."""
    found = next(filter(None, map(_NAME.fullmatch, names)), None)
    return int(found[1] or found[2]) if found else None


class FeedServer:
    """Serves the sample feeds while the context is open; ``url`` is its origin, ``requests`` has all targets so far.

    A page holds at most 20 posts even if the client asks for more, so a short page may have a cursor. With
    ``rate_limit_once``, the first request for a further page is answered by 429. The parameter ``filter`` has no
    effect, so that a client meets every kind of entry. ``port`` is a free one if it is 0.
    """

    def __init__(self, *, repeat: int = 1, rate_limit_once: bool = True, port: int = 0) -> None:
        self._port = port
        self.requests: list[str] = []
        self.feed = SampleFeed(repeat)
        self._limit_next = rate_limit_once
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        try:
            self._server = _Server(self, self._port)
        except OSError as error:
            raise CommandError(
                f"the sample feed of this lake needs port {self._port} on 127.0.0.1: {error.strerror}"
            ) from None
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="feed-server")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.close()

    def answer(self, target: str) -> _Response:
        """The response to ``GET target``."""
        self.requests.append(target)
        parts = urlsplit(target)
        if parts.path == _AUTHOR_FEED:
            return self._author_feed({key: values[-1] for key, values in parse_qs(parts.query).items()})
        if parts.path == _PROFILE:
            return _Response.of({**self.feed.author, "postsCount": len(self.feed.entries)})
        if parts.path == PHOTO_BLOG:
            return _Response(HTTPStatus.OK, "application/rss+xml", (SAMPLES / "photoblog.xml").read_bytes())
        if photo := _FILES.get(parts.path):
            return _Response(HTTPStatus.OK, CONTENT_TYPES[photo.suffix], photo.read_bytes())
        for prefix in (FULL_SIZE, THUMBNAIL):
            if parts.path.startswith(prefix) and (media := self.feed.media(unquote(parts.path.removeprefix(prefix)))):
                return _Response(*media)
        return _Response.of(
            {"error": "NotFound", "message": f"Nothing is served at {parts.path}"}, HTTPStatus.NOT_FOUND
        )

    def _author_feed(self, query: dict[str, str]) -> _Response:
        if query.get("actor") not in (self.feed.author["handle"], self.feed.author["did"]):
            return _Response.invalid("Profile not found")
        limit = query.get("limit", "50")
        if not re.fullmatch(r"[1-9][0-9]?|100", limit):
            return _Response.invalid("Error: limit must be an integer from 1 to 100")
        entries = self.feed.entries
        if cursor := query.get("cursor"):
            try:
                before = datetime.fromisoformat(cursor)
                entries = [entry for entry in entries if entry.posted_at < before]
            except (ValueError, TypeError):  # not a time, or a time without a zone
                return _Response.invalid("Malformed cursor")
            if self._is_limited():
                refusal = {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}
                return _Response.of(refusal, HTTPStatus.TOO_MANY_REQUESTS, _rate(0, _RESET_SECONDS))
        page = list(islice(entries, min(int(limit), _PAGE_SIZE)))
        body: dict[str, Any] = {"feed": [self.feed.view(entry, self.url) for entry in page]}
        if len(page) < len(entries):
            body["cursor"] = iso(page[-1].posted_at)
        return _Response.of(body)

    def _is_limited(self) -> bool:
        with self._lock:
            limited, self._limit_next = self._limit_next, False
        return limited


@dataclass(frozen=True)
class _Response:
    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, value: Any, status: HTTPStatus = HTTPStatus.OK, headers: tuple[tuple[str, str], ...] | None = None
    ) -> _Response:
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, "application/json; charset=utf-8", body, headers or _rate(_CALLS - 1, _WINDOW_SECONDS))

    @classmethod
    def invalid(cls, message: str) -> _Response:
        return cls.of({"error": "InvalidRequest", "message": message}, HTTPStatus.BAD_REQUEST)


class _Server(ThreadingHTTPServer):
    """Tracks its open connections, so that it can close those that a client keeps alive."""

    daemon_threads = False  # closing the server then waits for its threads
    request_queue_size = 128

    def __init__(self, feed: FeedServer, port: int) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        self.feed = feed

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: tests close connections on purpose."""

    def close(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # send head and body together: a delayed acknowledgement would cost 40 ms per response
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        response = self.server.feed.answer(self.path)
        self.send_response(response.status)
        self.send_header("content-type", response.content_type)
        self.send_header("content-length", str(len(response.body)))
        for name, value in response.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


def _rate(remaining: int, seconds: int) -> tuple[tuple[str, str], ...]:
    return (
        ("ratelimit-limit", str(_CALLS)),
        ("ratelimit-remaining", str(remaining)),
        ("ratelimit-reset", str(int(time.time()) + seconds)),
        ("ratelimit-policy", f"{_CALLS};w={_WINDOW_SECONDS}"),
    )
