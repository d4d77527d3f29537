"""The docs match the code: columns, error codes, states and names of tests."""

from __future__ import annotations

import re
from pathlib import Path

from imagelake.lake.rows import COLUMNS, Column
from imagelake.run.errors import ErrorCode
from tests.static.asl import MACHINE, states

ROOT = Path(__file__).parents[2]
DATASET = (ROOT / "docs" / "dataset.md").read_text()
README = (ROOT / "README.md").read_text()


def test_dataset_lists_every_column_in_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.+) \|$", DATASET, re.MULTILINE)
    assert [Column(*row) for row in rows] == list(COLUMNS)


def test_dataset_lists_every_error_code_in_order() -> None:
    codes = re.findall(r"^\| `(\w+)` \| (?:failed|rejected) \| .+ \|$", DATASET, re.MULTILINE)
    assert codes == [code.value for code in ErrorCode]


def test_graph_names_every_state() -> None:
    (graph,) = re.findall(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert [name for name, _ in states(MACHINE) if name not in graph] == []


def test_reliability_names_existing_tests() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text()))
    existing = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= existing
