"""The command line: ``./imagelake COMMAND``, or ``python -m local COMMAND``."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import signal
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

FUNCTIONS = Path(__file__).resolve().parents[1] / "functions"
# The library of the functions is not installed.
if str(FUNCTIONS) not in sys.path:
    sys.path.append(str(FUNCTIONS))

try:
    from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

    from local.arguments import DATASETS
    from local.commands import COMMANDS, erase
    from local.errors import CommandError
    from local.output import Output, print_error
except ModuleNotFoundError as missing:
    sys.exit(f"error: {missing.name} is not installed; run: {sys.executable} -m pip install -r requirements/local.txt")

EXIT_CODES = """\
exit codes:
  0    done; also if images failed and the run succeeded with a warning
  1    not done, or the run failed; one sentence on standard error gives the reason
  2    the command line is wrong
  130  stopped by Ctrl-C"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code; no error ends in a traceback."""
    options = parse(arguments)
    # boto3 reads only the second variable; if both are set, the AWS CLI prefers the first.
    # https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html
    if region := os.environ.get("AWS_REGION"):
        os.environ["AWS_DEFAULT_REGION"] = region
    # These signals become an exception, so that every ``with`` block stops what it has started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return COMMANDS[options.command].main(options, Output(as_json=getattr(options, "json", False)))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has ended, such as head. Python would complain when it closes the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        print_error(_sentence(error))
        return 1


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one sentence; the whole usage would hide it."""
        self.exit(2, f"{self.prog}: error: {message} (see ./{self.prog} --help)\n")

    def command(self, name: str) -> ArgumentParser:
        """Return the parser of a command."""
        (commands,) = [action for action in self._actions if isinstance(action, argparse._SubParsersAction)]
        parser: ArgumentParser = commands.choices[name]
        return parser


def _refuse_unknown_options(command: ArgumentParser, words: Sequence[str]) -> None:
    """Name the option that was meant; argparse would first complain about the value after an unknown option."""
    known = command._option_string_actions
    for name in takewhile(lambda word: word != "--", words):
        name = name.partition("=")[0]
        if re.fullmatch("--?[a-z][a-z-]*", name) and not any(option.startswith(name) for option in known):
            close = get_close_matches(name, known, 1)
            command.error(f"there is no option {name}" + (f"; did you mean {close[0]}?" if close else ""))


def parser() -> _Parser:
    """Make the parser of the command line."""
    top = _Parser(
        prog="imagelake",
        description="Read image posts into a lake on this machine, or into that of a deployed stack.",
        epilog=_examples([COMMANDS[name].EXAMPLES[0] for name in COMMANDS]) + "\n\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = runpy.run_path(str(FUNCTIONS / "imagelake" / "__init__.py"))["__version__"]
    top.add_argument("--version", action="version", version=f"Imagelake {version}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.add_arguments(
            commands.add_parser(
                name,
                help=command.HELP,
                description=f"{command.HELP[0].upper()}{command.HELP[1:]}.",
                epilog=_examples(command.EXAMPLES),
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    return top


def parse(arguments: Sequence[str] | None) -> Namespace:
    """Read the command line; an error ends the program with the exit code 2."""
    top = parser()
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in COMMANDS:
        _refuse_unknown_options(top.command(words[0]), words)
    options, rest = top.parse_known_args(words)
    if rest:
        top.command(options.command).error(f"unrecognized arguments: {' '.join(rest)}")
    if options.command == "demo" and options.stream and options.feed:
        top.error("--stream works with the sample feed only; leave out --feed")
    if options.command == "erase" and (fault := erase.fault(options)):
        top.command("erase").error(fault)
    return options


def _examples(lines: Sequence[str]) -> str:
    return "\n  ".join(["examples:", *(f"./{line}" for line in lines)])


def _sentence(error: Exception) -> str:
    """Say in one sentence what went wrong; the details of an error that nobody expected are written to a file."""
    match error:
        case CommandError():
            return str(error)
        case ClientError():
            answer = error.response["Error"]
            return f"AWS refused {error.operation_name}: {answer.get('Code')}: {answer.get('Message')}"
        case NoRegionError():
            return "no region is set; set AWS_REGION or AWS_DEFAULT_REGION, such as AWS_REGION=eu-central-1"
        case BotoCoreError():
            return f"AWS cannot be asked: {error}"
        case OSError() if error.strerror:
            return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    try:
        DATASETS.mkdir(exist_ok=True)
        (DATASETS / "error.log").write_text(traceback.format_exc())
        details = f"; the details are in {DATASETS / 'error.log'}"
    except OSError:
        details = ""
    return f"this is a fault of Imagelake: {type(error).__name__}: {error}{details}"


if __name__ == "__main__":
    sys.exit(main())
