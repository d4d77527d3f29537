"""``imagelake rebuild``: make rows of the lake again from raw images, without any download."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any, get_args

from imagelake.run.errors import BadInputError
from imagelake.run.image_options import TensorChange
from imagelake.run.rebuild_models import RebuildRequest
from local.arguments import IMAGE_FIELDS, add_image_options, add_lake, error_code, network, number, open_lake
from local.errors import CommandError
from local.follow import failure_message, follow
from local.lake import Lake
from local.output import Output, print_error
from local.runs import start_execution

HELP = "make rows again from raw images, with other options or a newer version of the code"
EXAMPLES: tuple[str, ...] = (
    "imagelake rebuild --dry-run",
    "imagelake rebuild --size 256 --tensor uint8",
    "imagelake rebuild --network bluesky --from-day 2026-11-01 --stack imagelake",
)
# Names of options, and those of the fields of the request that they set.
_FIELDS = IMAGE_FIELDS | {
    "min_size": "min_image_size",
    "max_area": "max_image_area",
    "max_ratio": "max_aspect_ratio",
    "network": "networks",
    "feed": "feeds",
    "from_day": "from_day",
    "to_day": "to_day",
    "version_below": "transform_version_below",
    "code": "error_codes",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_lake(parser)
    parser.add_argument("--dry-run", action="store_true", help="change nothing, and print counts, price and time")
    parser.add_argument(
        "--network", action="append", type=network, metavar="NAME", help="rows of this network; repeatable"
    )
    parser.add_argument(
        "--feed", action="append", metavar="FEED", help="rows of this feed, as in the column feed; repeatable"
    )
    parser.add_argument("--from-day", metavar="DAY", help="rows of this day and later, such as 2026-11-01")
    parser.add_argument("--to-day", metavar="DAY", help="rows of this day and earlier")
    parser.add_argument(
        "--version-below", type=number(1_000_000), metavar="N", help="rows with a transform_version below N"
    )
    parser.add_argument(
        "--code",
        action="append",
        type=error_code,
        metavar="CODE",
        help="rejected rows with this error code; repeatable",
    )
    # Each row keeps the options that it was made with, so there are no defaults.
    add_image_options(parser, {}, get_args(TensorChange))
    parser.add_argument("--min-size", type=number(6000), metavar="PIXELS", help="smallest accepted shorter side")
    parser.add_argument(
        "--max-area", type=number(40_000_000), metavar="PIXELS", help="largest accepted number of pixels"
    )
    parser.add_argument("--max-ratio", type=number(1000), metavar="N", help="largest accepted ratio of the sides")


def main(options: Namespace, output: Output) -> int:
    """Start a rebuild and follow it to its end; returns 0 if it succeeded, else 1."""
    request = _request(options)
    with open_lake(options) as lake:
        lake.prepare([])
        if "RebuildArn" not in lake.outputs:
            raise CommandError(f"{lake.title} has no rebuild yet; deploy this version first")
        # A rebuild on this machine costs nothing.
        return _rebuild(lake, request, output, with_price=options.dry_run or options.stack is not None)


def _request(options: Namespace) -> dict[str, Any]:
    """Make the request, and check it before anything is started."""
    given = {field: getattr(options, name) for name, field in _FIELDS.items()}
    request = {field: value for field, value in given.items() if value is not None}
    request |= {"dry_run": True} if options.dry_run else {}
    try:
        RebuildRequest.read(request)
    except BadInputError as error:
        raise CommandError(str(error)) from None
    return request


def _rebuild(lake: Lake, request: dict[str, Any], output: Output, *, with_price: bool) -> int:
    started_at = datetime.now(UTC)
    states = lake.client("stepfunctions")
    arn, name = start_execution(states, lake.outputs["RebuildArn"], "rebuild", request)
    output.text(f"Rebuild {name} in {lake.title}")
    try:
        execution = follow(states, arn, output.console)
    except KeyboardInterrupt:
        output.text("Every file is complete. Start the rebuild again to finish it.")
        raise
    body = lake.read(f"reports/_rebuilds/{name}.json")
    report = json.loads(body) if body else None
    lake.save(name, started_at)
    output.console.rule(f"{name}: {execution['status']}")
    if report is not None:
        _show(report, output, with_price=with_price)
    output.result({"rebuild_id": name, "status": execution["status"], "execution_arn": arn, "report": report})
    if execution["status"] == "SUCCEEDED":
        return 0
    # The cause of a rebuild that was reported is its notification, with many lines.
    reason = failure_message(states, arn) or execution.get("error")
    fault = f"{len(report['open'])} files are as they were" if report and report["open"] else reason
    print_error(f"the rebuild {name} failed: {fault}; remove the cause, then start it again with the same options")
    return 1


def _show(report: dict[str, Any], output: Output, *, with_price: bool) -> None:
    output.text(f"Files:  {report['files']} of {report['listed']} have rows to rebuild")
    output.text(f"Images: {report['images']}, with {report['raw_bytes']:,} bytes of raw images")
    if with_price:
        price = report["estimate"]
        output.text(
            f"Price:  about {price['usd']:.2f} USD in a stack, or {price['usd_glacier']:.2f} USD from Glacier Instant"
            f" Retrieval; about {price['minutes']:g} minutes"
        )
    if report["rebuild"]["dry_run"]:
        output.text("This was a dry run, so nothing was changed.")
        return
    counts = ", ".join(f"{number} {name}" for name, number in report["counts"].items() if number)
    output.text(f"Rows:   {counts or 'none, so nothing was changed'}")
    for one in report["open"]:
        output.text(f"  {one['key']}: {one['failure']['error']}: {one['failure']['message']}")
