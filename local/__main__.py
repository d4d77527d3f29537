"""The command line of the local engine: ``python -m local demo``."""

from __future__ import annotations

import argparse
import json
import runpy
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

try:
    from rich.console import Console

    from local.demo import Options, demo
    from local.deploy import DeployError
    from local.engine import EngineError
except ModuleNotFoundError as missing:
    sys.exit(f"error: {missing.name} is not installed; run: {sys.executable} -m pip install -r requirements/local.txt")

FOLDER = Path(".imagelake")
_LIBRARY = Path(__file__).parents[1] / "functions" / "imagelake"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parse(arguments)
    console = Console()
    # SIGTERM becomes an exception, so that every ``with`` block stops what it has started.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return demo(options, console)
    except (EngineError, DeployError) as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m local", description="Run Imagelake on this machine.")
    # The library is not on the path of this program.
    version = runpy.run_path(str(_LIBRARY / "__init__.py"))["__version__"]
    parser.add_argument("--version", action="version", version=f"Imagelake {version}")
    command = parser.add_subparsers(required=True).add_parser(
        "demo", help="deploy the stack to the local engine, run it once and show the result"
    )
    command.add_argument(
        "--feed",
        action="append",
        type=_feed,
        default=[],
        metavar="FEED",
        help="read a live feed in its short form, e.g. bluesky:ACCOUNT or mastodon:SERVER#TAG, or as a JSON object;"
        " repeatable (default: the sample feed)",
    )
    command.add_argument(
        "--limit",
        type=int,
        default=100,
        metavar="N",
        help="most posts to read per feed; the last page is finished (default: %(default)s)",
    )
    command.add_argument(
        "--state", type=Path, metavar="DIR", help="keep everything in DIR and continue from it next time"
    )
    command.add_argument("--keep", action="store_true", help="keep the engine running until Ctrl-C")
    command.add_argument(
        "--stream", action="store_true", help="put the sample feed on a Kinesis stream; its consumer starts the run"
    )
    command.add_argument("--port", type=int, metavar="N", help="port of the engine on 127.0.0.1 (default: a free one)")
    options = parser.parse_args(arguments)
    if options.stream and options.feed:
        parser.error("--stream works with the sample feed only; leave out --feed")
    return Options(
        folder=(options.state or FOLDER / f"{datetime.now(UTC):%Y%m%dT%H%M%S}").resolve(),
        feeds=tuple(options.feed),
        limit=options.limit,
        port=options.port,
        persistent=options.state is not None,
        keep_running=options.keep,
        stream=options.stream,
    )


def _feed(text: str) -> str:
    """Check a feed that is written as a JSON object."""
    if text.startswith("{"):
        try:
            json.loads(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text} is not a JSON object; quote it for the shell") from None
    return text


if __name__ == "__main__":
    sys.exit(main())
