"""A separate process decodes or refuses images near the limits on pixels in about a second and less than 400 MB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.image_bombs import bombs
from tests.support.measure_decoders import measured
from tests.support.part_bombs import part_bombs
from tests.support.pixel_bombs import pixel_bombs
from tests.support.sample import sample

# On a quiet machine, all take less than 1 s. Other programs make this one slower: they share its caches.
SECONDS, MEMORY = 1.5, 400_000_000
# The others take seconds to make.
FAST = (
    "PNG RGBA of 16 bits", "WebP of codes", "WebP of one color", "GIF canvas", "WebP animated", "AVIF of tiles",
    "JPEG arithmetic",
)  # fmt: skip


def test_bombs_of_all_kinds_are_many() -> None:
    assert len([*bombs(), *part_bombs(), *pixel_bombs()]) >= 180


@pytest.mark.parametrize("name", sample(pixel_bombs(), *(name for name in pixel_bombs() if name.startswith(FAST))))
def test_image_near_a_limit_costs_little(name: str, tmp_path: Path) -> None:
    make, code = pixel_bombs()[name]
    file = tmp_path / "bomb"
    file.write_bytes(make())
    ((outcome, seconds, peak),) = measured(file)
    assert outcome == code
    assert seconds <= SECONDS
    assert peak <= MEMORY
