"""CONTRIBUTING, editor settings, workflow, dependabot and changelog agree with the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagelake import __version__
from tests.support.asl import ROOT, TEMPLATE

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CI_RUN = "\n".join(re.findall(r"^make .+$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE))
CI = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
LOCKS = [lock for folder in ("functions", "layers", "requirements") for lock in (ROOT / folder).rglob("*.txt")]


def load(path: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ROOT / path).read_text())
    return content


def make_targets(text: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z][a-z-]*)", text))


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md", ".github/pull_request_template.md"])
def test_page_names_only_make_targets_that_exist(page: str) -> None:
    code = re.findall(r"`(make [^`]+)`|^(make .+)$", (ROOT / page).read_text(), re.MULTILINE)
    named = make_targets("\n".join(inline or line for inline, line in code))
    assert named
    assert named <= TARGETS


@pytest.mark.slow
def test_contributing_lists_every_kind_of_test() -> None:
    listed = re.findall(r"^\| `tests/(\w+)` \|.*\|.*\| `make ([a-z-]+)` \|$", CONTRIBUTING, re.MULTILINE)
    folders = {file.relative_to(ROOT / "tests").parts[0] for file in (ROOT / "tests").glob("*/**/*.py")}
    assert {folder for folder, _ in listed} == folders - {"support"}


def test_tasks_of_the_editor_are_make_targets() -> None:
    tasks = load(".vscode/tasks.json")["tasks"]
    assert {task["command"] for task in tasks} == {"make"}
    assert {target for task in tasks for target in task["args"]} <= TARGETS
    assert [task["label"] for task in tasks] == [f"make {task['args'][0]}" for task in tasks]


def test_debugger_offers_every_function_with_its_example_event() -> None:
    launch = load(".vscode/launch.json")
    (choice,) = launch["inputs"]
    assert all((ROOT / "tests" / "events" / f"{name}.json").is_file() for name in choice["options"])
    assert choice["options"] == sorted(app.parent.name for app in (ROOT / "functions").glob("*/app.py"))
    assert choice["default"] in choice["options"]
    (debug, _) = launch["configurations"]
    assert debug["args"] == [f"${{input:{choice['id']}}}"]
    assert (ROOT / debug["module"].replace(".", "/")).with_suffix(".py").is_file()


def test_dev_container_has_the_recommended_extensions() -> None:
    container = load(".devcontainer/devcontainer.json")["customizations"]["vscode"]["extensions"]
    assert container == load(".vscode/extensions.json")["recommendations"]


def test_workflow_runs_the_same_checks_as_ci_run() -> None:
    (checks,) = [job for job in CI["jobs"].values() if {"run": "bash .ci/run"} in job["steps"]]
    lambdas = TEMPLATE["Globals"]["Function"]["Runtime"].removeprefix("python")
    (oldest,) = re.findall(r"Imagelake needs Python ([\d.]+)", (ROOT / "local" / "environment.py").read_text())
    assert checks["strategy"]["matrix"]["python"] == [oldest, lambdas]
    steps = [step["run"] for job in CI["jobs"].values() for step in job["steps"] if "run" in step]
    assert all(step == "bash .ci/run" or re.fullmatch(r"make [a-z-]+", step) for step in steps)
    # A check that is in both would have two definitions.
    assert not make_targets("\n".join(steps)) & make_targets(CI_RUN)
    assert make_targets(CI_RUN) <= TARGETS


def test_pre_commit_runs_tools_of_make_check_and_downloads_nothing() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    recipe = MAKEFILE.split("\ncheck: ")[1].split("\n\n")[0]
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        (command,) = re.findall(r"\.venv/bin/(\S+(?: format| check)?)", hook["entry"])
        assert f"$(BIN)/{command}" in recipe, hook["id"]


def test_dependabot_updates_every_lock_and_the_actions() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text())["updates"]
    folders = {update["package-ecosystem"]: set(update.get("directories", [])) for update in updates}
    assert folders == {
        "uv": {f"/{lock.parent.relative_to(ROOT).as_posix()}" for lock in LOCKS},
        "github-actions": set(),
    }


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_header_of_a_lock_has_the_options_that_dependabot_needs(lock: Path) -> None:
    header = lock.read_text().splitlines()[1].removeprefix("#    ")
    (command,) = re.findall(r"--custom-compile-command '(.+)'", MAKEFILE)
    assert header == command
    options = command.partition(" with ")[2]
    assert options.startswith("--universal --python-version ")
    assert f"uv pip compile {options} " in MAKEFILE


def test_newest_release_of_the_changelog_is_this_version() -> None:
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sections[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", sections[1])


def test_version_is_defined_in_one_place() -> None:
    sources = [file for folder in ("functions", "local", "tools") for file in (ROOT / folder).rglob("*.py")]
    assert [file.parent.name for file in sources if f'"{__version__}"' in file.read_text()] == ["imagelake"]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_issue_form_asks_for_what_it_needs(form: Path) -> None:
    content = yaml.safe_load(form.read_text())
    assert content.keys() >= {"name", "description", "labels", "body"}
    ids = [field["id"] for field in content["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    assert any(field.get("validations", {}).get("required") for field in content["body"])


# ---- The example in "How to add a network" ---------------------------------------------------------------------------


REGISTRY = "functions/imagelake/sources/__init__.py"


def blocks() -> dict[str, str]:
    """The files of the example, by path."""
    return dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", CONTRIBUTING, re.MULTILINE | re.DOTALL))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The library with the example network, as somebody has it who followed the steps."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "functions" / "imagelake", tmp_path / "functions" / "imagelake", ignore=ignored)
    shutil.copytree(ROOT / "tests" / "support", tmp_path / "tests" / "support", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, text in blocks().items():
        file = tmp_path / path
        if path == REGISTRY:
            (line,) = re.findall(r"^\+(.+\n)", text, re.MULTILINE)
            # Somebody may have added the example to the project.
            registry = file.read_text().replace(line, "")
            file.write_text(re.sub(r"(?<=^_NETWORKS = \(\n)", line, registry, count=1, flags=re.MULTILINE))
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return tmp_path


def test_example_network_is_three_files() -> None:
    name = "flickr"
    assert [*blocks()] == [f"functions/imagelake/sources/{name}.py", f"tests/unit/sources/test_{name}.py", REGISTRY]


@pytest.mark.slow
def test_example_network_passes_its_tests_and_the_linter(project: Path) -> None:
    written = [path for path in blocks() if path != REGISTRY]
    (test,) = [path for path in written if path.startswith("tests/")]
    commands = [
        ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", test],
        ["ruff", "check", "--no-cache", *written],
        ["ruff", "format", "--no-cache", "--check", *written],
    ]
    for tool, *arguments in commands:
        executable = Path(sys.executable).with_name(tool)
        done = subprocess.run(
            [executable, *arguments], cwd=project, env=os.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
