"""Who may import whom: steps know no other step, the shared parts know no step, and Arrow loads in one place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.package import read_template
from tests.static.asl import ROOT

FUNCTIONS = ROOT / "functions"
TEMPLATE = read_template(ROOT / "template.yaml")
STEPS = {app.parent.name for app in FUNCTIONS.glob("*/app.py")}
MODULES = sorted(FUNCTIONS.rglob("*.py"))
ARROW = {"pandas", "pyarrow", "awswrangler"}
# What each layer brings that functions import.
LAYERS = {"ImagingLayer": {"numpy", "PIL", "cykooz_resizer", "deflate", "pyspng"}, "PandasLayer": ARROW | {"numpy"}}


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


def breaches(source: str, path: str) -> list[str]:
    """What ``source`` imports and may not, if it were the file ``path`` below ``functions``."""
    package = path.split("/")[0]
    found = []
    for name in imported(source, package):
        root = name.split(".")[0]
        if root == "local" or (root in STEPS and root != package):
            found.append(f"{path} imports {name}")
        if root in ARROW and package != "write_parquet":
            found.append(f"{path} imports {name}, which is for write_parquet only")
        if package == "imaging":
            allowed = root in LAYERS["ImagingLayer"] | {"imaging"} or root in sys.stdlib_module_names
            if not allowed and name != "shared" and not name.startswith("imagelake.run.errors"):
                found.append(f"{path} imports {name}; imaging knows its layer and imagelake.run.errors")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(FUNCTIONS).as_posix())
def test_module_imports_only_what_it_may(module: Path) -> None:
    assert breaches(module.read_text(), module.relative_to(FUNCTIONS).as_posix()) == []


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("from transform.download import Downloader", "fetch/app.py"),
        ("import report.page", "shared/storage.py"),
        ("def later():\n    from validate import planner", "sources/bluesky.py"),
        ("from local import engine", "shared/settings.py"),
        ("import pandas as pd", "transform/pictures.py"),
        ("from imagelake.lake.bucket import Bucket", "imaging/decode.py"),
        ("from shared import keys", "imaging/decode.py"),
        ("import boto3", "imaging/decode.py"),
    ],
)
def test_import_is_refused_when_it_crosses_a_boundary(source: str, path: str) -> None:
    assert breaches(source, path) != []


def reached(package: str) -> set[str]:
    """The roots of all that the app of ``package`` imports, directly or through modules of ours."""
    found, ahead = set[str](), {f"{package}.app"}
    while ahead:
        name = ahead.pop()
        found.add(name)
        path = FUNCTIONS / name.replace(".", "/")
        file = next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)
        if file:
            ahead |= {*imported(file.read_text(), name if file.stem == "__init__" else name.rpartition(".")[0])} - found
    return {name.split(".")[0] for name in found}


@pytest.mark.parametrize("package", sorted(STEPS))
def test_function_has_the_layers_it_needs_and_no_other(package: str) -> None:
    functions = [resource["Properties"] for resource in TEMPLATE["Resources"].values()]
    (function,) = [one for one in functions if one.get("Handler") == f"{package}.app.handler"]
    needed = reached(package) & set().union(*LAYERS.values())
    brought = [LAYERS[layer["Ref"]] for layer in function.get("Layers", [])]
    assert needed <= set().union(*brought)
    assert all(needed & one for one in brought)


def test_steps_start_without_arrow() -> None:
    apps = [f"{step}.app" for step in sorted(STEPS - {"write_parquet"})]
    script = (
        f"import importlib, sys\nfor app in {apps}: importlib.import_module(app)\nprint(*{ARROW} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=FUNCTIONS, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "", "")
