"""The commands: each module adds its arguments to a parser, and runs with them."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Protocol

from local.commands import backfill, demo, erase, feeds, logs, plan, query, rebuild, report, retry, run, status
from local.output import Output


class Command(Protocol):
    """A module with one command. ``HELP`` is one line; ``EXAMPLES`` are lines that work as they are."""

    HELP: str
    EXAMPLES: tuple[str, ...]

    def add_arguments(self, parser: ArgumentParser, /) -> None:
        """Add the arguments of the command."""

    def main(self, options: Namespace, output: Output, /) -> int:
        """Run the command and return its exit code."""
        raise NotImplementedError


COMMANDS: dict[str, Command] = {
    "demo": demo,
    "run": run,
    "plan": plan,
    "backfill": backfill,
    "feeds": feeds,
    "status": status,
    "query": query,
    "report": report,
    "retry": retry,
    "erase": erase,
    "rebuild": rebuild,
    "logs": logs,
}
