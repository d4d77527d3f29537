"""The base class for models of the networks' JSON, and the reason why an entry or a media item cannot be read."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from imagelake.run.errors import SourceChangedError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.posts import MAX_SKIP_REASON, Media, Post
from imagelake.run.sentences import faults
from imagelake.sources.contract import Feed, IsRemoved, Reject, Source
from imagelake.sources.responses import iso_time, read_json
from imagelake.web.messages import Response

T = TypeVar("T")

# A client that sets no time sends the year 1. Data frames count nanoseconds, so they cannot hold a time after 2262.
PLAUSIBLE_YEARS = range(1970, 2201)
MAX_ENTRIES = 50_000


# Marks a field with a default that says which images the post has or if it may be kept: a wrong value is an error.
DECISIVE = object()


class WireModel(FrozenModel):
    """A JSON object as the network documents it; unknown keys are ignored.

    A field without a default has to be valid. In any other field a wrong value becomes the default, and a wrong part of
    a list is left out, so that it does not cost the post. In a ``DECISIVE`` field only an empty value becomes the
    default, whatever its type.
    """

    model_config = ConfigDict(strict=True, extra="ignore")

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_wrong(cls, value: Any, read: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name or ""]
        if field.is_required():
            return read(value)
        default = field.get_default(call_default_factory=True)
        if DECISIVE in field.metadata:
            return read(value) if value else default
        if value is None:
            return default
        with suppress(ValidationError):
            return read(value)
        return _valid_parts(value, read) or default


def _valid_parts(value: Any, read: ValidatorFunctionWrapHandler) -> list[Any]:
    parts: list[Any] = []
    for part in value if isinstance(value, list) else ():
        with suppress(ValidationError):
            parts += read([part])
    return parts


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# A number of pixels. JSON has only one type of number, so 10.0 is 10 (https://www.rfc-editor.org/rfc/rfc8259#section-6).
Pixels = Annotated[int, Field(gt=0), BeforeValidator(_whole)]
# A flag of which we assume the worse: every value counts as true that is not empty, zero or false.
Flag = Annotated[bool, BeforeValidator(bool)]


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
    feed: Feed,
    entries: Collection[Any],
    to_post: Callable[[Any], Post],
    id_of: Callable[[Any], str | None],
    authors_of: Callable[[Any], tuple[str, ...]] = lambda _: (),
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
            rejects.append(Reject(id_of(raw), reason(error), raw, authors_of(raw)))
    return posts, rejects


def without_entries(
    source: Source, feed: Feed, response: Response, is_removed: IsRemoved, find: Callable[[Any], list[Any]]
) -> bytes:
    """Return the JSON of a page without the entries for which ``is_removed`` is true.

    ``find`` returns the list of entries in the decoded body.
    """
    # The limit of values was checked before the page was parsed.
    body = read_json(feed, response, max_values=None)
    entries = find(body)

    def has_removed(part: list[Any]) -> bool:
        entries[:] = part
        return any(map(is_removed, source.parse(feed, replace(response, body=_to_bytes(body))).entries))

    entries[:] = keep(list(entries), has_removed)
    return _to_bytes(body)


def keep(entries: list[T], has_removed: Callable[[list[T]], bool]) -> list[T]:
    """Return the entries without those to remove; ``has_removed`` tells if one of several is among these.

    It is asked about halves, because a few of many entries are to be removed, and each answer parses a page.
    """
    if not entries or not has_removed(entries):
        return entries
    half = len(entries) // 2
    return [*keep(entries[:half], has_removed), *keep(entries[half:], has_removed)] if half else []


def _to_bytes(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def read_media(parts: Iterable[Any], to_media: Callable[[Any, int], Media], post: str, first: int = 0) -> list[Media]:
    """Turn the parts of a post into media items; one for which ``to_media`` raises ``ValueError`` is skipped.

    ``post`` is the start of the media id of such a part, which has no readable one of its own; ``first`` is the index
    of the first part.
    """
    media = []
    for index, raw in enumerate(parts, first):
        try:
            media.append(to_media(raw, index))
        except ValueError as error:
            media.append(skipped(f"{post}/{index}", index, f"not readable: {reason(error)}"))
    return media


def skipped(media_id: str, index: int, why: str) -> Media:
    """Build the media item that says what of a post is not collected."""
    return Media(media_id=media_id, index=index, kind="unknown", url=None, skip_reason=why[:MAX_SKIP_REASON])


def reason(error: ValueError) -> str:
    """Say why an entry is rejected; for an error of pydantic, name the wrong field and its problem, not its value."""
    if not isinstance(error, ValidationError):
        return str(error)
    field, fault = next(faults(error, with_values=False))
    # A fault of a whole model says what it is about.
    if not field and error.errors(include_url=False)[0]["type"] == "value_error":
        return fault
    return f"{field or 'entry'}: {fault}"
