"""The base class for models of the networks' JSON, and the reason why an entry does not fit its model."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, ValidationError

from imagelake.run.errors import SourceChangedError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.posts import Post
from imagelake.run.sentences import faults
from imagelake.sources.contract import Feed, Reject
from imagelake.sources.responses import iso_time

# A client that sets no time sends the year 1. Data frames count nanoseconds, so they cannot hold a time after 2262.
PLAUSIBLE_YEARS = range(1970, 2201)
MAX_ENTRIES = 50_000


class WireModel(FrozenModel):
    """A JSON object as the network documents it: unknown keys are ignored, and a value of a wrong type is an error."""

    model_config = ConfigDict(strict=True, extra="ignore")


def moment(value: Any) -> datetime:
    """Parse a time in ISO 8601 and return it in UTC; raise ``ValueError`` for no time or an implausible year."""
    if not isinstance(value, str):
        raise ValueError("not a string")
    try:
        time = iso_time(value)
    except (ValueError, OverflowError):
        raise ValueError("not a time in ISO 8601") from None
    if time.year not in PLAUSIBLE_YEARS:
        raise ValueError(f"year {time.year} is not plausible")
    return time


# A field that holds a time in ISO 8601; its value in the model is in UTC.
Moment = Annotated[datetime, BeforeValidator(moment)]


def read_entries(
    feed: Feed, entries: Collection[Any], to_post: Callable[[Any], Post], id_of: Callable[[Any], str | None]
) -> tuple[list[Post], list[Reject]]:
    """Turn the entries of a page into posts; an entry for which ``to_post`` raises ``ValueError`` is a reject.

    A page with too many entries raises ``SourceChangedError``; ``Post`` has the limits of one post.
    """
    if len(entries) > MAX_ENTRIES:
        raise SourceChangedError(f"{feed.name}: the page has {len(entries):,} entries, more than {MAX_ENTRIES:,}")
    posts: list[Post] = []
    rejects: list[Reject] = []
    for raw in entries:
        try:
            posts.append(to_post(raw))
        except ValueError as error:
            rejects.append(Reject(id_of(raw), reason(error), raw))
    return posts, rejects


def reason(error: ValueError) -> str:
    """Say why an entry is rejected; for an error of pydantic, name the wrong field and its problem, not its value."""
    if not isinstance(error, ValidationError):
        return str(error)
    field, fault = next(faults(error, with_values=False))
    # A fault of a whole model says what it is about.
    if not field and error.errors(include_url=False)[0]["type"] == "value_error":
        return fault
    return f"{field or 'entry'}: {fault}"
