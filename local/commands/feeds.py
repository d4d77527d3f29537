"""``imagelake feeds check``: what a feed is, if its network answers, what it costs, and how far back it reaches."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from local.arguments import add_lake
from local.output import Output

HELP = "check feeds: the form, the network's answer, cost, and how far back a run can read"
EXAMPLES: tuple[str, ...] = (
    "imagelake feeds check bluesky:nasa.gov @Mastodon@mastodon.social",
    "imagelake feeds check instagram.com/nasa --stack imagelake",
    "imagelake feeds check x:NASA --offline",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("action", choices=("check",), help="the only action so far")
    parser.add_argument("feeds", nargs="+", metavar="FEED", help="a feed, in any form that imagelake run takes")
    add_lake(parser)
    parser.add_argument("--offline", action="store_true", help="ask no network")


def main(options: Namespace, output: Output) -> int:
    """Check each feed; returns 0 if all are right, else 1."""
    # The library of the functions takes a second to import, and no other command needs all of it.
    from local.feed_check import check

    results = []
    for text in options.feeds:
        for result in check(text, offline=options.offline, stack=options.stack):
            results.append(result)
            for name, value in result.items():
                output.text(f"{name + ':':<14}{value}")
            output.text()
    output.result(results)
    return 0 if all(result["result"].startswith(("found", "not asked")) for result in results) else 1
