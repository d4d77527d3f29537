"""A separate process refuses every bomb with the right code, in less than a second and in less than 400 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import measure_decoders
from tests.support.image_bombs import bombs

ROOT = Path(__file__).parents[2]
SECONDS, MEMORY = 1.0, 400_000_000


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, float, int]]:
    """Measure each bomb: the expected code, the outcome, CPU seconds, and peak memory of the process so far."""
    folder = tmp_path_factory.mktemp("bombs")
    expected = {}
    for number, (name, (data, code)) in enumerate(bombs().items()):
        (folder / str(number)).write_bytes(data)
        expected[name] = str(code)
    process = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            measure_decoders.__file__,
            *(str(folder / str(number)) for number in range(len(expected))),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "functions"), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = process.stdout.splitlines()
    assert len(lines) == len(expected), process.stderr[-2000:]
    return {name: (code, *json.loads(line)) for (name, code), line in zip(expected.items(), lines, strict=True)}


def test_the_bombs_are_many(measured: dict[str, tuple[str, str, float, int]]) -> None:
    assert len(measured) >= 40


def test_every_bomb_is_refused_with_its_code(measured: dict[str, tuple[str, str, float, int]]) -> None:
    assert {name: outcome for name, (code, outcome, _, _) in measured.items() if outcome != code} == {}


def test_every_bomb_is_refused_fast(measured: dict[str, tuple[str, str, float, int]]) -> None:
    # CPU time, not clock time, so that other programs on the machine do not matter.
    assert {name: seconds for name, (_, _, seconds, _) in measured.items() if seconds > SECONDS} == {}


def test_every_bomb_is_refused_in_little_memory(measured: dict[str, tuple[str, str, float, int]]) -> None:
    assert {name: peak for name, (_, _, _, peak) in measured.items() if peak > MEMORY} == {}
