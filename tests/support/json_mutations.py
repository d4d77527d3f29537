"""Damage to JSON for property tests: any key dropped, retyped or written twice, at any depth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

# The same examples in every run, and no files left behind; tests/conftest.py chooses how many.
FIXED = settings(derandomize=True, database=None, deadline=None)

_DROP = object()
_ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**40,
    "",
    "x",
    "\x00",
    "\ud800",
    "9999-99-99",
    [],
    ["x"],
    {},
    {"x": 1},
    [[[]]],
]
_ODD_LITERALS = ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 80 + "]" * 80]


class Literal(str):
    """A piece of JSON text that stands for itself."""


class Twice:
    """A value whose key stands twice in the JSON, first with another value."""

    def __init__(self, first: Any, last: Any) -> None:
        self.first, self.last = first, last


def rendered(value: Any) -> str:
    """JSON text, also of values that ``json.dumps`` cannot write."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(_pairs(value)) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(rendered, value)) + "]"
    return json.dumps(value)


def damaged(entry: Any) -> st.SearchStrategy[Any]:
    """Drop, retype or double one part of ``entry``."""
    odd = st.sampled_from([*_ODD, *map(Literal, _ODD_LITERALS)])
    return st.builds(_damaged, st.just(entry), st.sampled_from(list(paths(entry))), st.just(_DROP) | odd, st.booleans())


def _pairs(value: dict[str, Any]) -> Iterator[str]:
    for key, part in value.items():
        for one in (part.first, part.last) if isinstance(part, Twice) else (part,):
            yield f"{json.dumps(key)}:{rendered(one)}"


def paths(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every part of ``value``, as keys and indexes."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (key,)
        yield from ((key, *rest) for rest in paths(part))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of ``value`` with ``new`` at ``path``."""
    return _damaged(value, path, new, twice=False)


def _damaged(value: Any, path: tuple[Any, ...], new: Any, twice: bool) -> Any:
    key, *rest = path
    copy = value.copy()
    if rest:
        copy[key] = _damaged(value[key], tuple(rest), new, twice)
    elif new is _DROP:
        del copy[key]
    elif twice and isinstance(value, dict):
        copy[key] = Twice(value[key], new)
    else:
        copy[key] = new
    return copy
