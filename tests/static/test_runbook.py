"""The operator's pages: the runbook has every alarm and error, and operations.md every parameter."""

from __future__ import annotations

import re

import pytest

from imagelake.run import prices
from imagelake.run.errors import ErrorCode, PermanentError, TransientError
from tests.support.asl import RESOURCES, ROOT, TEMPLATE, Json
from tools import costs

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
NAMES = set(re.findall(r"`(\w+)`", RUNBOOK))
ALARMS = [name for name, resource in RESOURCES.items() if resource["Type"] == "AWS::CloudWatch::Alarm"]
ERRORS = [error.__name__ for branch in (TransientError, PermanentError) for error in branch.__subclasses__()]


@pytest.mark.parametrize("name", [*ALARMS, *ERRORS, *(code.value for code in ErrorCode)])
def test_runbook_explains(name: str) -> None:
    assert name in NAMES


def test_runbook_names_no_missing_alarm() -> None:
    assert {name for name in NAMES if name.endswith("Alarm")} == set(ALARMS)


def test_docs_have_the_costs_of_the_model() -> None:
    assert costs.table() in (ROOT / "docs" / "costs.md").read_text()
    totals = [sum(costs.month(images).values()) for images in costs.SIZES]
    assert "About {:.0f}, {:.0f} and {:.0f} USD a month".format(*totals) in RUNBOOK


def test_cost_model_matches_the_template() -> None:
    memory = {name: RESOURCES[f"{name}Function"]["Properties"]["MemorySize"] for name in ("Transform", "WriteParquet")}
    assert memory == {"Transform": prices.TRANSFORM_MB, "WriteParquet": prices.WRITE_PARQUET_MB}
    assert TEMPLATE["Globals"]["Function"]["Architectures"] == [prices.ARCHITECTURE]
    assert sum("Condition" not in RESOURCES[name] for name in ALARMS) == prices.ALARMS


def test_operations_list_every_parameter_with_its_default_and_its_values() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `([A-Z]\w+)` \| (.+?) \|(.*?)\| \S.+ \|$", operations, re.MULTILINE)
    shown = [(name, default.strip("`"), values.replace("`", "").strip()) for name, default, values in rows]
    expected = [(name, str(one["Default"]) or "empty", values_of(one)) for name, one in TEMPLATE["Parameters"].items()]
    assert shown == expected


def values_of(parameter: Json) -> str:
    """Write the values that a parameter may have; empty if there are too many to say."""
    if "MinValue" in parameter:
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    return ", ".join(str(value) for value in parameter.get("AllowedValues", []))


BLOCKS = re.findall(r"^ *```bash\n(.*?)^ *```$", RUNBOOK, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_runbook_is_in_a_block_that_a_test_runs() -> None:
    """A command inside a sentence is not complete: nobody can paste it."""
    outside = re.sub(r"^ *```bash\n.*?^ *```$", "", RUNBOOK, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"`aws [^`]+`", outside) == []
    assert re.findall(r"\b(?:ARN|NAME|BUCKET|KEY)\b", outside) == []
    assert BLOCKS


def test_parameters_that_the_runbook_sets_exist() -> None:
    names = {
        name
        for block in BLOCKS
        for line in block.splitlines()
        if "sam deploy" in line
        for name in re.findall(r" ([A-Z]\w+)=", line)
    }
    assert names
    assert names <= TEMPLATE["Parameters"].keys()
