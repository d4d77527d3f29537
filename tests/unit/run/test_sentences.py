"""Every fault that pydantic can find has a sentence of ours, and every type that our models can raise its own one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core._pydantic_core import list_all_errors

from check_input.run_input import RunInput
from imagelake.run.contracts import CONTRACTS
from imagelake.run.models import Retry
from imagelake.run.sentences import SENTENCES, faults, sentence, show, unknown
from imagelake.sources import Feed, stream

MODELS: list[type[BaseModel]] = [
    RunInput,
    Feed,
    stream._PostRecord,
    stream._RawRecord,
    *(contract.request for contract in CONTRACTS.values()),
]
# The errors of a part of a schema: of its type, and of each of its limits.
OF_TYPE = {
    "any": (),
    "bool": ("bool_type", "bool_parsing"),
    "datetime": ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "datetime_object_invalid"),
    "dict": ("dict_type",),
    "enum": ("enum",),
    "float": ("float_type", "float_parsing"),
    "int": ("int_type", "int_parsing", "int_parsing_size", "int_from_float"),
    "list": ("list_type",),
    "literal": ("literal_error",),
    "model": ("model_type", "model_attributes_type"),
    "model-fields": ("missing", "model_type", "model_attributes_type"),
    "str": ("string_type", "string_sub_type", "string_unicode"),
    "tuple": ("tuple_type",),
}
OF_LIMIT = {
    "allow_inf_nan": ("finite_number",),
    "ge": ("greater_than_equal",),
    "gt": ("greater_than",),
    "le": ("less_than_equal",),
    "lt": ("less_than",),
    "max_length": ("string_too_long", "too_long"),
    "min_length": ("string_too_short", "too_short"),
    "pattern": ("string_pattern_mismatch",),
    "tz_constraint": ("timezone_aware",),
}
# Parts that only hold other parts, or call a function of ours, whose ``ValueError`` has its own sentence.
WITHOUT_ERRORS = {
    "default", "definitions", "definition-ref", "function-after", "function-before", "function-plain", "function-wrap",
    "model-field", "no-info", "with-info", "nullable", "chain", "tuple-variable",
}  # fmt: skip
FOREIGN = re.compile(r"Input|Value|should|valid |Field|Extra|\^|\{|\}")


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a core schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for key, inner in schema.items():
            if key not in ("metadata", "serialization", "ref"):
                yield from parts(inner)
    elif isinstance(schema, list | tuple):
        for inner in schema:
            yield from parts(inner)


def raised_by(model: type[BaseModel]) -> set[str]:
    model.model_rebuild()
    found: set[str] = set()
    for part in parts(model.__pydantic_core_schema__):
        assert part["type"] in OF_TYPE or part["type"] in WITHOUT_ERRORS, part["type"]
        found.update(OF_TYPE.get(part["type"], ()))
        found.update(kind for limit, kinds in OF_LIMIT.items() if limit in part for kind in kinds)
    return found


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_type_that_our_models_can_raise_has_its_sentence(model: type[BaseModel]) -> None:
    assert raised_by(model) - SENTENCES.keys() == set()


@pytest.mark.parametrize("known", list_all_errors(), ids=lambda known: known["type"])
def test_every_type_that_pydantic_can_raise_has_a_plain_sentence(known: Any) -> None:
    context = dict.fromkeys(re.findall(r"\{(\w+)\}", known["message_template_python"]), 5)
    written = sentence(known["type"], context)
    assert FOREIGN.search(written) is None
    assert written.startswith("it")


def test_there_is_no_sentence_for_a_type_that_does_not_exist() -> None:
    assert SENTENCES.keys() <= {known["type"] for known in list_all_errors()}


def test_sentence_names_a_field_inside_a_field_and_one_that_was_meant() -> None:
    with pytest.raises(ValidationError) as raised:
        RunInput.model_validate({"feeds": ["a:b"], "retry": {"run_id": "a", "eror_codes": []}})
    assert list(faults(raised.value, RunInput)) == [
        ("retry.eror_codes", "there is no such field; did you mean error_codes?")
    ]


def test_number_of_thousands_of_digits_is_shown() -> None:
    assert show(10**5000) == "a number of more than 18 digits"


def test_unknown_field_lists_all_when_none_is_close() -> None:
    assert unknown("zzz", Retry.model_fields) == "there is no such field; the fields are error_codes, run_id"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x", '"x"'),
        (True, "true"),
        (None, "null"),
        ([1], "a list"),
        ([], "an empty list"),
        ({"a": 1}, "an object"),
        (10**20, "a number of more than 18 digits"),
        ("\ud800", '"\\ud800"'),
        ("y" * 100, '"' + "y" * 59 + "…"),
        (object, "type"),
        ("https://user:secret@a.example/", '"https://REDACTED@a.example/"'),
    ],
)
def test_wrong_value_is_shown_short_and_without_credentials(value: Any, shown: str) -> None:
    assert show(value) == shown
