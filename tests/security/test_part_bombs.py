"""A separate process decodes or refuses files of far too many parts in less than a second and less than 400 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import measure_decoders
from tests.support.image_bombs import bombs
from tests.support.part_bombs import part_bombs

ROOT = Path(__file__).parents[2]
SECONDS, MEMORY = 1.0, 400_000_000


def test_the_bombs_of_both_kinds_are_many() -> None:
    assert len({*bombs(), *part_bombs()}) >= 120


@pytest.mark.parametrize("name", part_bombs())
def test_file_of_many_parts_costs_little(name: str, tmp_path: Path) -> None:
    make, code = part_bombs()[name]
    file = tmp_path / "bomb"
    file.write_bytes(make())
    process = subprocess.run(
        [sys.executable, "-W", "error", measure_decoders.__file__, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "functions"), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.stdout, process.stderr[-2000:]
    outcome, seconds, peak = json.loads(process.stdout)
    assert outcome == code
    # CPU time, not clock time, so that other programs on the machine do not matter.
    assert seconds <= SECONDS
    assert peak <= MEMORY
