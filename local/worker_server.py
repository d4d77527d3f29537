"""Fork Lambda workers from one process that has already imported the packages of the functions.

A forked worker is ready after 0.2 s; on its own it takes 0.5 to 1.2 s. It imports the functions' own code itself, in
the environment of its function. Only glibc's variables (``MALLOC_...``) are those of the engine, because glibc reads
them when a process starts.
"""

from __future__ import annotations

import importlib
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import threading
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

# Every function needs the first modules. The others are imported while no worker is waiting.
_MODULES = ("boto3", "pydantic.main", "aws_lambda_powertools.metrics", "aws_lambda_powertools.utilities.typing")
_MORE_MODULES = (
    "feedparser", "aws_lambda_powertools.utilities.parameters.secrets",  # Fetch
    "numpy", "cykooz.resizer", "deflate", "pyspng", "simplejpeg", "PIL.ImageCms", "PIL.AvifImagePlugin",
    "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.WebPImagePlugin",  # Transform
    "pyarrow.parquet",  # Write Parquet
    "aws_lambda_powertools.utilities.batch",  # Ingest Stream
)  # fmt: skip
# Only aws-sam-cli needs these. If they are installed, botocore imports them too, which takes 0.1 s.
_LEFT_OUT = ("awscrt", "OpenSSL", "urllib3.contrib.pyopenssl")
_SERVICES = ("s3", "dynamodb", "stepfunctions", "events", "secretsmanager")
_LARGEST_REQUEST = 1 << 18


def main() -> None:
    """Fork a worker for every launcher that connects to the socket that is the standard input; never return."""
    sys.modules.update(dict.fromkeys(_LEFT_OUT))  # type: ignore[arg-type]
    # Python warns about a fork beside threads. Those of NumPy and Arrow are prepared for it; Python's own are not used.
    warnings.simplefilter("ignore", DeprecationWarning)
    # The system removes workers that have ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(fileno=os.dup(0))
    for module in _MODULES:
        _import(module)
    _read_models()
    _fork_worker(server)
    for module in _MORE_MODULES:
        while select.select([server], [], [], 0)[0]:
            _fork_worker(server)
        _import(module)
    while True:
        _fork_worker(server)


def _import(module: str) -> None:
    # Some packages are not installed on every kind of machine.
    with suppress(ImportError):
        importlib.import_module(module)


def _read_models() -> None:
    # The first clients of a worker take 0.1 to 0.2 s, nearly all of it to read the models of the services.
    import boto3
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)
    session: Any = boto3.Session("none", "none", region_name="us-east-1")
    for service in _SERVICES:
        session.client(service)


def _fork_worker(server: socket.socket) -> None:
    connection, _ = server.accept()
    request, files, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST, 3)
    if request and os.fork() == 0:
        server.close()
        _work(connection, request, files)
    connection.close()
    for file in files:
        os.close(file)


def _work(connection: socket.socket, request: bytes, files: list[int]) -> None:
    """Become the process that ``python -m awslambdaric`` would be in the place of the launcher."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    threading.Thread(target=_end_with_launcher, args=(connection,), daemon=True).start()
    for standard, file in enumerate(files):
        os.dup2(file, standard)
        os.close(file)
    folder, environment = marshal.loads(request)
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environment)
    handler = os.environ["_HANDLER"]
    # The name of the process and the user agent of its calls of AWS say which worker it is.
    Path("/proc/self/comm").write_text(handler)
    os.environ["AWS_SDK_UA_APP_ID"] = f"{handler}.{os.getpid()}"
    sys.path.insert(0, folder)
    sys.argv[1:] = [handler]
    runpy.run_module("awslambdaric", run_name="__main__")
    sys.exit()


def _end_with_launcher(connection: socket.socket) -> None:
    # The launcher never writes to the connection, so this ends with the launcher.
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
