"""The tree of errors is the one in the docstring of its module, and each error has a clear name."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from imagelake.run import errors
from imagelake.run.errors import (
    DownloadError,
    ErrorCode,
    ImagelakeError,
    ImageRejectedError,
    PermanentError,
    TransientError,
)

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ImagelakeError)]
FUNCTIONS = Path(errors.__file__).parents[2]


def parents() -> dict[str, str]:
    """Return the public errors below ``ImagelakeError`` in functions/ with their parents, read from the source code."""
    bases = {
        node.name: node.bases[0].id
        for path in FUNCTIONS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and node.bases and isinstance(node.bases[0], ast.Name)
    }

    def is_ours(name: str) -> bool:
        return name == "ImagelakeError" or (name in bases and is_ours(bases[name]))

    return {name: base for name, base in bases.items() if is_ours(base) and not name.startswith("_")}


@pytest.mark.slow
def test_docstring_shows_every_error_under_its_parent() -> None:
    drawn: dict[str, str] = {}
    stem = {0: "ImagelakeError"}
    for prefix, name in re.findall(r"^ {4}([│ ]*[├└]── )(\w+Error)", errors.__doc__ or "", re.MULTILINE):
        depth = len(prefix) // 4
        stem[depth] = name
        drawn[name] = stem[depth - 1]
    assert drawn == parents()


def test_every_leaf_is_either_transient_or_permanent() -> None:
    leaves = [kind for kind in KINDS if not any(kind in other.__bases__ for other in KINDS)]
    assert len(leaves) == 19
    assert all(issubclass(leaf, TransientError) != issubclass(leaf, PermanentError) for leaf in leaves)
    assert all(leaf.__name__.endswith("Error") and leaf.__doc__ for leaf in leaves)


@pytest.mark.parametrize("kind", [DownloadError, ImageRejectedError])
def test_item_errors_carry_a_code(kind: type[DownloadError] | type[ImageRejectedError]) -> None:
    error = kind(ErrorCode.EMPTY, "no bytes")
    assert (error.code, str(error)) == ("empty", "no bytes")


def test_codes_are_words_for_a_column() -> None:
    assert all(re.fullmatch("[a-z_]+", code) for code in ErrorCode)
