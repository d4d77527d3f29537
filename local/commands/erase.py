"""``imagelake erase``: erase a person, posts or images on request, and keep them out."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from imagelake.run.erasure_models import ErasureReason, ErasureRequest
from imagelake.run.errors import BadInputError
from local.arguments import add_lake, network, open_lake
from local.erasures import command_to_finish, stored_request, unfinished_erasures
from local.errors import CommandError
from local.follow import failure_message, follow
from local.lake import Lake
from local.map_failures import name_item
from local.output import Output, print_error
from local.runs import start_execution

HELP = "erase a person, posts or images on request, and keep them out"
EXAMPLES: tuple[str, ...] = (
    "imagelake erase --author bluesky did:plc:z72i7hdynmk6r22z27h6tvur --reason author_request --reference 'ticket 17'",
    "imagelake erase --post mastodon 13179 110 --reason deleted_at_source --reference sync-3 --stack imagelake",
    "imagelake erase --again 0123456789abcdef0123",
)
# An erasure looks into all pages and reports, because a post without an image is in no index.
_LABELS = {
    "open_batches": "open batches",
    "raw_images": "raw images",
    "pages": "pages to look into",
    "reports": "reports to look into",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_lake(parser)
    parser.add_argument(
        "--author", action="append", nargs=2, default=[], metavar=("SOURCE", "AUTHOR_ID"),
        help="everything of an author, with the values of these columns; repeatable, as the next three are",
    )  # fmt: skip
    parser.add_argument(
        "--post", action="append", nargs=3, default=[], metavar=("SOURCE", "AUTHOR_ID", "POST_ID"), help="one post"
    )
    parser.add_argument("--media", action="append", default=[], metavar="MEDIA_ID", help="one media item")
    parser.add_argument(
        "--sha256",
        action="append",
        default=[],
        metavar="HEX",
        help="an image in all posts, by its column raw_sha256",
    )
    parser.add_argument("--near-duplicates", action="store_true", help="also the known near duplicates")
    parser.add_argument("--reason", choices=list(ErasureReason), help="the reason for the receipt")
    parser.add_argument("--reference", metavar="TEXT", help="your own reference, such as a ticket; not a name")
    parser.add_argument(
        "--again", metavar="ID", help="finish the erasure ID, which imagelake status names, instead of a new request"
    )
    parser.add_argument("--dry-run", action="store_true", help="find, count and price; change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask before the erasure")


def fault(options: Namespace) -> str | None:
    """Say what is wrong with the options together."""
    of_request = ("author", "post", "media", "sha256", "near_duplicates", "reason", "reference")
    given = [f"--{name.replace('_', '-')}" for name in of_request if getattr(options, name)]
    if options.again is not None:
        return f"--again takes the stored request; leave out {', '.join(given)}" if given else None
    try:
        for source, *_ in (*options.author, *options.post):
            network(source)
    except ArgumentTypeError as error:
        return str(error)
    missing = [name for name in ("--reason", "--reference") if getattr(options, name[2:]) is None]
    return f"the following arguments are required: {', '.join(missing)}" if missing else None


def main(options: Namespace, output: Output) -> int:
    """Show what would be erased, ask, erase, and print where the receipt is; returns 0 if it is complete, else 1."""
    request = _request(options) if options.again is None else {}
    with open_lake(options) as lake:
        lake.prepare([])
        if options.again is not None:
            request = _request_again(options.again, lake)
        if options.again is None or options.dry_run:
            found = _execute(lake, request | {"dry_run": True}, output)
            if found["status"] != "SUCCEEDED":
                output.result(found)
                print_error(f"the search failed, and nothing was changed: {found['error']}")
                return 1
            question = _show(found["found"]["counts"], output)
            _show_unfinished(lake, request, output)
            if options.dry_run:
                output.result(found)
                return 0
        else:
            question = f"Finish the erasure {options.again} ({request['reference']}, {request['reason']})?"
        _ask(options, question, output)
        return _erase(lake, request, output)


def _show(counts: dict[str, Any], output: Output) -> str:
    """Show what a dry run has found, and return the question before the erasure."""
    numbers = [(_LABELS.get(name, name), f"{number:,}") for name, number in counts.items() if name != "usd"]
    output.table(("found", "number"), [*numbers, ("price", f"about {counts['usd']:.2f} USD")])
    if any(counts[name] for name in ("items", "files", "open_batches", "raw_images")):
        return f"Erase {counts['items']:,} items for ever, and keep out what the request names?"
    output.text(
        "Nothing matches: no image, row or open batch is what the request names. An erasure would still suppress the"
        " request, so that nothing of it comes into the lake later, and look into all pages and reports."
    )
    return "Nothing matches. Keep out what the request names all the same?"


def _show_unfinished(lake: Lake, request: dict[str, Any], output: Output) -> None:
    if finish := _command_to_finish(lake, request):
        output.text(f"An erasure with this request is not finished, so it may have erased a part already: {finish}")


def _command_to_finish(lake: Lake, request: dict[str, Any]) -> str | None:
    """Return the command that finishes the erasure of a request; ``None`` if no such erasure is unfinished."""
    ids = (one.erasure_id for one in unfinished_erasures(lake) if one.request == request)
    return next((command_to_finish(erasure_id, lake) for erasure_id in ids), None)


def _erase(lake: Lake, request: dict[str, Any], output: Output) -> int:
    """Erase, and show the result and the receipt; return the exit code."""
    lake.drop_copies()
    try:
        result = _execute(lake, request, output)
    except KeyboardInterrupt:
        state = "The erasure goes on in the stack" if lake.runs_on else "The erasure is not finished"
        output.text(f"{state}; ./imagelake status {lake.options} names the command that finishes it.")
        raise
    if result["status"] != "SUCCEEDED":
        output.result(result)
        finish = _command_to_finish(lake, request)
        then = f"finish it: {finish}" if finish else "start it again with the same command"
        print_error(f"the erasure is not complete: {result['error']}; remove the cause, then {then}")
        return 1
    places = lake.save_receipt(result["receipt"]["receipt_key"])
    output.text(result["receipt"]["message"])
    for title, place in places.items():
        output.text(f"{title + ':':<9}{place}")
    output.result(result | {title.lower(): str(place) for title, place in places.items()})
    return 0


def _request_again(erasure_id: str, lake: Lake) -> dict[str, Any]:
    """Read the stored request of an unfinished erasure."""
    request = stored_request(lake, erasure_id)
    if request is None or request["dry_run"]:
        raise CommandError(
            f"{lake.title} has no unfinished erasure {erasure_id}; list them with: ./imagelake status {lake.options}"
        )
    return request


def _request(options: Namespace) -> dict[str, Any]:
    """Make the request, and check it before anything is started."""
    request = {
        "erase": {
            "authors": [{"source": source, "author_id": author_id} for source, author_id in options.author],
            "posts": [
                {"source": source, "author_id": author_id, "post_id": post_id}
                for source, author_id, post_id in options.post
            ],
            "media_ids": options.media,
            "sha256": options.sha256,
            "near_duplicates": options.near_duplicates,
        },
        "reason": options.reason,
        "reference": options.reference,
    }
    try:
        return ErasureRequest.read(request).model_dump(mode="json")
    except BadInputError as error:
        raise CommandError(str(error)) from None


def _execute(lake: Lake, request: dict[str, Any], output: Output) -> dict[str, Any]:
    """Run the state machine, show its progress, and return its output."""
    states = lake.client("stepfunctions")
    kind = "erasure-dry-run" if request.get("dry_run") else "erasure"
    arn, name = start_execution(states, lake.outputs["ErasureStateMachineArn"], kind, request)
    output.text(f"{name} in {lake.title}")
    execution = follow(states, arn, output.console)
    result = json.loads(execution.get("output") or "{}")
    if execution["status"] != "SUCCEEDED":
        reason = failure_message(states, arn, lambda given: _name_item(lake, given))
        result["error"] = reason or execution.get("error") or execution["status"]
    return {"status": execution["status"], "execution_arn": arn, **result}


def _name_item(lake: Lake, given: dict[str, Any]) -> str:
    """Name the item of a failed child; a dataset file is a number in the child's input."""
    if "number" not in given:
        return name_item(given)
    body = lake.read(f"work/erasures/{given['erasure']['erasure_id']}/files/{given['number']}.json")
    return json.loads(body)["key"] if body else "a dataset file"


def _ask(options: Namespace, question: str, output: Output) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nobody can be asked here; look at the numbers of --dry-run, then add --yes")
    output.text(f"{question} Type yes: ")
    if input().strip().lower() != "yes":
        raise CommandError("nothing was erased")
