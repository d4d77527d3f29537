"""A proxy between the functions and the engine that counts their calls or disturbs them."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from local.engine import HOST

# Headers that hold for one connection only; the proxy sends its own.
_HOP_BY_HOP = frozenset({"content-length", "transfer-encoding", "connection", "date", "server"})


@dataclass(frozen=True)
class Call:
    """One request of a function."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """Service and operation as in ``X-Amz-Target``, e.g. ``DynamoDB_20120810.PutItem``; empty for S3."""
        return self.headers.get("X-Amz-Target", "")


@dataclass(frozen=True)
class Answer:
    """Response to a function. The connection ends ``cut`` bytes before the body does."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


class EngineProxy:
    """Serves on loopback for the length of a ``with`` block; give ``url`` to the engine as ``AWS_ENDPOINT_URL``.

    ``before`` may answer a call instead of the engine, ``after`` may change the engine's answer. Both are called from
    many threads.
    """

    def __init__(
        self,
        *,
        before: Callable[[Call], Answer | None] = lambda call: None,
        after: Callable[[Call, Answer], Answer] = lambda call, answer: answer,
    ) -> None:
        self.engine_port = 0
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body are written separately; otherwise the body waits 40 ms for an acknowledgement.
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                # A function that dies closes its connection in the middle of a call.
                with suppress(ConnectionError):
                    super().handle()

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                call = Call(self.command, self.path, dict(self.headers.items()), body)
                answer = before(call) or after(call, proxy._ask(call))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                # The response to HEAD has no body, but has the length that the engine gave.
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body[: len(answer.body) - answer.cut])
                self.close_connection = self.close_connection or answer.cut > 0

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

        self._server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _ask(self, call: Call) -> Answer:
        connection = http.client.HTTPConnection(HOST, self.engine_port, timeout=600)
        try:
            connection.request(call.method, call.path, call.body, call.headers)
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
            if call.method == "HEAD":
                headers["Content-Length"] = answer.getheader("Content-Length") or "0"
            return Answer(answer.status, answer.read(), headers)
        finally:
            connection.close()
