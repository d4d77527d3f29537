"""The process in which the engine (MiniStack) runs; it kills itself and its workers when its parent process ends."""

from __future__ import annotations

import os
import select
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_METADATA = "x-amz-meta-"
_SAVE_SECONDS = 15
_parent_has_ended = threading.Event()


def _end_with_parent() -> None:
    # Standard input is a pipe to which the parent never writes. It closes when the parent ends, even by kill -9.
    while os.read(sys.stdin.fileno(), 1):
        pass
    if os.environ["PERSIST_STATE"] == "1":
        # The engine saves its state, and then ``main`` ends the process group.
        _parent_has_ended.set()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SAVE_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _accept_saved_queries() -> None:
    # The engine does not know the resource types for saved queries, and would refuse a template that has one.
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    for kind, attribute in (("Logs::QueryDefinition", "QueryDefinitionId"), ("Athena::NamedQuery", "NamedQueryId")):
        _RESOURCE_HANDLERS[f"AWS::{kind}"] = {
            "create": lambda logical_id, properties, stack, name=attribute: (logical_id, {name: logical_id}),
            "delete": lambda physical_id, properties: None,
        }


def _refuse_what_s3_refuses() -> None:
    # The engine stores keys and metadata of any length.
    from ministack.services import s3

    put_object = s3._put_object

    def put_within_limits(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> Any:
        metadata = {name.lower(): value for name, value in headers.items() if name.lower().startswith(_METADATA)}
        if len(key.encode()) > 1024:
            return s3._error("KeyTooLongError", "Your key is too long", 400)
        if sum(len(name) - len(_METADATA) + len(value.encode()) for name, value in metadata.items()) > 2048:
            return s3._error("MetadataTooLarge", "Your metadata headers exceed the maximum allowed size", 400)
        return put_object(bucket, key, body, headers)

    s3._put_object = put_within_limits


def _answer_workers_at_once() -> None:
    # The engine writes head and body separately. With Nagle's algorithm, the body waits 40 ms for an acknowledgement.
    socketserver.StreamRequestHandler.disable_nagle_algorithm = True


def _fork_workers() -> None:
    """Start the worker server when the first worker connects to its socket."""
    # Forking a process that has imported so much is safe on Linux only. Elsewhere each worker starts on its own.
    if sys.platform != "linux":
        return
    path = os.path.join(tempfile.gettempdir(), "workers.sock")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # The path of a socket has at most 107 bytes.
    listener.bind(os.path.relpath(path))
    listener.listen(128)
    os.environ |= {"WORKER_SERVER": path, "WORKER_LAUNCHER": str(_HERE / "worker_launcher.py")}

    def serve() -> None:
        select.select([listener], [], [])
        subprocess.Popen([sys.executable, "-P", str(_HERE / "worker_server.py")], stdin=listener.fileno())
        listener.close()

    threading.Thread(target=serve, daemon=True).start()


def main() -> None:
    """Serve until a signal comes or the parent ends. This process must be the leader of a process group."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _accept_saved_queries()
    _refuse_what_s3_refuses()
    _answer_workers_at_once()
    _fork_workers()
    from ministack.app import main as serve

    try:
        serve()
    finally:
        if _parent_has_ended.is_set():
            os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
