"""``./imagelake`` and ``make`` share one file that makes the environment, once, and says so before pip is silent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local import environment

ROOT = Path(__file__).parents[3]
# In place of the environment's Python: it shows what it is asked to run.
PYTHON = '#!/bin/sh\nif [ "$2" = pip ]; then echo "Collecting one"; exit ${PIP_CODE:-0}; fi\necho "ran $*"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose path has characters that shells and patterns treat specially."""
    checkout = tmp_path / "it's [a] *check out*"
    for name in ("imagelake", "local/environment.py", "requirements/local.txt"):
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, checkout / name)
    scripts = checkout / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "pip").touch()
    (scripts / "python").write_text(PYTHON)
    (scripts / "python").chmod(0o755)
    return checkout


def imagelake(program: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], env=os.environ | {"PYTHON": sys.executable} | environment, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_first_command_says_that_it_installs_and_the_next_one_does_not(checkout: Path) -> None:
    first = imagelake(checkout / "imagelake", "status", "--json")
    assert first.stdout == "ran -P -m local status --json\n"
    (line,) = first.stderr.splitlines()
    assert line.startswith("Installing ")
    assert f"into {checkout / '.venv'}" in line
    again = imagelake(checkout / "imagelake", "demo")
    assert (again.stdout, again.stderr) == ("ran -P -m local demo\n", "")


def test_changed_requirements_are_installed(checkout: Path) -> None:
    imagelake(checkout / "imagelake")
    later = (checkout / ".venv" / "local").stat().st_mtime + 10
    os.utime(checkout / "requirements" / "local.txt", (later, later))
    assert "Installing" in imagelake(checkout / "imagelake").stderr


def test_failure_of_pip_ends_the_command_with_its_last_lines(checkout: Path) -> None:
    done = imagelake(checkout / "imagelake", "demo", PIP_CODE="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == [
        "Collecting one",
        f"error: pip could not install {checkout / 'requirements' / 'local.txt'}",
    ]
    assert not (checkout / ".venv" / "local").exists()


def test_link_to_the_command_works(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout / "imagelake")
    assert imagelake(tmp_path / "link", "demo").stdout == "ran -P -m local demo\n"


def test_missing_python_is_named(checkout: Path) -> None:
    done = imagelake(checkout / "imagelake", PYTHON="python-that-is-missing")
    assert done.returncode == 1
    assert done.stderr == "error: python-that-is-missing is not on the PATH; install Python 3.11 or newer\n"


def test_old_python_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10))
    assert environment.main("local") == 1
    assert "Imagelake needs Python 3.11 or newer" in capsys.readouterr().err
