"""What Instagram and Facebook have in common, Meta's Graph API: errors by code, usage as a limit, paging, signed URLs.

Every error is an ``OAuthException``, limits among them, and comes with status 400 or 403: only the code tells.
https://developers.facebook.com/docs/graph-api/guides/error-handling
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from imagelake.run.errors import (
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.posts import Post
from imagelake.sources.answers import Dialect, answered_at, check, header, read_json, refusal
from imagelake.sources.contract import Bookmark, Feed, Page, RateLimit, Reject
from imagelake.sources.wire import reason
from imagelake.web.messages import Request, Response

API = "https://graph.facebook.com"
VERSION = "v26.0"

_TRANSIENT = "1"
_PERMISSION = "10"
_ERRORS: Mapping[str, type[ImagelakeError]] = {
    **dict.fromkeys(["4", "17", "18", "32", "341", "613"], RateLimitedError),
    # One code for each business use case.
    **{str(code): RateLimitedError for code in range(80000, 80015)},
    "102": CredentialsError,
    "190": CredentialsError,
    **dict.fromkeys(["3", _PERMISSION, "368"], FeedNotPermittedError),
    # An object that is gone, private or not permitted cannot be told apart; 110 and 9009 are an account, 24 a hashtag.
    **dict.fromkeys(["100/33", "803", "110", "9009", "24"], FeedNotFoundError),
    **dict.fromkeys([_TRANSIENT, "2"], SourceUnavailableError),
}

# Usage is told in percent, and calls go on to be counted after the limit: stop before.
_STOP_AT = 95
# Without minutes of its own a limit is the platform's, which is counted over an hour that goes along.
_WINDOW = timedelta(hours=1)
_MOST_MINUTES = 60 * 24 * 30

_EXPIRY = re.compile(r"[?&]oe=([0-9A-Fa-f]{8})(?:&|$)")
_HASHTAG = re.compile(r"#(\w*[^\W\d]\w*)")
# What says the place in a listing; the link to the next page holds the token besides.
_POSITION = ("after", "until", "since", "offset", "__paging_token")


def _code(body: dict[str, Any]) -> object:
    error = body.get("error")
    if not isinstance(error, dict):
        return None
    code, name = error.get("code"), str(error.get("code"))
    if code == 100 and error.get("error_subcode") == 33:
        return "100/33"
    if isinstance(code, int) and 200 <= code <= 299:
        return _PERMISSION
    # A limit may call itself transient too, but has an end of its own.
    return _TRANSIENT if name not in _ERRORS and error.get("is_transient") is True else name


def _rate(response: Response) -> RateLimit | None:
    """The share that is left, in percent of what may be used, and when there will be more."""
    found = [
        *_usage(header(response, "x-app-usage")),
        *_usage(header(response, "x-page-usage")),
        *_usage(header(response, "x-business-use-case-usage")),
    ]
    if not found:
        return None
    used = max(_worst(usage) for usage in found)
    minutes = max(_number(usage.get("estimated_time_to_regain_access")) for usage in found)
    now, reset_at = answered_at(response), None
    if now is not None and minutes:
        reset_at = now + timedelta(minutes=min(minutes, _MOST_MINUTES))
    elif now is not None and (used >= _STOP_AT or response.status >= 400):
        reset_at = now + _WINDOW
    return RateLimit(remaining=max(0, _STOP_AT - int(used)), reset_at=reset_at)


def _usage(text: str | None) -> Iterator[Mapping[str, Any]]:
    """The usages in a header: one object, or for each id a list of them."""
    try:
        value = json.loads(text or "null")
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        groups = [group for group in value.values() if isinstance(group, list)]
        yield from (usage for group in groups for usage in group if isinstance(usage, dict))
        if not groups:
            yield value


def _worst(usage: Mapping[str, Any]) -> float:
    return max(_number(usage.get(name)) for name in ("call_count", "total_time", "total_cputime"))


def _number(value: Any) -> float:
    return min(float(value), 1e6) if isinstance(value, int | float) and 0 <= value < 10**9 else 0.0


DIALECT = Dialect(rate=_rate, code=_code, errors=_ERRORS)


def read_object(feed: Feed, response: Response) -> dict[str, Any]:
    """The JSON object of a success; an error object under status 200 is an error."""
    check(feed, response, DIALECT)
    body = read_json(feed, response)
    if not isinstance(body, dict):
        raise SourceChangedError(f"{feed.name}: the answer is not an object")
    if "error" in body:
        raise refusal(feed, response, DIALECT)
    return body


def read_page(
    feed: Feed,
    response: Response,
    listing: dict[str, Any],
    post: Callable[[Any], Post],
    *,
    cursor: str | None,
    in_order: bool = True,
) -> Page:
    """The posts of a listing; one that ``post`` refuses with a ``ValueError`` is a reject."""
    entries = listing.get("data")
    if not isinstance(entries, list):
        raise SourceChangedError(f"{feed.name}: the answer has no list named data")
    posts: list[Post] = []
    rejects: list[Reject] = []
    for raw in entries:
        try:
            posts.append(post(raw))
        except ValueError as error:
            rejects.append(Reject(_id(raw), reason(error), raw))
    newest = max(posts, key=lambda one: one.posted_at, default=None) if in_order else None
    return Page(
        posts=posts,
        rejects=rejects,
        cursor=cursor,
        rate=DIALECT.rate(response),
        newest=Bookmark(newest_id=newest.post_id, newest_at=newest.posted_at) if newest else None,
    )


def next_position(feed: Feed, listing: dict[str, Any]) -> str | None:
    """Where the next page begins, as query parameters, or ``None`` at the end: a listing ends where it has no ``next``.

    Of the link to the next page only the place is taken, never the host or the token in it.
    """
    match listing.get("paging"):
        case None | {"next": None}:
            return None
        case {"next": str(address), **paging}:
            after = after_position(paging)
            return after or _position(feed, address)
        case {"next": _}:
            raise SourceChangedError(f"{feed.name}: the link to the next page is not a string")
        case dict():
            return None
    raise SourceChangedError(f"{feed.name}: paging is not an object")


def after_position(paging: Any) -> str | None:
    """The place that the cursor ``after`` says, as query parameters."""
    match paging:
        case {"cursors": {"after": str(after)}} if after:
            return urlencode({"after": after})
    return None


def _position(feed: Feed, address: str) -> str:
    try:
        query = parse_qsl(urlsplit(address).query)
    except ValueError:
        query = []
    position = {name: value for name, value in query if name in _POSITION}
    if not position:
        raise SourceChangedError(f"{feed.name}: the link to the next page names no place in the listing")
    return urlencode(position)


def at(request: Request, posted_at: datetime) -> Request:
    """The request for a listing, cut to the posts of one second.

    https://developers.facebook.com/docs/graph-api/results#time
    """
    second = int(posted_at.timestamp())
    return replace(request, params={**request.params, "since": str(second - 1), "until": str(second + 1)})


def expiry(url: str | None) -> datetime | None:
    """When a signed address of Meta's image hosts lapses: ``oe`` is Unix time in hex."""
    found = _EXPIRY.search(url or "")
    return datetime.fromtimestamp(int(found[1], 16), UTC) if found else None


def hashtags(text: str) -> list[str]:
    """The hashtags in a text, without ``#``, each once."""
    return list(dict.fromkeys(_HASHTAG.findall(text)))


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str(found)}:
            return found
    return None
