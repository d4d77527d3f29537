"""Output of a command: text for people, or one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Output:
    """Writes for people to ``console``; with ``as_json``, that is standard error, and the result goes to the other."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, emoji=False)

    def text(self, text: str = "") -> None:
        """Print a line as it is."""
        self.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: int = 0) -> None:
        """Print a table; a value that is missing is an empty cell, and the first ``whole`` columns are never folded."""
        table = Table(box=SIMPLE, pad_edge=False)
        for number, name in enumerate(columns):
            table.add_column(name, overflow="fold", no_wrap=number < whole)
        for row in rows:
            table.add_row(*(Text(printable("" if value is None else str(value))) for value in row))
        self.console.print(table)

    def rows(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table, or each row as lines of names and values if the names do not fit into one line."""
        if sum(len(name) + 3 for name in columns) <= self.console.width:
            self.table(columns, rows)
            return
        for number, row in enumerate(rows, 1):
            self.text(f"row {number}")
            for name, value in zip(columns, row, strict=True):
                self.text(f"  {name}: {'' if value is None else value}".rstrip())

    def result(self, value: Any) -> None:
        """Print the result as JSON, if the user asked for it."""
        if self.as_json:
            print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_error(sentence: str) -> None:
    """Print the sentence about an error on standard error."""
    print(printable(f"error: {sentence}"), file=sys.stderr)


def printable(text: str) -> str:
    """Replace control characters: captions and names come from strangers and could control the terminal."""
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text)
