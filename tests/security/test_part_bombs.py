"""A separate process decodes or refuses files of far too many parts in less than a second and less than 400 MB."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.image_bombs import bombs
from tests.support.measure_decoders import measured
from tests.support.part_bombs import part_bombs
from tests.support.sample import sample

SECONDS, MEMORY = 1.0, 400_000_000
# Each format, and each way in which a part can be too much for it.
KEPT = (
    "AVIF with one item", "AVIF of small units", "AVIF of boxes", "AVIF of properties", "AVIF of items",
    "AVIF of items that share a frame", "GIF of plain texts", "GIF of some controls", "GIF of bytes without a frame",
    "PNG of texts that are none", "PNG of short texts", "PNG of data byte by byte", "JPEG of empty segments",
    "JPEG of elements of its profile", "JPEG of small EXIF", "WebP of EXIF", "WebP of frames", "WebP of empty frames",
)  # fmt: skip


def test_the_bombs_of_both_kinds_are_many() -> None:
    assert len({*bombs(), *part_bombs()}) >= 120


@pytest.mark.parametrize("name", sample(part_bombs(), *KEPT))
def test_file_of_many_parts_costs_little(name: str, tmp_path: Path) -> None:
    make, code = part_bombs()[name]
    file = tmp_path / "bomb"
    file.write_bytes(make())
    ((outcome, seconds, peak),) = measured(file)
    assert outcome == code
    assert seconds <= SECONDS
    assert peak <= MEMORY
