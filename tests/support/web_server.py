"""The HTTP server of the tests, on loopback. ``raw_server`` sends what no HTTP library would send."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Answer:
    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, /, **headers: str) -> Answer:
        """Answer with JSON; an underscore in the name of a header stands for a dash."""
        return cls.text(json.dumps(value, ensure_ascii=False), "application/json; charset=utf-8", status, **headers)

    @classmethod
    def text(cls, text: str, content_type: str = "text/html", status: int = 200, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(text.encode(), status, {"content-type": content_type} | named)


@dataclass(frozen=True)
class Received:
    """A request; ``target`` is the path with the query, and the names of headers are in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


class WebServer:
    """Serves while the context is open; ``requests`` are those that it has received so far.

    Each path gets its answers in turn, the last one for good, and any other path a 404. A subclass may override
    ``answer``.
    """

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[Received] = []
        self.port = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def listen(self) -> None:
        """Serve at a free port; after ``close``, at the same port as before."""
        self._server = _Server(("127.0.0.1", self.port), type("Handler", (_Handler,), {"owner": self}))
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        """Refuse connections from now on."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """The path with the query of each request so far."""
        return [request.target for request in self.requests]

    def put(self, path: str, *answers: Answer | bytes) -> str:
        """Set the answers of a path; returns its URL."""
        self.answers[path] = [Answer(answer) if isinstance(answer, bytes) else answer for answer in answers]
        return self.origin + path

    def answer(self, request: Received) -> Answer:
        answers = self.answers.get(request.path, [Answer(b"nothing", 404)])
        with self._lock:
            return answers.pop(0) if len(answers) > 1 else answers[0]


class _Server(ThreadingHTTPServer):
    # Many downloads begin at the same moment.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    owner: WebServer

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Received(self.path, headers, self.rfile.read(int(headers.get("content-length", "0"))))
        self.owner.requests.append(request)
        answer = self.owner.answer(request)
        self.send_response(answer.status)  # with the date
        if answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.send_header("content-length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""
