"""Start and stop of the engine: it refuses bad settings, keeps its state and leaves no process behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from local import engine as engine_module
from local.engine import Engine, EngineError
from local.local_lake import LocalLake

ROOT = Path(__file__).parents[3]
# Starts an engine, prints its process id, and waits for a signal.
PARENT = """
import signal, sys
from pathlib import Path
from local.engine import Engine
# A background job of a shell ignores this signal, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(1))
with Engine(Path(sys.argv[1])) as engine:
    print(engine._process.pid, flush=True)
    signal.pause()
"""


def group_is_gone(group: int, seconds: float = 30) -> bool:
    """Wait until no process of ``group`` is left; reaping a killed process takes a moment."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_engine_serves_on_loopback_and_stops_when_the_block_ends(tmp_path: Path) -> None:
    with Engine(tmp_path) as engine:
        engine.client("s3").create_bucket(Bucket="pictures")
        assert engine.client("s3").list_buckets()["Buckets"][0]["Name"] == "pictures"
        assert engine._process is not None
        group = engine._process.pid
    assert group_is_gone(group, 0.1)
    assert not (tmp_path / "tmp").exists()
    assert (tmp_path / "engine.log").is_file()


def test_engine_starts_where_another_one_was_killed(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "workers.sock").touch()
    with Engine(tmp_path) as engine:
        assert engine.client("s3").list_buckets()["Buckets"] == []


def test_engine_stops_when_the_block_raises(tmp_path: Path) -> None:
    group = 0

    def fail() -> None:
        nonlocal group
        with Engine(tmp_path) as engine:
            assert engine._process is not None
            group = engine._process.pid
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert group_is_gone(group, 0.1)


@pytest.mark.parametrize(
    ("error", "keep", "line"),
    [
        (KeyboardInterrupt, True, "Stopping: the engine saves its state, in 15 s at most ...\n"),
        (KeyboardInterrupt, False, ""),
        (RuntimeError, True, ""),
        (SystemExit, True, ""),
    ],
)
def test_engine_says_at_once_that_it_saves_its_state(
    error: type[BaseException],
    keep: bool,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    monkeypatch.setattr(Engine, "_stop", lambda engine: said.append(capsys.readouterr().err))
    Engine(tmp_path, keep=keep).__exit__(error, error(), None)
    assert said == [line]


def test_lake_tells_its_engine_about_an_interrupt(tmp_path: Path) -> None:
    kinds: list[Any] = []
    lake = LocalLake(tmp_path, create=True)
    lake._opened.push(lambda kind, error, trace: kinds.append(kind))
    with pytest.raises(KeyboardInterrupt), lake:
        raise KeyboardInterrupt
    assert kinds == [KeyboardInterrupt]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_engine_stops_when_its_parent_does(tmp_path: Path, ending: signal.Signals) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        group = None
        try:
            assert parent.stdout is not None
            group = int(parent.stdout.readline())
            parent.send_signal(ending)
            parent.wait(30)
            assert group_is_gone(group)
        finally:
            # Nothing stays behind when the test fails.
            parent.kill()
            if group is not None:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)


def test_engine_continues_from_its_state_when_kept(tmp_path: Path) -> None:
    with Engine(tmp_path, keep=True) as engine:
        engine.client("s3").create_bucket(Bucket="pictures")
        engine.client("s3").put_object(Bucket="pictures", Key="lake/a", Body=b"one")
    with Engine(tmp_path, keep=True) as engine:
        assert engine.client("s3").get_object(Bucket="pictures", Key="lake/a")["Body"].read() == b"one"


def test_engine_saves_its_state_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = PARENT.replace("Engine(Path(sys.argv[1]))", "Engine(Path(sys.argv[1]), keep=True)").replace(
        "    print", '    engine.client("sqs").create_queue(QueueName="mailbox")\n    print'
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        group = int(parent.stdout.readline())
        parent.kill()
        assert group_is_gone(group)
    with Engine(tmp_path, keep=True) as engine:
        assert len(engine.client("sqs").list_queues()["QueueUrls"]) == 1


def test_engine_names_the_port_when_it_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(EngineError, match=f"^port {port} cannot be used: .*--port$"), Engine(tmp_path, port=port):
            pass


def test_engine_names_the_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "find_spec", lambda name: None if name == "samtranslator" else object())
    with (
        pytest.raises(EngineError, match=r"^not installed: samtranslator; run: .*requirements/local\.txt$"),
        Engine(tmp_path),
    ):
        pass


def test_error_has_the_last_line_of_the_log_when_the_engine_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"stopped while it started: .*invalid literal"):
        Engine(tmp_path, settings={"GATEWAY_PORT": "none"}).__enter__()


def test_environment_leads_to_no_real_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "real")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    environment = Engine(tmp_path, port=4566).environment()
    assert {name for name in environment if name.startswith("AWS_")} == {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_CONFIG_FILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_EC2_METADATA_DISABLED",
    }
    assert environment["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert environment["NO_PROXY"] == "intranet.example,127.0.0.1,localhost"
