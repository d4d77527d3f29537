"""The JSON Schemas in docs/schemas are those of the models."""

from __future__ import annotations

import json

import pytest

from tools.schemas import SCHEMAS, schemas


@pytest.mark.parametrize(("path", "schema"), schemas().items(), ids=schemas())
def test_schema_is_that_of_the_model(path: str, schema: object) -> None:
    assert json.loads((SCHEMAS / path).read_text()) == schema, "run make docs"


def test_there_is_no_other_schema() -> None:
    assert {file.relative_to(SCHEMAS).as_posix() for file in SCHEMAS.rglob("*.json")} == schemas().keys()
