"""Faults in values, in our words: one table from pydantic's error types to sentences, used for every input."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from imagelake.run.masking import mask

_SHOWN = 60
_A_TIME = "a time such as 2026-04-01T05:00:00Z"
_WHOLE = "it has to be a whole number"
_NUMBER = "it has to be a number"
_TEXT = "it has to be text"
_LIST = "it has to be a list"
_OBJECT = "it has to be an object"
_FORM = "it has characters that are not allowed here, or not the right form"
_FALLBACK = "its value is not allowed"

# The names in braces are those of pydantic's context: https://docs.pydantic.dev/latest/errors/validation_errors/
SENTENCES: Mapping[str, str] = {
    "missing": "it is missing",
    "none_required": "it has to be null",
    "bool_type": "it has to be true or false",
    "bool_parsing": "it has to be true or false",
    "string_type": _TEXT,
    "string_sub_type": _TEXT,
    "string_unicode": _TEXT,
    "string_too_short": "it has to have at least {min_length:,} characters",
    "string_too_long": "it has to have at most {max_length:,} characters",
    "string_pattern_mismatch": _FORM,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "it has to be a finite number",
    "greater_than": "it has to be more than {gt:,}",
    "greater_than_equal": "it has to be at least {ge:,}",
    "less_than": "it has to be less than {lt:,}",
    "less_than_equal": "it has to be at most {le:,}",
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "too_short": "it has to have at least {min_length:,} entries",
    "too_long": "it has to have at most {max_length:,} entries",
    "literal_error": "it has to be {expected}",
    "enum": "it has to be {expected}",
    "datetime_type": f"it has to be {_A_TIME}",
    "datetime_parsing": f"it has to be {_A_TIME}",
    "datetime_from_date_parsing": f"it has to be {_A_TIME}",
    "datetime_object_invalid": f"it has to be {_A_TIME}",
    "timezone_aware": f"it has to state its time zone, in {_A_TIME}",
    "json_invalid": "it has to be JSON",
    "json_type": "it has to be JSON",
}
# These say everything; the value would add nothing, or is too long to help.
_WITHOUT_VALUE = {
    "missing",
    "extra_forbidden",
    "value_error",
    "string_too_long",
    "string_too_short",
    "too_long",
    "too_short",
}


def faults(
    error: ValidationError, model: type[BaseModel] | None = None, *, with_values: bool = True
) -> Iterator[tuple[str, str]]:
    """Return the name of each wrong field of ``model``, such as ``retry.run_id``, and the sentence about it."""
    for problem in error.errors(include_url=False):
        place = [str(part) for part in problem["loc"]]
        kind, context = problem["type"], problem.get("ctx", {})
        if kind == "extra_forbidden":
            known = _fields_at(model, place[:-1]) if model else set[str]()
            text = unknown(place[-1], known)
            if not with_values and not _close(place[-1], known):
                # A value can be in the place of a name.
                place[-1] = "a name of a field"
        elif kind == "value_error":
            text = str(context["error"])
        else:
            text = sentence(kind, context)
        shown = f", not {show(problem['input'])}" if with_values and kind not in _WITHOUT_VALUE else ""
        yield ".".join(map(show_name, place)), mask(text + shown)


def sentence(kind: str, context: Mapping[str, Any]) -> str:
    """Return the sentence about an error type of pydantic; one that is not in the table has a plain one, too."""
    if kind == "greater_than" and context["gt"] == 0:
        return "it has to be more than 0"
    if kind in ("string_too_short", "too_short") and context["min_length"] == 1:
        return "it must not be empty"
    return SENTENCES.get(kind, _FALLBACK).format_map(context)


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that there is no field of this name; name the one that the user probably meant, or else all."""
    names = sorted(known)
    close = _close(name, names)
    hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(names)}"
    return f"there is no such field; {hint}" if names else "there is no such field"


def _close(name: str, names: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(name.lower(), names, 1)


def show_name(name: str) -> str:
    """Write the name of a field in a message: short, without credentials, and an empty one as ``""``."""
    name = mask(name)
    return (name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…") or '""'


def show(value: Any) -> str:
    """Write a wrong value in a message: as JSON in ASCII, short, without credentials."""
    if isinstance(value, (list, tuple)):
        return "a list" if value else "an empty list"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and abs(value) >= 10**18:
        return "a number of more than 18 digits"
    try:
        text = json.dumps(mask(value) if isinstance(value, str) else value)
    except (TypeError, ValueError):
        text = type(value).__name__
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _fields_at(model: type[BaseModel], place: list[str]) -> set[str]:
    """Return the names of the fields of the model that is at ``place`` inside ``model``."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if not place:
        return set(fields)
    inner = next((kind for kind in _models(fields[place[0]].annotation)), None) if place[0] in fields else None
    rest = [part for part in place[1:] if not part.isdigit()]
    return _fields_at(inner, rest) if inner else set()


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
