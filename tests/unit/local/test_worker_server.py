"""Workers are forked: each has its function's environment and code, and it ends when its launcher does."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine import Engine
from local.package import zip_code

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")
CODE = """\
import os, sys

def handler(event, context):
    if "raise" in event:
        raise type(event["raise"], (Exception,), {})("on command")
    return {
        "process": os.getpid(), "environment": dict(os.environ), "folder": os.getcwd(), "code": __file__,
        "packages": [name for name in ("boto3", "awscrt", "OpenSSL") if sys.modules.get(name)],
    }
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    code = tmp_path_factory.mktemp("code")
    (code / "work.py").write_text(CODE)
    # A socket's path may not be so long.
    with Engine(tmp_path_factory.mktemp("engine" + "-of-a-long-name" * 8)) as engine:
        for name in ("one", "two"):
            engine.client("lambda").create_function(
                FunctionName=name,
                Runtime="provided.al2023",
                Handler="work.handler",
                Role="arn:aws:iam::000000000000:role/worker",
                Timeout=30,
                Code={"ZipFile": zip_code(code)},
                Environment={"Variables": {"WORD": name}},
            )
        yield engine


def invoke(engine: Engine, name: str, event: dict[str, str]) -> dict[str, Any]:
    answer = engine.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event))
    result: dict[str, Any] = json.loads(answer["Payload"].read())
    return result


def launchers(engine: Engine) -> set[int]:
    """Process ids of the launchers of this engine."""
    assert engine._process is not None
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                command, group = (folder / "cmdline").read_text(), os.getpgid(int(folder.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if group == engine._process.pid and "worker_launcher.py" in command:
                found.add(int(folder.name))
    return found


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait until ``condition`` is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def has_ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_worker_has_the_environment_and_code_of_its_function(engine: Engine) -> None:
    one, two = (invoke(engine, name, {}) for name in ("one", "two"))
    assert one["process"] != two["process"]
    for name, result in (("one", one), ("two", two)):
        environment = result["environment"]
        assert (environment["WORD"], environment["AWS_LAMBDA_FUNCTION_NAME"]) == (name, name)
        assert environment["AWS_SDK_UA_APP_ID"] == f"work.handler.{result['process']}"
        assert result["code"] == f"{result['folder']}/work.py"
        assert result["packages"] == ["boto3"], "it is there before the function asks for it, the slow ones are not"


def test_worker_is_used_again_and_errors_have_their_own_names(engine: Engine) -> None:
    first = invoke(engine, "one", {})
    assert invoke(engine, "one", {"raise": "BrokenImageError"})["errorType"] == "BrokenImageError"
    assert invoke(engine, "one", {})["process"] == first["process"]


def test_worker_that_is_killed_is_replaced(engine: Engine) -> None:
    first = invoke(engine, "one", {})["process"]
    before = launchers(engine)
    os.kill(first, signal.SIGKILL)
    assert until(lambda: has_ended(first))
    # For the engine, the launcher is the worker. Until it has ended too, the engine may give it the next event.
    assert until(lambda: len(launchers(engine) & before) == len(before) - 1), "its launcher ends with it"
    assert invoke(engine, "one", {})["process"] != first


def test_worker_ends_with_its_launcher(engine: Engine) -> None:
    before = launchers(engine)
    engine.client("lambda").update_function_configuration(FunctionName="two", Environment={"Variables": {"WORD": "2"}})
    first = invoke(engine, "two", {})
    (launcher,) = launchers(engine) - before
    os.kill(launcher, signal.SIGTERM)
    assert until(lambda: has_ended(first["process"]))
    assert invoke(engine, "two", {})["environment"]["WORD"] == "2"
