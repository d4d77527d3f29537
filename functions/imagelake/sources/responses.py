"""Responses of networks: the error that a status means, the end of a rate limit, and JSON that is safe to store.

Here is everything that the networks have in common; a ``Dialect`` holds the differences.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from imagelake.run.errors import (
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.sources.contract import Feed, RateLimit
from imagelake.web.messages import Response
from imagelake.web.retry_after import http_date, retry_time

_OFFSET = r"[Zz]|[+-]\d\d:\d\d"
_DAY_IN_ZONE = re.compile(rf"(\d{{4}}-\d\d-\d\d)({_OFFSET})", re.ASCII)
_ISO_TIME = re.compile(
    r"(?:\d{4}-?\d\d-?\d\d|\d{4}-?W\d\d(?:-?\d)?)"
    rf"(?:[Tt ]\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?(?:{_OFFSET}|[+-]\d\d(?:\d\d)?)?)?",
    re.ASCII,
)

T = TypeVar("T")

_BY_STATUS: Mapping[int, type[ImagelakeError]] = {
    401: CredentialsError,
    403: FeedNotPermittedError,
    404: FeedNotFoundError,
    408: SourceUnavailableError,
    410: FeedNotFoundError,
    429: RateLimitedError,
    451: FeedNotPermittedError,
}

_MEANING: Mapping[type[ImagelakeError], str] = {
    CredentialsError: "the network requires a valid login",
    FeedNotFoundError: "it does not exist, or is deleted, private or suspended",
    FeedNotPermittedError: "the network does not allow this request",
    RateLimitedError: "the network's rate limit is reached",
    SourceChangedError: "the response is not one that the network documents",
    SourceUnavailableError: "the network is not available",
}

# Deeper values become null, because writing them as JSON could overflow. No network nests deeper than about 25.
_MAX_DEPTH = 64
# More digits than any 64-bit number has; int() refuses 4,301.
_MAX_DIGITS = 32
# Ten megabytes can hold millions of empty objects, and each takes much more memory than its text.
MAX_VALUES = 250_000
# A text, also one without an end.
# A text of JSON, or a mark outside of texts.
_JSON_TEXT_OR_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[,{\[]', re.DOTALL)

# The URL of the page takes most of its metadata.
MAX_CONTENT_TYPE = 100

_TOKEN_LIKE = re.compile(r"[\w.~+/=%|-]{20,}")
# A code and no sentence, which can name a person.
_ERROR_CODE = re.compile(r"[\w.-]{1,40}", re.ASCII)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Dialect:
    """One network's way to state rate limits and errors.

    ``rate`` reads the rate limit from the headers of a response. ``code`` finds the error code in the JSON object of an
    error response, and ``errors`` maps codes to errors; a code in it overrides the status. ``remedy`` finds what a user
    has to do, if the object says it.
    """

    rate: Callable[[Response], RateLimit | None]
    code: Callable[[dict[str, Any]], object] = lambda _: None
    errors: Mapping[str, type[ImagelakeError]] = field(default_factory=dict)
    remedy: Callable[[dict[str, Any]], str | None] = lambda _: None


def check(feed: Feed, response: Response, dialect: Dialect) -> None:
    """Raise the error that ``response`` means, unless it is a success."""
    if not 200 <= response.status < 300:
        raise refusal(feed, response, dialect)


def refusal(feed: Feed, response: Response, dialect: Dialect) -> ImagelakeError:
    """Return the error that an error response means; some of them have the status of a success."""
    body = _object(response)
    kind = _coded(body, dialect) or _BY_STATUS.get(response.status)
    if kind is None:
        kind = SourceUnavailableError if response.status >= 500 else SourceChangedError
    code = dialect.code(body)
    named = f", error {code}" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
    meaning = _MEANING.get(kind, "refused")
    message = f"{feed.name}: {meaning} (HTTP {response.status}{named}, {described(response)})"
    if remedy := dialect.remedy(body):
        message = f"{message}; {remedy}"
    error = RateLimitedError(message, _reset_at(response, dialect)) if kind is RateLimitedError else kind(message)
    error.add_note(excerpt(response))
    return error


def read_json(feed: Feed, response: Response, *, max_values: int | None = MAX_VALUES) -> Any:
    """Decode the JSON of the body, safe to store: without NULs, lone surrogates, NaN, huge numbers or deep nesting."""
    if max_values is not None and has_more_values(response.body, max_values):
        raise SourceChangedError(f"{feed.name}: the response has more than {max_values:,} JSON values")
    try:
        return _decoded(response.body)
    except (ValueError, RecursionError):
        error = SourceChangedError(f"{feed.name}: expected JSON, got {described(response)}")
        error.add_note(excerpt(response))
        raise error from None


def has_more_values(body: bytes, limit: int) -> bool:
    """Tell if a JSON text has more values than ``limit``, before it is decoded."""
    # Each value but the first one follows a comma, or is the first one inside an object or a list.
    marks = (b",", b"{", b"[")
    if sum(map(body.count, marks)) <= limit:
        return False
    values = 0
    # Valid JSON has at most two texts for each mark, a key and a value.
    for count, match in enumerate(_JSON_TEXT_OR_MARK.finditer(body)):
        values += match[0] in marks
        if values > limit or count > 4 * limit:
            return True
    return False


def described(response: Response) -> str:
    """Describe the body for an error message: its type and size. Its text can be that of a post, or name a person."""
    kind = (header(response, "content-type") or "no content type").partition(";")[0][:40]
    return f"{kind}, {len(response.body):,} bytes"


def excerpt(response: Response) -> str:
    """Return the first characters of the body for a note of an error, with everything masked like a token.

    A note is not part of the message, so it is not logged: ``imagelake feeds check`` shows it.
    """
    start = _TOKEN_LIKE.sub("…", response.body[:4096].decode("utf-8", "replace"))
    return repr(" ".join(start.split())[:80])


def header(response: Response, name: str) -> str | None:
    """Return the value of a header; the case of its name does not matter."""
    return next((value for key, value in response.headers.items() if key.lower() == name), None)


def content_type(response: Response) -> str | None:
    """Return the stated type and charset of the body; ``None`` if the metadata of a raw page could not hold them."""
    text = (header(response, "content-type") or "").strip()
    return text if 0 < len(text) <= MAX_CONTENT_TYPE and text.isascii() and text.isprintable() else None


def responded_at(response: Response) -> datetime | None:
    """Return the network's clock at the time of the response, or ``None`` if it is not stated."""
    return http_date(header(response, "date"))


def rate_limit(response: Response, prefix: str, read_time: Callable[[str], datetime]) -> RateLimit | None:
    """Read the headers ``<prefix>-remaining`` and ``<prefix>-reset``; ``read_time`` knows the format of the latter."""
    remaining, reset = header(response, f"{prefix}-remaining"), header(response, f"{prefix}-reset")
    # Some networks write whole numbers as floats, such as 599.0.
    rate = RateLimit(remaining=_read(lambda text: int(float(text)), remaining), reset_at=_read(read_time, reset))
    return None if rate == RateLimit(None, None) else rate


def unix_time(text: str) -> datetime:
    """Read Unix time, in seconds, as an aware time."""
    return datetime.fromtimestamp(float(text), UTC)


def iso_time(text: str) -> datetime:
    """Read ISO 8601 as an aware time in UTC; a time without an offset is in UTC.

    A day with an offset is its start there: https://www.w3.org/TR/xmlschema11-2/#date. Python takes any sign between
    date and time, so the day ``2026-09-30+02:00`` would be two o'clock.
    """
    day = _DAY_IN_ZONE.fullmatch(text)
    if not day and not _ISO_TIME.fullmatch(text):
        raise ValueError("not a time in ISO 8601")
    time = datetime.fromisoformat(f"{day[1]}T00:00{day[2]}" if day else text.upper())
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _object(response: Response) -> dict[str, Any]:
    """Return the JSON object of an error response, or an empty one if it has none."""
    if has_more_values(response.body, MAX_VALUES):
        return {}
    try:
        body = _decoded(response.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _coded(body: dict[str, Any], dialect: Dialect) -> type[ImagelakeError] | None:
    code = dialect.code(body)
    return dialect.errors.get(code) if isinstance(code, str) else None


def _reset_at(response: Response, dialect: Dialect) -> datetime | None:
    """Return the end of the rate limit: the later of the network's own header and ``Retry-After``."""
    rate = dialect.rate(response)
    times = [
        rate.reset_at if rate else None,
        retry_time(header(response, "retry-after"), header(response, "date")),
    ]
    return max((time for time in times if time), default=None)


def _read(reader: Callable[[str], T], text: str | None) -> T | None:
    """Return ``reader(text)``, or ``None`` if the header is missing or invalid."""
    try:
        return reader(text) if text else None
    except (ValueError, OverflowError, OSError):
        return None


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8-sig", "replace")
    return _storable(json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=lambda _: None))


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _storable(value: Any, depth: int = 0) -> Any:
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, str):
        return _UNSTORABLE.sub(lambda match: "" if match[0] == "\x00" else "\ufffd", value)
    if isinstance(value, list):
        return [_storable(part, depth + 1) for part in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(part, depth + 1) for key, part in value.items()}
    return value


def stated_number(value: Any) -> int | None:
    """Return a number of posts that a network states, or ``None`` if it is no such number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None
