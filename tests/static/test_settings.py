"""Settings, template and README agree: every variable is set and read, and every default exists once."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from typing import Any

import pytest

from check_input.run_input import RunInput
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.settings import Settings
from tests.support.asl import RESOURCES, ROOT, TEMPLATE, Json

# Variables that Powertools, the C library or NumPy's BLAS read; our code does not.
PLATFORM = re.compile(r"POWERTOOLS_\w+|MALLOC_\w+|OPENBLAS_NUM_THREADS")
PACKAGES = sorted(app.parent.name for app in (ROOT / "functions").glob("*/app.py"))
# Input fields with a default from the template, by parameter.
PARAMETERS = {
    "batch_size": "BatchSize",
    "posts_per_feed": "PostsPerFeed",
    "failure_tolerance_percent": "FailureTolerancePercent",
}
# Input fields that only a schedule sends.
OF_SCHEDULES = {"scheduled_time", "time_zone"}


def settings_of(package: str) -> type[Settings]:
    classes = inspect.getmembers(importlib.import_module(f"{package}.settings"), inspect.isclass)
    (settings,) = (kind for _, kind in classes if issubclass(kind, Settings) and kind is not Settings)
    return settings


def declared(package: str) -> set[str]:
    """The variables that a function's settings read."""
    return {name.upper() for name in settings_of(package).model_fields}


def set_by_template(package: str) -> set[str]:
    """The variables that the template sets for a function."""
    handler = f"{package}.app.handler"
    (function,) = (r["Properties"] for r in RESOURCES.values() if r["Properties"].get("Handler") == handler)
    return {*TEMPLATE["Globals"]["Function"]["Environment"]["Variables"], *function["Environment"]["Variables"]}


@pytest.mark.parametrize("package", PACKAGES)
def test_function_is_given_exactly_the_variables_that_it_reads(package: str) -> None:
    assert {name for name in set_by_template(package) if not PLATFORM.fullmatch(name)} == declared(package)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_setting_has_a_default_beside_the_one_of_the_template(package: str) -> None:
    assert all(field.is_required() for field in settings_of(package).model_fields.values())


def test_only_settings_read_the_environment() -> None:
    readers = {
        path.relative_to(ROOT / "functions").as_posix()
        for path in (ROOT / "functions").rglob("*.py")
        if re.search(r"os\.(environ|getenv)", path.read_text())
    }
    # Powertools' own variable is needed before the first call.
    assert readers == {"imagelake/run/settings.py", "imagelake/run/observability.py"}


# ---- The execution input ---------------------------------------------------------------------------------------------


def documented() -> dict[str, str]:
    """The default of each input field, as the README says it."""
    table = (ROOT / "README.md").read_text().split("| field | meaning | default |")[1].split("\n\n")[0]
    return dict(re.findall(r"^\| `(\w+)` \|.*\| (.+) \|$", table, re.MULTILINE))


def test_readme_lists_every_field_of_the_input() -> None:
    assert documented().keys() == RunInput.model_fields.keys() - OF_SCHEDULES


@pytest.mark.parametrize("field", PARAMETERS)
def test_readme_says_the_default_of_the_template(field: str) -> None:
    assert documented()[field].split(",")[0] == str(parameter_of(field)["Default"])


@pytest.mark.parametrize("field", ["schedule", "retry", *ImageOptions.model_fields])
def test_readme_says_the_default_of_the_input(field: str) -> None:
    default = RunInput.model_fields[field].default
    text = default if isinstance(default, str) else json.dumps(default).removesuffix(".0")
    assert documented()[field] == (f"`{text}`" if isinstance(default, (str, bool)) else text)


@pytest.mark.parametrize(
    "field", ["image_size", "encode_quality", "min_image_size", "max_image_area", "max_aspect_ratio"]
)
def test_readme_says_the_bounds_of_the_input(field: str) -> None:
    schema = RunInput.model_json_schema()["properties"][field]
    bounds = schema.get("anyOf", [schema])[0]
    (row,) = re.findall(rf"^\| `{field}` \| (.+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert re.findall(r"([\d,]+) to ([\d,]+)", row) == [(f"{bounds['minimum']:,}", f"{bounds['maximum']:,}")]


@pytest.mark.parametrize("field", PARAMETERS)
def test_parameter_has_the_bounds_of_the_input_field(field: str) -> None:
    bounds: dict[str, Any] = RunInput.model_json_schema()["properties"][field]["anyOf"][0]
    least = bounds.get("minimum", bounds.get("exclusiveMinimum", -1) + 1)
    assert (least, bounds["maximum"]) == (parameter_of(field)["MinValue"], parameter_of(field)["MaxValue"])


def parameter_of(field: str) -> Json:
    parameter = TEMPLATE["Parameters"][PARAMETERS[field]]
    assert isinstance(parameter, dict)
    return parameter
