"""``imagelake backfill``: read posts that are older than those of the runs so far."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import date
from typing import Any

from local.arguments import MAX_POSTS, add_lake, as_input, feed, number, open_lake
from local.commands.run import exit_code, show
from local.lake import Lake
from local.output import Output
from local.runs import start_run

HELP = "read older posts of feeds, back to a day; new posts are left to runs"
EXAMPLES: tuple[str, ...] = (
    "imagelake backfill bluesky:nasa.gov --since 2025-01-01",
    """imagelake backfill '{"source": "x", "account": "NASA", "budget_usd_per_day": 2}' --since 2026-11-25"""
    " --runs 1 --stack imagelake",
)
# A network whose listing never ends must not keep the command running for ever.
MAX_RUNS = 100
# Another run at once would stop at the same limit.
_NOT_NOW = {
    "budget": "a budget is used up",
    "cost": "its cost cap is reached",
    "rate_limit": "a rate limit lasts too long",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("feeds", nargs="+", type=feed, metavar="FEED", help="as in imagelake run")
    add_lake(parser)
    parser.add_argument("--since", type=_day, metavar="DAY", required=True, help="the first day, such as 2025-01-01")
    parser.add_argument(
        "--limit", type=number(MAX_POSTS), metavar="N", help="most posts of a feed in each run (default: 1000)"
    )
    parser.add_argument(
        "--runs", type=number(MAX_RUNS), default=MAX_RUNS, metavar="N", help=f"most runs (default: {MAX_RUNS})"
    )


def main(options: Namespace, output: Output) -> int:
    """Start runs one after the other until the backfill is done; returns 0 if the last one succeeded, else 1."""
    with open_lake(options, create=True) as lake:
        feeds = lake.prepare([as_input(text) for text in options.feeds], remember=False)
        configs = [_config(feed, options.since) for feed in feeds]
        runs: list[dict[str, Any]] = []
        code = 0
        while configs and code == 0 and len(runs) < options.runs:
            run_input = {"feeds": configs} | ({"posts_per_feed": options.limit} if options.limit else {})
            result = start_run(lake, run_input, "backfill", output)
            runs.append(show(lake, result, output) | {"backfills": _backfills(lake, result["run_id"])})
            code = exit_code(lake, result)
            configs = [one["config"] for one in runs[-1]["backfills"] if _show(one, output)]
        if configs:
            output.text("The backfill is not done; the same command continues it")
        output.result(runs)
        return code


def _config(feed: Any, since: str) -> dict[str, Any]:
    # The library of the functions takes a second to import.
    from imagelake.sources import parse_feed

    return parse_feed(feed).model_dump(exclude_none=True) | {"since": since}


def _backfills(lake: Lake, run_id: str) -> list[dict[str, Any]]:
    """Read the progress of each feed's backfill from the report of a run."""
    report = json.loads(lake.read(f"reports/{run_id}/run.json") or b'{"feeds": []}')
    return [
        {
            "feed": one["name"],
            "config": one["config"],
            "posts": one["plan"]["posts"],
            "new_posts": one["plan"]["new_posts"],
            "oldest_at": one["plan"]["oldest_at"],
            "reached_to": one["plan"]["backfill_position"]["reached_to"],
            "stopped_by": one["plan"]["stopped_by"],
            "done": one["plan"]["stopped_by"] is None,
            "warnings": one["plan"]["warnings"],
        }
        for one in report["feeds"]
        if one["plan"] is not None
    ]


def _show(one: dict[str, Any], output: Output) -> bool:
    """Show the progress of a backfill; return true if another run can continue it at once."""
    oldest, stop = one["oldest_at"][:10], one["stopped_by"]
    text = f"{one['feed']}: no posts read"
    if one["posts"]:
        text = f"{one['feed']}: {one['posts']:,} posts read, {one['new_posts'] or 'none'} of them with a new image"
    text += f", back to {oldest}" if oldest else ""
    goes_on = not one["done"] and stop not in _NOT_NOW and one["posts"] > 0
    if goes_on:
        output.text(f"{text}; it goes on")
    elif one["done"]:
        output.text(f"{text}; the backfill is done")
    else:
        output.text(f"{text}; stopped because {_NOT_NOW.get(stop, 'no post came')}: the same command continues it")
    for warning in one["warnings"]:
        output.text(f"Warning: {warning}")
    return goes_on


def _day(text: str) -> str:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and text >= "1970":
            return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    raise ArgumentTypeError(f"it has to be a day such as 2025-01-31, in 1970 at the earliest, not {text[:40]!r}")
