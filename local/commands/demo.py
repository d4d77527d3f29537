"""``imagelake demo``: the whole pipeline over the sample feed, in a new lake."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime

from local.arguments import DATASETS, MAX_POSTS, feed, folder, number
from local.output import Output

HELP = "run the whole pipeline over a sample feed, in a new lake, and show the result"
EXAMPLES: tuple[str, ...] = ("imagelake demo", "imagelake demo --feed bluesky:nasa.gov --limit 50")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--feed", action="append", type=feed, default=[], metavar="FEED",
        help="read a live feed, e.g. bluesky:ACCOUNT or the URL of a profile; repeatable (default: the sample feed)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=number(MAX_POSTS), default=100, metavar="N",
        help="most posts to read per feed; the last page is finished (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--state", type=folder, metavar="DIR", help="keep everything in DIR and continue from it next time"
    )
    parser.add_argument("--keep", action="store_true", help="keep the engine running until Ctrl-C")
    parser.add_argument(
        "--stream", action="store_true", help="put the sample feed on a Kinesis stream; its consumer starts the run"
    )
    parser.add_argument(
        "--port", type=number(65_535), metavar="N", help="port of the engine on 127.0.0.1 (default: a free one)"
    )


def main(options: Namespace, output: Output) -> int:
    """Run the demo; returns 0 if its execution succeeded, else 1."""
    from local.demo import Options, demo

    return demo(
        Options(
            folder=(options.state or DATASETS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}").resolve(),
            feeds=tuple(options.feed),
            limit=options.limit,
            port=options.port,
            persistent=options.state is not None,
            keep_running=options.keep,
            stream=options.stream,
        ),
        output.console,
    )
