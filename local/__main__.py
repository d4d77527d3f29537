"""The command line of the local engine: ``python -m local demo``."""

from __future__ import annotations

import argparse
import re
import runpy
import signal
import sys
from collections.abc import Callable, Sequence
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
    _add_feed_options(command)
    command.add_argument(
        "--state", type=_folder, metavar="DIR", help="keep everything in DIR and continue from it next time"
    )
    command.add_argument("--keep", action="store_true", help="keep the engine running until Ctrl-C")
    command.add_argument(
        "--stream", action="store_true", help="put the sample feed on a Kinesis stream; its consumer starts the run"
    )
    command.add_argument(
        "--port", type=_number(65_535), metavar="N", help="port of the engine on 127.0.0.1 (default: a free one)"
    )
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


def _add_feed_options(command: argparse.ArgumentParser) -> None:
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
        type=_number(100_000),
        default=100,
        metavar="N",
        help="most posts to read per feed; the last page is finished (default: %(default)s)",
    )


def _folder(text: str) -> Path:
    """Read the name of a folder, which may be missing so far."""
    if Path(text).is_file():
        raise argparse.ArgumentTypeError("it is a file, not a folder")
    return Path(text)


def _number(most: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from 1 to ``most``."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"it has to be a whole number from 1 to {most}, not {text[:40]!r}")
        return int(text)

    return read


def _feed(text: str) -> str:
    """Check a feed as a run checks it, before anything is started."""
    if str(_LIBRARY.parent) not in sys.path:
        sys.path.append(str(_LIBRARY.parent))
    from imagelake.run.errors import BadFeedError
    from imagelake.run.masking import mask, mask_feed
    from imagelake.run.user_json import check_user_json, read_user_json
    from imagelake.sources import get_source, parse_feed

    try:
        config = read_user_json(text) if text.startswith("{") else text
        check_user_json({"feed": config})
        # As in a run, so that no password is shown.
        feed = parse_feed(mask_feed(config))
        network = get_source(feed.source)
        # A run splits a list of servers.
        if "," not in (feed.server or ""):
            network.request(feed, None, None)
    except BadFeedError as error:
        raise argparse.ArgumentTypeError(mask(str(error))) from None
    except ValueError as error:
        shown = ascii(mask(mask_feed(text)))[1:-1][:120]
        fault = "is not a JSON object; quote it for the shell" if "not JSON" in str(error) else f"is wrong: {error}"
        raise argparse.ArgumentTypeError(f"{shown} {fault}") from None
    return text


if __name__ == "__main__":
    sys.exit(main())
