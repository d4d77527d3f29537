"""JSON that a user wrote: nothing in it is dropped, and nothing is accepted that we cannot store or show."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from imagelake.run.masking import mask

_MAX_DEPTH = 10
_MAX_CHARACTERS = 1_000
# Every tool reads whole numbers up to here exactly.
_MAX_NUMBER = 2**53
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_TOO_DEEP = f"lists and objects are nested more than {_MAX_DEPTH} deep"


def read_user_json(text: str) -> Any:
    """Read JSON; raise ``ValueError`` with one sentence if it is not JSON, or has a key twice."""
    try:
        return json.loads(
            text.removeprefix("\ufeff"),
            object_pairs_hook=_without_repeats,
            parse_int=lambda digits: int(digits[:32]),  # long ones are refused later, whatever their value
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: the first mistake is at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def check_user_json(value: Any, max_characters: int = _MAX_CHARACTERS) -> None:
    """Raise ``ValueError`` with the field's name for a value that no field can have, such as half a character."""
    stack: list[tuple[str, Any, int]] = [("", value, 0)]
    while stack:
        name, part, depth = stack.pop()
        if fault := _fault(part, depth, max_characters):
            raise ValueError(f"{name}: {fault}" if name else fault)
        stack += ((name, inner, depth + 1) for name, inner in _inside(name, part))


def _inside(name: str, part: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(part, dict):
        for key, inner in part.items():
            if fault := _fault(key, 0):
                shown = mask(ascii(key)[1:-1])[:40]
                raise ValueError(f"{name + '.' if name else ''}{shown}: this name of a field: {fault}")
            yield (f"{name}.{key}" if name else key)[:200], inner
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield (f"{name}.{index}" if name else str(index)), inner


def _fault(part: Any, depth: int, max_characters: int = _MAX_CHARACTERS) -> str | None:
    if depth > _MAX_DEPTH:
        return _TOO_DEEP
    if isinstance(part, str):
        return _text_fault(part, max_characters)
    if isinstance(part, float) and not math.isfinite(part):
        return "it has to be a finite number"
    if isinstance(part, (int, float)) and abs(part) > _MAX_NUMBER:
        return f"it has to be a number of at most {_MAX_NUMBER}"
    return None


def _text_fault(text: str, max_characters: int) -> str | None:
    if len(text) > max_characters:
        return f"it has to have at most {max_characters:,} characters, not {len(text):,}"
    if _CONTROL.search(text):
        return "it has a control character, such as a line break or a null byte; remove it"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "it has half of a character (a lone surrogate); write the character again"
    return None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{mask(ascii(twice)[1:-1])[:60]}: this name is there twice in one object; remove one")
    return fields


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"not JSON: {text} is not a value of JSON")
