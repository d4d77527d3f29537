"""The documentation of the command line matches its parser: commands, options, exit codes and every example."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser, _SubParsersAction
from pathlib import Path

import pytest

from check_input.run_input import RunInput
from local.__main__ import EXIT_CODES, parse, parser
from local.commands import COMMANDS
from local.commands.run import FIELDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMON = {"-h", "--help", "--lake", "--stack", "--json"}


def table(page: str, head: str) -> list[list[str]]:
    """The cells of the table that begins with ``head``."""
    rows = page.split(f"| {head} |\n")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def options(name: str) -> set[str]:
    """The options of a command."""
    (commands,) = [action for action in parser()._actions if isinstance(action, _SubParsersAction)]
    command: ArgumentParser = commands.choices[name]
    return {text for action in command._actions for text in action.option_strings}


def test_readme_lists_every_command() -> None:
    assert table(README, "command | what it does") == [
        [f"`{name}`", command.HELP] for name, command in COMMANDS.items()
    ]


def test_operations_lists_every_option() -> None:
    listed = {
        name.strip("`"): set(re.findall("`(.+?)`", cell))
        for name, cell in table(OPERATIONS, "command | options of its own")
    }
    assert listed == {name: options(name) - COMMON for name in COMMANDS}
    assert {name for name in COMMANDS if not options(name) >= COMMON} == {"demo"}


def test_options_of_run_set_fields_of_the_execution_input() -> None:
    listed = {option.strip("`"): field.strip("`") for option, field in table(OPERATIONS, "option | field")}
    assert listed == {f"--{name.replace('_', '-')}": field for name, field in FIELDS.items()}
    assert set(FIELDS.values()) <= RunInput.model_fields.keys()


def test_exit_codes_are_those_of_the_help() -> None:
    listed = re.findall(r"^ +(\d+) +(.+)$", EXIT_CODES, re.MULTILINE)
    assert table(OPERATIONS, "exit code | meaning") == [list(row) for row in listed]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_of_the_documentation_is_accepted(page: Path) -> None:
    for line in re.findall(r"^ *\./imagelake (.+)$", page.read_text(), re.MULTILINE):
        parse(shlex.split(line))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_the_help_is_accepted(name: str) -> None:
    assert COMMANDS[name].EXAMPLES
    for line in COMMANDS[name].EXAMPLES:
        assert parse(shlex.split(line)[1:]).command == name
