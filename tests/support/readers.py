"""Programs that read the dataset with the calls of docs/dataset.md, and what these calls have to return."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from imagelake.lake.rows import Row
from tests.support.asl import ROOT

_PAGE = (ROOT / "docs" / "dataset.md").read_text()
_IMPORTS_AND_ROWS = {
    "pandas": ("import pandas as pd", 'images.to_dict("records")'),
    "pyarrow": ("", "images.to_pylist()"),
    "DuckDB": ("import duckdb", "[dict(zip(images.columns, row)) for row in images.fetchall()]"),
    "polars": ("import polars as pl", "images.to_dicts()"),
    "datasets": (
        "import datasets; from datasets import Features, load_dataset; datasets.disable_progress_bars()",
        'list(images["train"])',
    ),
}
_SUMMARY = """
keys = ("media_id", "source", "dt", "status", "tags", "image")
answer = {
    "columns": list(rows[0]),
    "rows": sorted([str(row[key]) for key in keys[:4]] + [len(row["tags"]), row["image"] is not None] for row in rows),
    "licenses": sum(row.get("license") == "CC0" for row in rows),
}
"""


class Reader(NamedTuple):
    """A reader, its oldest version that is tested, and its two calls."""

    name: str
    version: str
    short_call: str
    full_call: str

    def program(self, call: str) -> str:
        """Make a program that reads ``lake/images`` below the working folder and leaves a summary in ``answer``."""
        (schema,) = re.findall(r"^```python\n([^`]*^schema = .+\n)```$", _PAGE, re.MULTILINE)
        imports, rows = _IMPORTS_AND_ROWS[self.name]
        return f"{schema}{imports}\nimages = {call}\nrows = {rows}\n{_SUMMARY}"


READERS = [
    Reader(*cells) for cells in re.findall(r"^\| `?(\w+)`? ([\d.]+) \| `([^`]+)` \| `([^`]+)` \|$", _PAGE, re.MULTILINE)
]


def expected(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    """Make the summary of rows."""
    return {
        "columns": list(columns),
        "rows": sorted(
            [row["media_id"], row["source"], row["dt"], row["status"], len(row["tags"]), row["image"] is not None]
            for row in rows
        ),
        "licenses": sum(row["license"] == "CC0" for row in rows) if "license" in columns else 0,
    }
