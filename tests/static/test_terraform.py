"""The Terraform module against the template, read by a parser of Terraform's language."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import hcl2
import pytest

from local.package import read_template
from tools.terraform_module import module_files, snake_case

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform"
TEMPLATE = read_template(ROOT / "template.yaml")
# Variables of the module that are no parameters of the template.
OWN = {"name", "template_url", "tags"}


def _read(*files: Path) -> dict[str, list[dict[str, Any]]]:
    blocks: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        for kind, found in hcl2.loads(file.read_text()).items():
            blocks.setdefault(_plain(kind), []).extend(found)
    return blocks


def _plain(value: Any) -> Any:
    """Remove the quotes and the expression marks that the parser keeps."""
    if isinstance(value, str):
        value = value.removeprefix("${").removesuffix("}") if value.startswith("${") else value
        return json.loads(value) if value.startswith('"') and value.endswith('"') else value
    return value


def _named(blocks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {_plain(name): body for block in blocks for name, body in block.items()}


MODULE_BLOCKS = _read(*sorted(MODULE.glob("*.tf")))
VARIABLES = _named(MODULE_BLOCKS["variable"])


@pytest.mark.parametrize("name", ["variables.tf", "parameters.tf", "outputs.tf"])
def test_generated_files_are_up_to_date(name: str) -> None:
    assert (MODULE / name).read_text() == module_files(TEMPLATE)[name], "run make docs"


def test_each_parameter_is_a_variable_with_its_type_and_default() -> None:
    parameters = TEMPLATE["Parameters"]
    assert VARIABLES.keys() - OWN == {snake_case(name) for name in parameters}
    for name, parameter in parameters.items():
        variable = VARIABLES[snake_case(name)]
        default = variable["default"]
        if isinstance(default, list):
            assert parameter["Type"] == "CommaDelimitedList"
            assert ",".join(map(_plain, default)) == parameter["Default"]
        else:
            assert (_plain(variable["type"]) == "number") == (parameter["Type"] == "Number")
            assert str(_plain(default)) == str(parameter["Default"])
        assert _plain(variable["description"]) == " ".join(parameter["Description"].split())


def test_stack_gets_each_parameter() -> None:
    (given,) = [local["parameters"] for local in MODULE_BLOCKS["locals"]]
    assert {_plain(name) for name in given} == TEMPLATE["Parameters"].keys()
    for name, value in given.items():
        assert re.search(rf"\bvar\.{snake_case(_plain(name))}\b", value)


def test_each_output_of_the_stack_is_an_output_of_the_module() -> None:
    outputs = _named(MODULE_BLOCKS["output"])
    assert outputs.keys() == {snake_case(name) for name in TEMPLATE["Outputs"]}
    for name, output in TEMPLATE["Outputs"].items():
        value = outputs[snake_case(name)]["value"]
        assert name in value
        assert ("lookup(" in value) == ("Condition" in output)


def test_stack_has_the_capabilities_that_the_template_needs() -> None:
    (resource,) = MODULE_BLOCKS["resource"]
    stack = _named([_named([resource])["aws_cloudformation_stack"]])["this"]
    assert {_plain(one) for one in stack["capabilities"]} == {"CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"}
    # A role with a name of its own would need CAPABILITY_NAMED_IAM.
    roles = [one["Properties"] for one in TEMPLATE["Resources"].values() if one["Type"] == "AWS::IAM::Role"]
    assert roles
    assert not [role for role in roles if "RoleName" in role]


@pytest.mark.parametrize("file", sorted((MODULE / "examples").rglob("*.tf")), ids=lambda file: file.parent.name)
def test_examples_use_only_variables_and_outputs_that_exist(file: Path) -> None:
    text = file.read_text()
    (module,) = _named(_read(file)["module"]).values()
    assert module.keys() - {"source", "__is_block__"} <= VARIABLES.keys()
    used = set(re.findall(r"module\.imagelake\.(\w+)", text))
    assert used
    assert used <= _named(MODULE_BLOCKS["output"]).keys()


def test_page_names_only_variables_that_exist() -> None:
    (block,) = re.findall(
        r"module \"imagelake\" \{\n(.*?)\n   \}", (ROOT / "docs" / "terraform.md").read_text(), re.DOTALL
    )
    assert set(re.findall(r"^ +(\w+) +=", block, re.MULTILINE)) - {"source"} <= VARIABLES.keys()
