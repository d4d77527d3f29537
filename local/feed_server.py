"""The sample feed over HTTP on loopback, in Bluesky's own wire format, limits and errors included.

The shapes are those of the lexicons ``app.bsky.feed.getAuthorFeed``, ``app.bsky.feed.defs`` and ``app.bsky.embed.*``
(https://github.com/bluesky-social/atproto/tree/main/lexicons). What is posted is told by ``samples/feed.json``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from PIL import Image

SAMPLES = Path(__file__).resolve().parent.parent / "samples"

_AUTHOR_FEED = "/xrpc/app.bsky.feed.getAuthorFeed"
_FULL_SIZE = "/img/feed_fullsize/"
_THUMBNAIL = "/img/feed_thumbnail/"
_LABELER = "did:plc:imagelakelabelservice222"
_CONTENT_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}
_CALLS, _WINDOW_SECONDS = 3000, 300
_RESET_SECONDS = 2
_FORBIDDEN = b"<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>"


@dataclass(frozen=True)
class Entry:
    """One entry of the listing: a post of ``feed.json``, when it was made, and which copy of the feed it is in."""

    post: dict[str, Any]
    posted_at: datetime
    copy: int


class SampleFeed:
    """The posts of a samples folder as one listing, newest first, in Bluesky's shapes.

    ``repeat`` appends the posts that hold nothing but photos that many times in all. The photos of each copy have
    bytes of their own, so that they are no duplicates.
    """

    def __init__(self, samples: Path = SAMPLES, repeat: int = 1) -> None:
        told = json.loads((samples / "feed.json").read_text("utf-8"))
        self._samples = samples
        self.author: dict[str, Any] = told["author"]
        self._friend: dict[str, Any] = told["friend"]
        newest, step = datetime.fromisoformat(told["newest_at"]), timedelta(hours=told["hours_between"])
        posts = [(post, 0) for post in told["posts"]]
        posts += [(post, copy) for copy in range(1, repeat) for post in told["posts"] if _only_photos(post)]
        self.entries = [Entry(post, newest - place * step, copy) for place, (post, copy) in enumerate(posts)]
        self._served = {_name(image, entry.copy): image for entry in self.entries for image in _pictures(entry.post)}

    def view(self, entry: Entry, origin: str) -> dict[str, Any]:
        """The ``feedViewPost`` of an entry, its pictures on ``origin``."""
        reposted = entry.post.get("repost", False)
        view = {"post": self._post_view(entry, self._friend if reposted else self.author, origin)}
        if reposted:
            view["reason"] = {
                "$type": "app.bsky.feed.defs#reasonRepost",
                "by": self.author,
                "indexedAt": _iso(entry.posted_at),
            }
        return view

    def media(self, name: str) -> tuple[HTTPStatus, str, bytes] | None:
        """Status, content type and body of the picture with this name, or ``None``."""
        image = self._served.get(name)
        if image is None:
            return None
        if image.get("status"):
            return HTTPStatus(image["status"]), "text/html", _FORBIDDEN
        copy = int(name.rpartition("~")[0] or 0)
        return HTTPStatus.OK, _CONTENT_TYPES[Path(name).suffix], _bytes(self._samples / image["file"], copy)

    def _post_view(self, entry: Entry, author: dict[str, Any], origin: str) -> dict[str, Any]:
        post, at = entry.post, _iso(entry.posted_at)
        record = {"$type": "app.bsky.feed.post", "createdAt": at, "text": post["text"]}
        record["langs"] = post.get("langs", ["en"])
        if facets := list(_tag_facets(post["text"])):
            record["facets"] = facets
        view: dict[str, Any] = {
            "uri": f"at://{author['did']}/app.bsky.feed.post/{_record_key(entry.posted_at)}",
            "author": author,
            "record": record,
            "replyCount": 0,
            "repostCount": int(post.get("repost", False)),
            "likeCount": len(post["text"]),
            "quoteCount": 0,
            "indexedAt": at,
            "labels": [],
        }
        embedded = self._embed(entry, origin)
        if embedded:
            record["embed"], view["embed"] = embedded
        view["cid"] = _record_cid(record)
        view["labels"] = [
            {"ver": 1, "src": _LABELER, "uri": view["uri"], "cid": view["cid"], "val": value, "cts": at}
            for value in post.get("labels", [])
        ]
        if "without" in post:
            del view[post["without"]]
        return view

    def _embed(self, entry: Entry, origin: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The embed as its author wrote it into the record, and as the network shows it."""
        media = self._media_embed(entry, origin)
        if "quote" not in entry.post:
            return media
        # Posted an hour before the post that quotes it.
        quoted = Entry(entry.post["quote"], entry.posted_at - timedelta(hours=1), entry.copy)
        post = self._post_view(quoted, self._friend, origin)
        shown = {key: post[key] for key in ("uri", "cid", "author", "labels", "indexedAt")}
        shown |= {"$type": "app.bsky.embed.record#viewRecord", "value": post["record"], "embeds": []}
        if "embed" in post:
            shown["embeds"] = [post["embed"]]
        record = {"$type": "app.bsky.embed.record", "record": {"uri": post["uri"], "cid": post["cid"]}}
        view = {"$type": "app.bsky.embed.record#view", "record": shown}
        if media is None:
            return record, view
        kind = "app.bsky.embed.recordWithMedia"
        return (
            {"$type": kind, "record": record, "media": media[0]},
            {"$type": f"{kind}#view", "record": view, "media": media[1]},
        )

    def _media_embed(self, entry: Entry, origin: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        post = entry.post
        if "images" in post:
            return self._images(post["images"], entry.copy, origin, "images", "images", "thumb")
        if "gallery" in post:
            return self._images(post["gallery"], entry.copy, origin, "gallery", "items", "thumbnail")
        if "video" in post:
            return self._video(post["video"], origin)
        if "link" in post:
            return self._link(post["link"], origin)
        return None

    def _images(
        self, images: list[dict[str, Any]], copy: int, origin: str, embed: str, items: str, thumb: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        kind = f"app.bsky.embed.{embed}"
        written, shown = [], []
        for image in images:
            name = _name(image, copy)
            both: dict[str, Any] = {"alt": image["alt"]}
            if image.get("ratio", True) and (size := _size(self._samples / image["file"])):
                both["aspectRatio"] = {"width": size[0], "height": size[1]}
            written.append(both | {"image": self._blob(image, copy)})
            shown.append(both | {thumb: f"{origin}{_THUMBNAIL}{name}", "fullsize": f"{origin}{_FULL_SIZE}{name}"})
            if embed == "gallery":  # its items are a union, so each says what it is
                written[-1]["$type"], shown[-1]["$type"] = f"{kind}#image", f"{kind}#viewImage"
        return {"$type": kind, items: written}, {"$type": f"{kind}#view", items: shown}

    def _video(self, video: dict[str, Any], origin: str) -> tuple[dict[str, Any], dict[str, Any]]:
        kind, cid = "app.bsky.embed.video", _cid(b"no video is served", codec=0x55)
        both = {"alt": video["alt"], "aspectRatio": {"width": 16, "height": 9}}
        blob = {"$type": "blob", "ref": {"$link": cid}, "mimeType": "video/mp4", "size": 1_000_000}
        shown = {
            "cid": cid,
            "playlist": f"{origin}/video/{cid}/playlist.m3u8",
            "thumbnail": f"{origin}{_THUMBNAIL}{_name(video['thumb'])}",
        }
        return {"$type": kind, "video": blob} | both, {"$type": f"{kind}#view"} | shown | both

    def _link(self, link: dict[str, Any], origin: str) -> tuple[dict[str, Any], dict[str, Any]]:
        kind = "app.bsky.embed.external"
        both = {key: link[key] for key in ("uri", "title", "description")}
        shown = both | {"thumb": f"{origin}{_THUMBNAIL}{_name(link['thumb'])}"}
        written = both | {"thumb": self._blob(link["thumb"], 0)}
        return {"$type": kind, "external": written}, {"$type": f"{kind}#view", "external": shown}

    def _blob(self, image: dict[str, Any], copy: int) -> dict[str, Any]:
        file = self._samples / image["file"]
        cid, size = _blob_of(file, copy)
        return {"$type": "blob", "ref": {"$link": cid}, "mimeType": _CONTENT_TYPES[file.suffix], "size": size}


class FeedServer:
    """Serves a sample feed while the context is open; ``url`` is its origin, ``requests`` the targets asked for so far.

    A page holds at most ``page_size`` posts, whatever limit is asked for: a page may be short and still have a
    cursor. With ``rate_limit_once`` the first request for a further page is answered 429. The parameter ``filter``
    is accepted and left without effect, so that a client meets every kind of entry.
    """

    def __init__(
        self, samples: Path = SAMPLES, *, repeat: int = 1, page_size: int = 20, rate_limit_once: bool = True
    ) -> None:
        self.requests: list[str] = []
        self.feed = SampleFeed(samples, repeat)
        self._page_size = page_size
        self._limit_next = rate_limit_once
        self._lock = threading.Lock()

    def __enter__(self) -> FeedServer:
        self._server = _Server(self)
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

    def answer(self, target: str) -> _Answer:
        """The answer to ``GET target``."""
        self.requests.append(target)
        parts = urlsplit(target)
        if parts.path == _AUTHOR_FEED:
            return self._author_feed({key: values[-1] for key, values in parse_qs(parts.query).items()})
        for prefix in (_FULL_SIZE, _THUMBNAIL):
            if parts.path.startswith(prefix) and (media := self.feed.media(unquote(parts.path.removeprefix(prefix)))):
                return _Answer(*media)
        return _Answer.of({"error": "NotFound", "message": f"Nothing is served at {parts.path}"}, HTTPStatus.NOT_FOUND)

    def _author_feed(self, query: dict[str, str]) -> _Answer:
        if query.get("actor") not in (self.feed.author["handle"], self.feed.author["did"]):
            return _Answer.invalid("Profile not found")
        limit = query.get("limit", "50")
        if not re.fullmatch(r"[1-9][0-9]?|100", limit):
            return _Answer.invalid("Error: limit must be an integer from 1 to 100")
        entries = self.feed.entries
        if cursor := query.get("cursor"):
            try:
                before = datetime.fromisoformat(cursor)
                entries = [entry for entry in entries if entry.posted_at < before]
            except (ValueError, TypeError):  # no time, or one without a zone
                return _Answer.invalid("Malformed cursor")
            if self._is_limited():
                refusal = {"error": "RateLimitExceeded", "message": "Rate Limit Exceeded"}
                return _Answer.of(refusal, HTTPStatus.TOO_MANY_REQUESTS, _rate(0, _RESET_SECONDS))
        page = list(islice(entries, min(int(limit), self._page_size)))
        body: dict[str, Any] = {"feed": [self.feed.view(entry, self.url) for entry in page]}
        if len(page) < len(entries):
            body["cursor"] = _iso(page[-1].posted_at)
        return _Answer.of(body)

    def _is_limited(self) -> bool:
        with self._lock:
            limited, self._limit_next = self._limit_next, False
        return limited


@dataclass(frozen=True)
class _Answer:
    status: HTTPStatus
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, value: Any, status: HTTPStatus = HTTPStatus.OK, headers: tuple[tuple[str, str], ...] | None = None
    ) -> _Answer:
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, "application/json; charset=utf-8", body, headers or _rate(_CALLS - 1, _WINDOW_SECONDS))

    @classmethod
    def invalid(cls, message: str) -> _Answer:
        return cls.of({"error": "InvalidRequest", "message": message}, HTTPStatus.BAD_REQUEST)


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end those that a client keeps alive."""

    daemon_threads = False  # so that closing the server waits for them
    request_queue_size = 128

    def __init__(self, feed: FeedServer) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.feed = feed

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that goes away in the middle of an answer is what a test may be about."""

    def close(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave together: a delayed acknowledgement would cost 40 ms an answer
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        answer = self.server.feed.answer(self.path)
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


def _only_photos(post: dict[str, Any]) -> bool:
    return post.keys() <= {"text", "langs", "images", "gallery"} and all(
        image["file"].startswith("photos/") and image.keys() <= {"file", "alt", "ratio"} for image in _pictures(post)
    )


def _pictures(post: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Everything of a post that has an address under ``/img/``."""
    yield from post.get("images", post.get("gallery", []))
    for holder in ("link", "video"):
        if holder in post:
            yield post[holder]["thumb"]
    if "quote" in post:
        yield from _pictures(post["quote"])


def _name(image: dict[str, Any], copy: int = 0) -> str:
    name: str = image.get("as") or Path(image["file"]).name
    return f"{copy}~{name}" if copy else name


def _bytes(file: Path, copy: int) -> bytes:
    data = file.read_bytes()
    if not copy:
        return data
    # A comment segment after the start of image: other bytes, the same picture (ITU-T T.81, B.2.4.5).
    comment = str(copy).encode()
    return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


@cache
def _blob_of(file: Path, copy: int) -> tuple[str, int]:
    data = _bytes(file, copy)
    return _cid(data, codec=0x55), len(data)


@cache
def _size(file: Path) -> tuple[int, int] | None:
    """The size of a picture whose upload the network could measure."""
    if file.parent.name != "photos":
        return None
    with Image.open(file) as image:
        return image.size


def _cid(data: bytes, codec: int) -> str:
    """A CIDv1 with SHA-256 in base32 (https://github.com/multiformats/cid)."""
    multihash = bytes((1, codec, 0x12, 32)) + hashlib.sha256(data).digest()
    return "b" + base64.b32encode(multihash).decode().rstrip("=").lower()


def _record_cid(record: dict[str, Any]) -> str:
    # True in form only: the network hashes DAG-CBOR, and no reader here checks it.
    return _cid(json.dumps(record, sort_keys=True).encode(), codec=0x71)


def _record_key(moment: datetime) -> str:
    """A TID: the time in microseconds and a clock id, base32-sortable (https://atproto.com/specs/tid)."""
    number = int(moment.timestamp()) * 1_000_000 << 10
    return "".join("234567abcdefghijklmnopqrstuvwxyz"[number >> shift & 31] for shift in range(60, -1, -5))


def _tag_facets(text: str) -> Iterator[dict[str, Any]]:
    """The hashtags of a text; the network counts in bytes of UTF-8."""
    for match in re.finditer(r"#(\w+)", text):
        start = len(text[: match.start()].encode())
        yield {
            "index": {"byteStart": start, "byteEnd": start + len(match[0].encode())},
            "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": match[1]}],
        }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _rate(remaining: int, seconds: int) -> tuple[tuple[str, str], ...]:
    return (
        ("ratelimit-limit", str(_CALLS)),
        ("ratelimit-remaining", str(remaining)),
        ("ratelimit-reset", str(int(time.time()) + seconds)),
        ("ratelimit-policy", f"{_CALLS};w={_WINDOW_SECONDS}"),
    )
