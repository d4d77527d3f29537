"""The local engine: AWS's services on loopback, in a child process that leaves nothing running."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Collection, Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

from local.errors import CommandError

HOST = "127.0.0.1"
REGION = "us-east-1"
START_SECONDS = 60
STOP_SECONDS = 15

_PROGRAM = Path(__file__).with_name("engine_process.py")
# Imported by the engine, its SAM transform and its Lambda workers.
_PACKAGES = ("ministack", "samtranslator", "awslambdaric", "cryptography")
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


class EngineError(CommandError):
    """The engine cannot start; the message is one line."""


class Engine:
    """Run MiniStack on loopback for the length of a ``with`` block.

    Its log and temporary files are in ``folder``; with ``keep``, so is its state, and the next engine on that folder
    continues from it. ``settings`` are added to its environment, e.g. ``{"SFN_WAIT_SCALE": "0"}``. ``program`` is
    the file that its process runs. ``open_files`` are file descriptors that stay open as long as it runs.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        keep: bool = False,
        settings: Mapping[str, str] | None = None,
        program: Path = _PROGRAM,
        open_files: Collection[int] = (),
    ) -> None:
        self.folder = folder.resolve()
        self.port = port or _free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.log = self.folder / "engine.log"
        self._keep = keep
        self._settings = dict(settings or {})
        self._program = program
        self._open_files = open_files
        self._clients: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        _require_packages()
        _require_free(self.port)
        # An engine that was killed has left its files, such as the socket of its workers.
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", str(self._program)],
                    env=self.environment(),
                    cwd=self.folder,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=self._open_files,
                )
            self._wait_until_healthy()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is KeyboardInterrupt and self._keep:
            print(f"Stopping: the engine saves its state, in {STOP_SECONDS} s at most ...", file=sys.stderr, flush=True)
        self._stop()

    def client(self, service: str) -> Any:
        """The boto3 client of ``service`` for this engine alone; each is made once, because making one is slow."""
        if service not in self._clients:
            session: Any = boto3.Session(_CREDENTIALS["AWS_ACCESS_KEY_ID"], _CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
            config = Config(proxies={}, s3={"addressing_style": "path"})
            self._clients[service] = session.client(service, region_name=REGION, endpoint_url=self.url, config=config)
        return self._clients[service]

    def environment(self) -> dict[str, str]:
        """The environment of the engine and its workers: the caller's, without all that leads to a real account."""
        # PYTHON* variables are removed because a PYTHONPATH could put the checkout before the deployed package.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHON"))}
        hosts = [*filter(None, [inherited.get("NO_PROXY") or inherited.get("no_proxy")]), HOST, "localhost"]
        return inherited | {
            **_CREDENTIALS,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": ",".join(hosts),
            "no_proxy": ",".join(hosts),
            # MiniStack listens on every interface by default.
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "USE_SSL": "0",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # MiniStack removes all its containers from this machine's Docker at start and stop; keep it from Docker.
            "DOCKER_HOST": f"unix://{self._temporary}/none.sock",
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_PYTHON": sys.executable,
            "PERSIST_STATE": str(int(self._keep)),
            "STATE_DIR": str(self.folder / "state"),
            "S3_PERSIST": str(int(self._keep)),
            "S3_DATA_DIR": str(self.folder / "s3"),
            "TMPDIR": str(self._temporary),
            # By default glibc keeps an arena per thread, and every worker has many threads.
            "MALLOC_ARENA_MAX": "2",
            **self._settings,
        }

    @property
    def _temporary(self) -> Path:
        return self.folder / "tmp"

    def _wait_until_healthy(self) -> None:
        assert self._process is not None
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise EngineError(f"the engine stopped while it started: {_last_line(self.log)} (log: {self.log})")
            with suppress(urllib.error.URLError, OSError), opener.open(f"{self.url}/_ministack/health", timeout=2):
                return
            time.sleep(0.05)
        raise EngineError(f"the engine did not answer on {self.url} within {START_SECONDS} s (log: {self.log})")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if self._keep:
                # SIGTERM lets it save its state.
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS)
        finally:
            # Its workers are in its process group. Without an init process a killed worker stays as a zombie, so do not
            # wait until the group is empty.
            with suppress(ProcessLookupError, PermissionError):
                for _ in range(50):
                    os.killpg(process.pid, signal.SIGKILL)
                    process.poll()
                    time.sleep(0.01)
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
            shutil.rmtree(self._temporary, ignore_errors=True)


def _require_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise EngineError(
            f"not installed: {', '.join(missing)}; run: {sys.executable} -m pip install -r requirements/local.txt"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        # Without this option, a port whose last connections are still closing counts as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise EngineError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "its log is empty"
