"""A server whose answers are bytes as a test writes them, for tests of a client with hostile servers.

``web_server`` cannot send these answers, because they are malformed, cut, slow or endless.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from imagelake.web.client import GuardedClient

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Parts = Iterable[bytes | None]
Script = Callable[[bytes], Parts]


class RawServer:
    """Answers each request with the parts that ``script`` returns for it; ``None`` closes the connection.

    It serves while the context is open. ``requests`` are heads with their bodies.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.most_at_once = 0
        self.stopped = threading.Event()
        self._at_once = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self._threads:
            thread.join(6)
        self._listener.close()

    @property
    def paths(self) -> list[str]:
        """The path of each request so far, without its query."""
        return [path_of(head) for head in self.requests]

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self.stopped.is_set():
                sock.close()
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=[sock]))
            self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            while (request := self._receive(sock)) and self._send(sock, request):
                pass
        except OSError:
            pass
        finally:
            sock.close()

    def _receive(self, sock: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            data = sock.recv(65536)
            if not data:
                return b""
            request += data
        head, _, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        missing = int(length[1]) - len(body) if length else 0
        return request + b"".join(sock.recv(1) for _ in range(missing))

    def _send(self, sock: socket.socket, request: bytes) -> bool:
        """Send the answer; returns false if the connection ends."""
        with self._lock:
            self.requests.append(request)
            parts = self.script(request)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            for part in parts:
                if part is None:
                    return False
                sock.sendall(part)
        finally:
            with self._lock:
                self._at_once -= 1
        return True


def path_of(request: bytes) -> str:
    return request.split()[1].decode().partition("?")[0]


def by_path(answers: dict[str, list[Parts]]) -> Script:
    """Answer each path with its answers in turn, the last one for good."""

    def script(request: bytes) -> Parts:
        left = answers[path_of(request).strip("/")]
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def get(url: str, client: GuardedClient | None = None, method: str = "GET", **options: Any) -> Any:
    client = client or GuardedClient()
    with client:
        return client.exchange(method, url, **options)
