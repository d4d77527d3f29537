"""House rules for readable code: short files, short functions, and docstrings that start with a verb or a noun."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.asl import ROOT

MAX_FILE_LINES = 350
MAX_HANDLER_LINES = 60
MAX_FUNCTION_LINES = 45
QUESTION_WORDS = re.compile(r"(What|Whether|Which|Where|When|How|Who|Whose)\b")

FUNCTIONS = sorted((ROOT / "functions").rglob("*.py"))
PROGRAMS = [file for folder in ("local", "tools", "benchmarks") for file in sorted((ROOT / folder).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def lines(file: Path) -> int:
    return len(file.read_text().splitlines())


@cache
def statements(file: Path) -> list[ast.AST]:
    """All nodes but expressions, which are most of the nodes and have no statements in them."""
    nodes: list[ast.AST] = [parsed(file)]
    for node in nodes:
        nodes += (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))
    return nodes


def definitions(file: Path) -> Iterator[Definition]:
    return (node for node in statements(file) if isinstance(node, Definition))


def docstrings(file: Path) -> Iterator[tuple[str, str]]:
    """Location and docstring of the module and of its classes and functions."""
    for node in (parsed(file), *definitions(file)):
        if docstring := ast.get_docstring(node):
            yield located(file, node), docstring


def located(file: Path, node: ast.Module | Definition) -> str:
    name = file.relative_to(ROOT)
    return f"{name}" if isinstance(node, ast.Module) else f"{name}:{node.lineno} {node.name}"


def imported(file: Path) -> Iterator[str]:
    """The modules that a file imports; a name imported from a package may be one, too."""
    for node in statements(file):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_test_module(name: str) -> bool:
    return name.startswith("tests.") and any(re.match(r"test_|conftest$", part) for part in name.split("."))


def test_no_file_is_too_long() -> None:
    long = [f"{file.relative_to(ROOT)}: {lines(file)}" for file in FUNCTIONS if lines(file) > MAX_FILE_LINES]
    assert not long, "\n".join(long)


def test_every_handler_fits_on_one_screen() -> None:
    handlers = [file for file in FUNCTIONS if file.name == "app.py"]
    assert handlers
    long = [f"{file.relative_to(ROOT)}: {lines(file)}" for file in handlers if lines(file) > MAX_HANDLER_LINES]
    assert not long, "\n".join(long)


def test_no_function_is_too_long() -> None:
    long = [
        f"{located(file, node)}: {length}"
        for file in FUNCTIONS + [file for file in PROGRAMS if file.parent.name != "benchmarks"]
        for node in definitions(file)
        if not isinstance(node, ast.ClassDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not long, "\n".join(long)


def test_no_docstring_starts_with_a_question_word() -> None:
    questions = [
        f"{place}: {docstring.splitlines()[0]}"
        for file in FUNCTIONS + PROGRAMS + TESTS
        for place, docstring in docstrings(file)
        if QUESTION_WORDS.match(docstring)
    ]
    assert not questions, "\n".join(questions)


def test_no_test_module_is_imported() -> None:
    # What two test modules need is in tests/support, or beside them in a module without tests.
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in TESTS + PROGRAMS
        for name in imported(file)
        if is_test_module(name)
    ]
    assert not wrong, "\n".join(wrong)
