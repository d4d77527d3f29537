"""Write the inputs and outputs of the Terraform module from ``template.yaml``; ``make docs`` runs it.

Every parameter of the template is a variable in snake case, with its description and default. Every output of the
template is an output. CloudFormation checks the values, so the module repeats no rule.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from local.package import read_template

ROOT = Path(__file__).parents[1]
MODULE = ROOT / "terraform"
_GENERATED = "# Made from template.yaml by `make docs`.\n"
_TYPES = {"Number": "number", "CommaDelimitedList": "list(string)"}


def module_files(template: dict[str, Any]) -> dict[str, str]:
    """Return the text of each generated file, by name."""
    return {
        "variables.tf": _GENERATED + "".join(map(_variable, *zip(*template["Parameters"].items(), strict=True))),
        "parameters.tf": _GENERATED + _parameters(template["Parameters"]),
        "outputs.tf": _GENERATED + "".join(map(_output, *zip(*template["Outputs"].items(), strict=True))),
    }


def snake_case(name: str) -> str:
    """Turn ``BatchSize`` into ``batch_size``."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _variable(name: str, parameter: dict[str, Any]) -> str:
    kind = _TYPES.get(parameter["Type"], "string")
    default: Any = str(parameter["Default"])
    if kind == "number":
        default = int(default)
    elif kind == "list(string)":
        default = default.split(",") if default else []
    return _block(
        f'variable "{snake_case(name)}"',
        description=_quote(" ".join(parameter["Description"].split())),
        type=kind,
        default=_quote(default),
        nullable="false",
    )


def _parameters(parameters: dict[str, Any]) -> str:
    values = {name: f"var.{snake_case(name)}" for name in parameters}
    for name, parameter in parameters.items():
        if parameter["Type"] == "CommaDelimitedList":
            values[name] = f'join(",", {values[name]})'
    width = max(map(len, values))
    lines = "".join(f"    {name:{width}} = {value}\n" for name, value in values.items())
    return f"\nlocals {{\n  parameters = {{\n{lines}  }}\n}}\n"


def _output(name: str, output: dict[str, Any]) -> str:
    value = f"aws_cloudformation_stack.this.outputs.{name}"
    if "Condition" in output:
        # The stack has this output only if the parameter that creates its resource is set.
        value = f'lookup(aws_cloudformation_stack.this.outputs, "{name}", null)'
    return _block(f'output "{snake_case(name)}"', description=_quote(output["Description"]), value=value)


def _block(head: str, **values: str) -> str:
    width = max(map(len, values))
    return f"\n{head} {{\n" + "".join(f"  {name:{width}} = {value}\n" for name, value in values.items()) + "}\n"


def _quote(value: Any) -> str:
    # Terraform reads ${ and %{ in a text as the beginning of an expression.
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


if __name__ == "__main__":
    for file, text in module_files(read_template(ROOT / "template.yaml")).items():
        (MODULE / file).write_text(text, "utf-8")
