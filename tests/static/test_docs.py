"""The documents say what the code does: columns and error codes of the dataset."""

from __future__ import annotations

import re
from pathlib import Path

from shared.errors import ErrorCode
from shared.rows import COLUMNS, Column

DATASET = (Path(__file__).parents[2] / "docs" / "dataset.md").read_text()


def test_dataset_lists_every_column_in_order() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.+) \|$", DATASET, re.MULTILINE)
    assert [Column(*row) for row in rows] == list(COLUMNS)


def test_dataset_lists_every_error_code_in_order() -> None:
    codes = re.findall(r"^\| `(\w+)` \| (?:failed|rejected) \| .+ \|$", DATASET, re.MULTILINE)
    assert codes == [code.value for code in ErrorCode]
