"""The command line: every error is one clear line."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from imagelake import __version__
from local.__main__ import main


def test_demo_names_the_port_when_it_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["demo", "--state", str(tmp_path), "--port", str(port)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"error: port {port} cannot be used: Address already in use; choose another with --port"
    ]


def test_version_is_that_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"Imagelake {__version__}\n"


def test_demo_refuses_a_limit_that_is_not_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--limit", "many"])
    assert "--limit" in capsys.readouterr().err
