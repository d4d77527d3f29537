"""``imagelake plan``: what a run would read and cost, without fetching a post."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from local.arguments import MAX_POSTS, add_lake, as_input, feed, number, open_lake
from local.output import Output, print_error
from local.runs import start_run

HELP = "estimate what a run would read and cost; no post is fetched"
EXAMPLES: tuple[str, ...] = (
    "imagelake plan bluesky:nasa.gov --limit 500",
    "imagelake plan x:NASA --stack imagelake",
    "imagelake plan --stack imagelake",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "feeds", nargs="*", type=feed, metavar="FEED",
        help="as in imagelake run (default: the feeds of the last run with a FEED; with --stack, those of the stack)",
    )  # fmt: skip
    add_lake(parser)
    parser.add_argument(
        "--limit", type=number(MAX_POSTS), metavar="N", help="most posts to read per feed (default: 1000)"
    )


def main(options: Namespace, output: Output) -> int:
    """Start the run that plans, and show its estimates; returns 0 if every feed can be read, else 1."""
    with open_lake(options, create=True) as lake:
        feeds = lake.prepare([as_input(feed) for feed in options.feeds], remember=False)
        run_input: dict[str, Any] = {"plan": True} | ({"feeds": feeds} if feeds else {})
        if options.limit is not None:
            run_input["posts_per_feed"] = options.limit
        result = start_run(lake, run_input, "plan", output)
        body = lake.read(f"reports/{result['run_id']}/plan.json")
        if body is None:
            print_error(f"the plan {result['run_id']} failed: {result.get('error') or result['status']}")
            return 1
        plan = json.loads(body)
        for one in plan["feeds"]:
            _show(one, output)
        totals = plan["totals"]
        output.text(
            f"In all: {_numbers(totals)}; {totals['network_usd']:.2f} USD to the networks and {totals['aws_usd']:.4f}"
            " USD to AWS"
        )
        if plan["asked_usd"]:
            output.text(f"The questions to the networks cost {plan['asked_usd']:.3f} USD")
        output.result({"run_id": result["run_id"], "status": result["status"]} | plan)
        return 0 if all(one["problem"] is None for one in plan["feeds"]) else 1


def _show(one: dict[str, Any], output: Output) -> None:
    found = one["estimate"]
    if found is None:
        # Most messages begin with the feed.
        message = one["problem"]["message"].removeprefix(f"{one['feed']}: ")
        print_error(f"{one['feed']}: {one['problem']['error']}: {message}")
        return
    output.text(f"{one['feed']}: {_numbers(found)}, {found['network_usd']:.2f} USD to the network ({found['basis']})")


def _numbers(found: dict[str, Any]) -> str:
    numbers = {"new posts": found["posts"], "images": found["images"], "pages": found["pages"]}
    if found["known_posts"]:
        numbers["known posts"] = found["known_posts"]
    texts = [f"{number:,} {name.removesuffix('s') if number == 1 else name}" for name, number in numbers.items()]
    return f"{', '.join(texts)}, {found['minutes']:g} minutes"
