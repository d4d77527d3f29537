"""What the networks on loopback have in common: real HTTP, photos, and faults that are answered in place of a page."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"

# Scripts, directions, joiners and planes that a store may break on.
UNICODE = "👩‍🚀 שלום नमस्ते ไทย e\u0301 \u202eRTL\u202c 𝄞 \U0001f1e9\U0001f1ea ﷽"
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Log in to go on</body></html>"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    body: bytes
    content_type: str = "application/json; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, /, **headers: str) -> Answer:
        return cls(json.dumps(value, ensure_ascii=False).encode(), status=status, headers=_named(headers))

    @classmethod
    def text(cls, text: str, content_type: str = "text/html", status: int = 200, **headers: str) -> Answer:
        return cls(text.encode(), content_type, status, _named(headers))


@dataclass(frozen=True)
class Asked:
    """A request."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


class WireServer:
    """A network while the context is open; ``url`` is its origin, ``requests`` what it was asked so far.

    ``faults`` are by path: the next request for it is answered with the first of them.
    """

    def __init__(self) -> None:
        self.requests: list[Asked] = []
        self.faults: defaultdict[str, list[Answer]] = defaultdict(list)
        self._port = 0

    def start(self) -> None:
        """Post what the network has at first."""

    def page(self, asked: Asked) -> Answer:
        """What the network answers when all is well."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.listen()
        self.start()
        return self

    def listen(self) -> None:
        """Open the server; after ``close``, at the same URL as before."""
        self._server = _Server(("127.0.0.1", self._port), type("Handler", (_Handler,), {"network": self}))
        self._port = self._server.server_port
        self.url = f"http://127.0.0.1:{self._port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def photo(self, name: str) -> str:
        """The address of a sample photo on this server."""
        return f"{self.url}/photos/{name}.jpg"

    def answer(self, asked: Asked) -> Answer:
        self.requests.append(asked)
        if asked.path.startswith("/photos/"):
            return Answer(self._bytes(PHOTOS / Path(asked.path).name), "image/jpeg")
        if self.faults[asked.path]:
            return self.faults[asked.path].pop(0)
        return self.page(asked)

    def _bytes(self, photo: Path) -> bytes:
        """The photo with a comment in it: no network's bytes are a duplicate of another's (ITU-T T.81, B.2.4.5)."""
        data, comment = photo.read_bytes(), type(self).__name__.encode()
        return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


class _Server(ThreadingHTTPServer):
    # Many downloads begin at the same moment.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    network: WireServer

    def do_POST(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body = self.rfile.read(int(headers.get("content-length", "0")))
        answer = self.network.answer(Asked(parts.path, query, headers, body))
        self.send_response(answer.status)  # with the date
        self.send_header("content-type", answer.content_type)
        if answer.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("content-length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


def now() -> datetime:
    return datetime.now(UTC)


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
