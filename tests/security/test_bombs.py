"""A separate process refuses every bomb with the right code, in less than a second and in less than 400 MB."""

from __future__ import annotations

import pytest

from tests.support.image_bombs import bombs
from tests.support.measure_decoders import measured

SECONDS, MEMORY = 1.0, 400_000_000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, float, int]]:
    """Measure each bomb: the expected code, the outcome, CPU seconds, and peak memory of the process so far."""
    folder = tmp_path_factory.mktemp("bombs")
    expected, files = {}, []
    for number, (name, (data, code)) in enumerate(bombs().items()):
        expected[name] = str(code)
        files.append(folder / str(number))
        files[-1].write_bytes(data)
    found = zip(expected.items(), measured(*files), strict=True)
    return {name: (code, *result) for (name, code), result in found}


def test_the_bombs_are_many(results: dict[str, tuple[str, str, float, int]]) -> None:
    assert len(results) >= 40


def test_every_bomb_is_refused_with_its_code(results: dict[str, tuple[str, str, float, int]]) -> None:
    assert {name: outcome for name, (code, outcome, _, _) in results.items() if outcome != code} == {}


def test_every_bomb_is_refused_fast(results: dict[str, tuple[str, str, float, int]]) -> None:
    assert {name: seconds for name, (_, _, seconds, _) in results.items() if seconds > SECONDS} == {}


def test_every_bomb_is_refused_in_little_memory(results: dict[str, tuple[str, str, float, int]]) -> None:
    assert {name: peak for name, (_, _, _, peak) in results.items() if peak > MEMORY} == {}
