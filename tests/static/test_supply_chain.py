"""Every installed or bundled package is pinned by version and hash; test_sam.py tampers with a hash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.asl import ROOT

LOCKS = [
    ROOT / "functions" / "requirements.txt",
    *sorted((ROOT / "layers").glob("*/requirements.txt")),
    *sorted((ROOT / "requirements").glob("*.txt")),
]
LAYER = ROOT / "layers" / "imaging" / "requirements.txt"
LOCAL = ROOT / "requirements" / "local.txt"
PIN = re.compile(r"([a-z0-9-]+)==([\w.]+)( ; .+?)?( --hash=sha256:[0-9a-f]{64})+")
SHELL = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / ".github" / "workflows").glob("*.yml")]


def pins(lock: Path) -> list[re.Match[str]]:
    lines = re.sub(r"\s*\\\n\s*", " ", lock.read_text()).splitlines()
    matches = {line: PIN.fullmatch(line) for line in lines if not line.startswith("#")}
    assert [line for line, pin in matches.items() if pin is None] == []
    return [pin for pin in matches.values() if pin]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_lock_pins_every_package_by_version_and_hash(lock: Path) -> None:
    assert pins(lock)


def test_layer_has_the_versions_that_run_here() -> None:
    layer, local = ({(pin[1], pin[2]) for pin in pins(lock)} for lock in (LAYER, LOCAL))
    assert layer <= local


def test_layer_is_the_same_on_every_machine() -> None:
    marked = {pin[1]: pin[3] for pin in pins(LAYER) if pin[3]}
    # The version of NumPy depends on the Python, and Lambda has one Python.
    assert marked.keys() <= {"numpy"}, marked


def test_pillow_has_no_known_vulnerability() -> None:
    versions = [tuple(map(int, pin[2].split("."))) for lock in LOCKS for pin in pins(lock) if pin[1] == "pillow"]
    assert versions
    assert min(versions) >= (12, 3, 0)


def test_nothing_is_installed_without_its_hash() -> None:
    installs = [line for file in SHELL for line in file.read_text().splitlines() if re.search(r"\bpip install", line)]
    assert installs
    assert [line for line in installs if "--require-hashes" not in line] == []
