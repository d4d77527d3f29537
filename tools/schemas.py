"""Writes the JSON Schemas in ``docs/schemas/`` from the models of contracts and events; ``make docs`` runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from imagelake.run.contracts import CONTRACTS
from imagelake.run.events import EVENTS

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
_DIALECT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def schemas() -> dict[str, dict[str, Any]]:
    """Make the schema of every request, result and event, by its path below ``docs/schemas/``."""
    made = {}
    for name, contract in CONTRACTS.items():
        made[f"{name}.request.json"] = _DIALECT | contract.request.model_json_schema(mode="validation")
        made[f"{name}.result.json"] = _DIALECT | contract.result.model_json_schema(mode="serialization")
    for event in EVENTS:
        name = event.detail_type.lower().replace(" ", "_")
        made[f"events/{name}.json"] = _DIALECT | event.model_json_schema(mode="serialization")
    return made


def main() -> None:
    """Write every schema."""
    for path, schema in schemas().items():
        file = SCHEMAS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
