"""Arguments that several commands take, and the lake that they name."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from imagelake.run.image_options import Tensor
from local.lake import Lake
from local.local_lake import LocalLake
from local.stack_lake import StackLake

# Datasets are beside the checkout's code, whatever the current folder is.
DATASETS = Path(__file__).resolve().parents[1] / ".imagelake"
MAX_POSTS = 100_000
# Names of the options of images, and those of the fields of the execution input that they set.
IMAGE_FIELDS = {
    "size": "image_size",
    "resize_mode": "resize_mode",
    "quality": "encode_quality",
    "preset": "preset",
    "tensor": "tensor",
}


def add_lake(parser: ArgumentParser) -> None:
    """Add the options that name the lake, and the one for programs."""
    lake = parser.add_mutually_exclusive_group()
    lake.add_argument(
        "--lake", type=folder, metavar="DIR", help="the lake in DIR on this machine (default: .imagelake/lake)"
    )
    lake.add_argument("--stack", type=_stack, metavar="NAME", help="the stack NAME in your AWS account")
    add_json(parser)


def add_json(parser: ArgumentParser) -> None:
    """Add the option for programs."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and all else to standard error")


def open_lake(options: Namespace, *, create: bool = False) -> Lake:
    """Return the lake that the options name; ``create`` makes a local one that is missing."""
    if options.stack is not None:
        return StackLake(options.stack, DATASETS / "stacks" / options.stack)
    return LocalLake((options.lake or DATASETS / "lake").resolve(), create=create, command=options.command)


def add_image_options(
    parser: ArgumentParser, defaults: Mapping[str, str], tensors: Sequence[str] = get_args(Tensor)
) -> None:
    """Add the options of images; ``defaults`` are for the help."""

    def default(name: str) -> str:
        return f" (default: {defaults[name]})" if name in defaults else ""

    parser.add_argument("--size", type=number(2048, 16), metavar="PIXELS", help=f"size of the images{default('size')}")
    parser.add_argument(
        "--resize-mode", choices=("no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"),
        help=f"side of the image that gets the size{default('resize_mode')}",
    )  # fmt: skip
    parser.add_argument(
        "--quality", type=number(95), metavar="N", help=f"quality of the JPEGs, 1 to 95{default('quality')}"
    )
    parser.add_argument(
        "--preset", choices=("fast", "balanced", "quality"), help=f"speed against fidelity{default('preset')}"
    )
    parser.add_argument("--tensor", choices=tensors, help="also write the input of a model")


def folder(text: str) -> Path:
    """Read the name of a folder, which may be missing so far."""
    if not text:
        raise ArgumentTypeError("the name of a folder is missing")
    if Path(text).exists() and not Path(text).is_dir():
        raise ArgumentTypeError("it is a file, not a folder")
    return Path(text)


def _stack(text: str) -> str:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html
    if not re.fullmatch("[a-zA-Z][a-zA-Z0-9-]{0,127}", text):
        raise ArgumentTypeError(f"the name of a stack has only letters, digits and hyphens, not {text[:40]!r}")
    return text


def number(most: int, least: int = 1) -> Callable[[str], int]:
    """Return a reader of whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ArgumentTypeError(f"it has to be a whole number from {least} to {most}, not {text[:40]!r}")
        return int(text)

    return read


def feed(text: str) -> str:
    """Check a feed as a run checks it, before anything is started; return it in its short form, or as JSON."""
    from imagelake.run.errors import BadFeedError
    from imagelake.run.masking import mask, mask_feed
    from imagelake.run.user_json import check_user_json, read_user_json
    from imagelake.sources import get_source, parse_feed

    try:
        config = read_user_json(text) if text.lstrip().startswith("{") else text
        check_user_json({"feed": config})
        # As in a run, so that no password is shown.
        parsed = parse_feed(mask_feed(config))
        network = get_source(parsed.source)
        # A run splits a list of servers.
        if "," not in (parsed.server or ""):
            network.request(parsed, None, None)
    except BadFeedError as error:
        raise ArgumentTypeError(mask(str(error))) from None
    except ValueError as error:
        shown = ascii(mask(mask_feed(text)))[1:-1][:120]
        fault = "is not a JSON object; quote it for the shell" if "not JSON" in str(error) else f"is wrong: {error}"
        raise ArgumentTypeError(f"{shown} {fault}") from None
    return json.dumps(config) if isinstance(config, dict) else parsed.name


def network(text: str) -> str:
    """Read the name of a network; refuse another word with the names of all networks."""
    from imagelake.sources import SOURCES

    if text not in SOURCES:
        raise ArgumentTypeError(f"there is no network {text[:40]!r}; the networks are {', '.join(sorted(SOURCES))}")
    return text


def error_code(text: str) -> str:
    """Read an error code; refuse another word with the code that was probably meant."""
    from imagelake.run.errors import ErrorCode

    if text in list(ErrorCode):
        return text
    close = get_close_matches(text.lower(), list(ErrorCode), 1)
    hint = f"did you mean {close[0]}?" if close else f"the codes are {', '.join(ErrorCode)}"
    raise ArgumentTypeError(f"there is no error code {text[:40]!r}; {hint}")


def as_input(feed: str) -> Any:
    """Return a feed for the execution input: a JSON object, or its short form."""
    return json.loads(feed) if feed.startswith("{") else feed
