"""The lock of a lake on this machine: every command that writes takes it, and the second one says who has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.__main__ import main
from local.lake_lock import LOCK, LakeLock

WRITERS = [
    ["run", "bluesky:a.example"],
    ["plan", "bluesky:a.example"],
    ["backfill", "bluesky:a.example", "--since", "2026-01-01"],
    ["rebuild"],
    ["erase", "--media", "a", "--reason", "opt_out", "--reference", "1"],
]
READERS = [["status"], ["report"], ["logs"], ["retry", "run-1"]]


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[LakeLock]:
    """The lock of the lake in ``tmp_path``, which ``imagelake demo`` has."""
    (tmp_path / "state").mkdir()
    with LakeLock(tmp_path) as lock:
        assert lock.take("demo")
        yield lock


def sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str], *command: str) -> str:
    option = "--state" if command[0] == "demo" else "--lake"
    assert main([*command, option, str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("command", [*WRITERS, ["demo"], ["demo", "--keep"]], ids=" ".join)
def test_second_command_that_writes_says_who_has_the_lake(
    command: list[str], lock: LakeLock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = lock.holder().process
    lock.share(9)
    line = sentence(tmp_path, capsys, *command)
    assert line == (
        f"error: another command is using the lake in {tmp_path}: ./imagelake demo (process {process});"
        " wait until it ends, or stop it with Ctrl-C"
    )


@pytest.mark.parametrize("command", [*WRITERS, *READERS], ids=" ".join)
def test_command_beside_one_that_just_starts_says_so(
    command: list[str], lock: LakeLock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = sentence(tmp_path, capsys, *command)
    assert line == f"error: ./imagelake demo is just starting the lake in {tmp_path}; try again"


@pytest.mark.parametrize("text", ["", "4566", "{}", '["run", 1', "null"])
def test_lock_that_names_nobody_is_a_lock_all_the_same(
    text: str, lock: LakeLock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lock file of an older version has only a port, and one that is just written may be empty."""
    (tmp_path / LOCK).write_text(text)
    assert "is just starting the lake" in sentence(tmp_path, capsys, "status")
    assert "another command is using the lake" in sentence(tmp_path, capsys, "demo")


def test_lock_ends_with_its_command(tmp_path: Path) -> None:
    for command in ("run", "erase"):
        with LakeLock(tmp_path) as lock:
            assert lock.take(command)
            with LakeLock(tmp_path) as other:
                assert not other.take("status")
                assert other.holder().command == command
