"""A server whose answers are scripts of bytes, for tests of a client with hostile servers."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any

from imagelake.web.client import GuardedClient

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Script = Callable[[bytes], Iterable[bytes | None]]


class Server:
    """Answers each request with the parts that ``script`` returns for it; ``None`` closes the connection."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopped = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.stopped.is_set():
                sock.close()
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=[sock])
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            while head := self._head(sock):
                self.requests.append(head)
                for part in self.script(head):
                    if part is None:
                        return
                    sock.sendall(part)
        except OSError:
            pass
        finally:
            sock.close()

    def _head(self, sock: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return b""
            head += data
            head += self._rest(head, sock)
        return head

    def _rest(self, head: bytes, sock: socket.socket) -> bytes:
        """Receive the rest of the request's body."""
        top, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", top, re.IGNORECASE)
        missing = int(length[1]) - len(body) if length and b"\r\n\r\n" in head else 0
        return b"".join(sock.recv(1) for _ in range(missing))

    def stop(self) -> None:
        self.stopped.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._listener.close()
        for thread in self._threads:
            thread.join(6)


def get(url: str, client: GuardedClient | None = None, method: str = "GET", **options: Any) -> Any:
    client = client or GuardedClient()
    with client:
        return client.exchange(method, url, **options)
