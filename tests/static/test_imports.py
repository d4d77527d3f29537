"""The layers of pyproject.toml are kept, and every function has the Lambda layers that it needs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagelake.sources import SOURCES
from tests.support.asl import ROOT, TEMPLATE

FUNCTIONS = ROOT / "functions"
STEPS = {app.parent.name for app in FUNCTIONS.glob("*/app.py")}
ARROW = {"pandas", "pyarrow", "awswrangler"}
# What each layer brings that functions import.
LAYERS = {
    "ImagingLayer": {"numpy", "PIL", "cykooz_resizer", "deflate", "pyspng", "simplejpeg"},
    "PandasLayer": ARROW | {"numpy"},
}


def imported(source: str, package: str) -> Iterator[str]:
    """The full name of every module that ``source``, a module of ``package``, imports anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = ".".join(filter(None, [package if level else None, module]))
                yield base
                yield from (f"{base}.{alias.name}" for alias in names)


@pytest.mark.slow
def test_library_and_functions_import_no_tool_and_no_local_code() -> None:
    roots = {
        name.split(".")[0] for path in FUNCTIONS.rglob("*.py") for name in imported(path.read_text(), path.parent.name)
    }
    assert not roots & {"local", "tools", "tests", "benchmarks"}


def test_layers_are_kept_by_every_package() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(FUNCTIONS)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def reached(package: str) -> set[str]:
    """The roots of all that the app of ``package`` imports, directly or through modules of ours."""
    found, ahead = set[str](), {f"{package}.app"}
    while ahead:
        name = ahead.pop()
        found.add(name)
        path = FUNCTIONS / name.replace(".", "/")
        file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
        if file:
            names = {*imported(file.read_text(), name if file.stem == "__init__" else name.rpartition(".")[0])}
            if name == "imagelake.sources":
                # The registry imports the adapters by name.
                names |= {f"{name}.{network}" for network in SOURCES}
            ahead |= names - found
    return {name.split(".")[0] for name in found}


@pytest.mark.slow
@pytest.mark.parametrize("package", sorted(STEPS))
def test_function_has_the_layers_it_needs_and_no_other(package: str) -> None:
    functions = [resource["Properties"] for resource in TEMPLATE["Resources"].values()]
    (function,) = [one for one in functions if one.get("Handler") == f"{package}.app.handler"]
    needed = reached(package) & set().union(*LAYERS.values())
    brought = [LAYERS[layer["Ref"]] for layer in function.get("Layers", [])]
    assert needed <= set().union(*brought)
    assert all(needed & one for one in brought)


def test_adapters_are_imported_without_aws() -> None:
    script = "import sys\nsys.modules['boto3'] = sys.modules['botocore'] = None\nimport imagelake.sources"
    environment = os.environ | {"PYTHONPATH": str(FUNCTIONS)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


@pytest.mark.slow
def test_steps_start_without_arrow() -> None:
    apps = [f"{step}.app" for step in sorted(STEPS - {"write_parquet", "erase_rows", "unpack"})]
    script = (
        f"import importlib, sys\nfor app in {apps}: importlib.import_module(app)\nprint(*{ARROW} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=FUNCTIONS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
