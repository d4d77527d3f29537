"""``imagelake run``: read the new posts of feeds and add their images to the lake."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import datetime
from typing import Any

from imagelake.run.errors import RETRYABLE_CODES
from local.arguments import IMAGE_FIELDS, MAX_POSTS, add_image_options, add_lake, as_input, feed, number, open_lake
from local.lake import Lake
from local.output import Output, print_error
from local.runs import next_step, reason, show_result, start_run

HELP = "read the new posts of feeds and add their images to the lake"
EXAMPLES: tuple[str, ...] = (
    "imagelake run bluesky:nasa.gov --limit 50",
    "imagelake run https://mastodon.social/@Mastodon commons:Featured_pictures_of_cats --size 256",
    "imagelake run",
    "imagelake run --stack imagelake",
)
# Names of options, and those of the fields of the execution input that they set.
FIELDS = {
    "limit": "posts_per_feed",
    "batch_size": "batch_size",
} | IMAGE_FIELDS


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "feeds", nargs="*", type=feed, metavar="FEED",
        help="an account, a hashtag or a URL, such as bluesky:nasa.gov, or the URL of a profile (default: the feeds of"
        " the last run with a FEED; with --stack, those of the stack)",
    )  # fmt: skip
    add_lake(parser)
    parser.add_argument(
        "--limit", type=number(MAX_POSTS), metavar="N", help="most posts to read per feed (default: 1000)"
    )
    parser.add_argument(
        "--batch-size", type=number(1000), metavar="N", help="images in one Parquet file (default: 500)"
    )
    add_image_options(
        parser, {"size": "512", "resize_mode": "keep_ratio_largest", "quality": "85", "preset": "balanced"}
    )


def main(options: Namespace, output: Output) -> int:
    """Start a run and follow it to its end; returns 0 if it succeeded, else 1."""
    with open_lake(options, create=True) as lake:
        feeds = lake.prepare([as_input(feed) for feed in options.feeds])
        run_input: dict[str, Any] = {"feeds": feeds} if feeds else {}
        given = {field: getattr(options, name) for name, field in FIELDS.items()}
        run_input |= {field: value for field, value in given.items() if value is not None}
        result = start_run(lake, run_input, "run", output)
        return finish(lake, result, output)


def finish(lake: Lake, result: dict[str, Any], output: Output) -> int:
    """Show the result of a run and where its files are, also for programs, and return the exit code."""
    output.result(show(lake, result, output))
    return exit_code(lake, result)


def show(lake: Lake, result: dict[str, Any], output: Output) -> dict[str, Any]:
    """Show the result of a run and where its files are; return both for programs."""
    show_result(result, output)
    places = lake.save(result["run_id"], datetime.fromisoformat(result["started_at"]))
    for title, place in places.items():
        output.text(f"{title + ':':<9}{place}")
    if any(code in RETRYABLE_CODES for code in result["errors"]):
        output.text(f"To retry the failed images: ./imagelake retry {result['run_id']} {lake.options}")
    return result | {title.lower(): str(place) for title, place in places.items()}


def exit_code(lake: Lake, result: dict[str, Any]) -> int:
    """Return the exit code of a run; if it failed, say why and what to do."""
    if result["status"] == "SUCCEEDED":
        return 0
    print_error(f"the run {result['run_id']} failed: {reason(result)}; {next_step(result, lake)}")
    return 1
