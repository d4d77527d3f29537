"""A separate process decodes or refuses images near the limits on pixels in about a second and less than 400 MB."""

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
from tests.support.pixel_bombs import pixel_bombs

ROOT = Path(__file__).parents[2]
# On a quiet machine, all take less than 1 s. Other programs make this one slower: they share its caches.
SECONDS, MEMORY = 1.5, 400_000_000
# The others take seconds to make.
FAST = (
    "PNG RGBA of 16 bits", "WebP of codes", "WebP of one color", "GIF canvas", "WebP animated", "AVIF of tiles",
    "JPEG arithmetic",
)  # fmt: skip


def cases() -> list[object]:
    return [
        name if name.startswith(FAST) else pytest.param(name, marks=pytest.mark.full) for name in pixel_bombs()
    ]  # fmt: skip


def test_bombs_of_all_kinds_are_many() -> None:
    assert len([*bombs(), *part_bombs(), *pixel_bombs()]) >= 180


@pytest.mark.parametrize("name", cases())
def test_image_near_a_limit_costs_little(name: str, tmp_path: Path) -> None:
    make, code = pixel_bombs()[name]
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
    assert seconds <= SECONDS
    assert peak <= MEMORY
