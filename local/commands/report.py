"""``imagelake report``: the page about a run."""

from __future__ import annotations

import sys
import webbrowser
from argparse import ArgumentParser, Namespace

from local.arguments import add_lake, open_lake
from local.output import Output
from local.runs import find_run

HELP = "open the page about a run, and print where it is"
EXAMPLES: tuple[str, ...] = ("imagelake report", "imagelake report run-20261128T053000 --stack imagelake --no-browser")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("run_id", nargs="?", metavar="RUN", help="the run (default: the newest with a report)")
    add_lake(parser)
    parser.add_argument("--no-browser", action="store_true", help="only print the path of the page")


def main(options: Namespace, output: Output) -> int:
    """Copy the page to this machine, print its path and open it."""
    with open_lake(options) as lake:
        run_id = find_run(lake, options.run_id)
        lake.copy(f"reports/{run_id}/")
        lake.copy("reports/index.html")
        page = lake.folder / "reports" / run_id / "index.html"
    output.text(str(page))
    output.result({"run_id": run_id, "page": str(page)})
    # Only where a person is looking: a program that called this command has no use for a window.
    if not options.no_browser and not output.as_json and sys.stdout.isatty():
        webbrowser.open(page.as_uri())
    return 0
