"""Meta's Graph API, which Instagram and Facebook share: error codes, usage as a rate limit, paging, signed URLs.

Every error is an ``OAuthException`` with status 400 or 403, even a rate limit; only the code says which one it is.
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
from imagelake.sources.contract import Bookmark, Feed, Page, RateLimit
from imagelake.sources.responses import Dialect, check, header, read_json, refusal, responded_at
from imagelake.sources.wire import read_entries
from imagelake.web.messages import Request, Response

API = "https://graph.facebook.com"
VERSION = "v26.0"

_TRANSIENT = "1"
_PERMISSION = "10"
_NOT_FOUND = "100/33"
_ERRORS: Mapping[str, type[ImagelakeError]] = {
    **dict.fromkeys(["4", "17", "18", "32", "341", "613"], RateLimitedError),
    # One code per business use case.
    **{str(code): RateLimitedError for code in range(80000, 80015)},
    "102": CredentialsError,
    "190": CredentialsError,
    **dict.fromkeys(["3", _PERMISSION, "368"], FeedNotPermittedError),
    # An object that is deleted, private or not permitted has the same code. 110 and 9009: account; 24: hashtag.
    **dict.fromkeys([_NOT_FOUND, "803", "110", "9009", "24"], FeedNotFoundError),
    **dict.fromkeys([_TRANSIENT, "2"], SourceUnavailableError),
}

_MAX_MESSAGE = 2_000
_URL = re.compile(r"https?://\S+")
_ABOUT_PERMISSIONS = re.compile(r"permission|feature|reviewed and approved", re.IGNORECASE)
# The names are those of https://developers.facebook.com/docs/permissions and .../docs/features-reference.
_PERMISSION_NAME = re.compile(r"(?<!ID )'([A-Za-z][A-Za-z_ ]{2,60})'|\b([a-z]{2,20}(?:_[a-z]{2,20}){1,5})\b")
# A refusal of a page that is too large; it has the status 500 and no code of its own.
_TOO_MUCH = "reduce the amount of data"
# The page size and the position in requests that have both in the list of fields.
_INNER_PAGE = re.compile(r"media\.limit\((?P<limit>\d+)\)(?:\.after\((?P<after>[^()]*)\))?")

# Usage is stated in percent. Calls beyond the limit still count, so stop before it.
_STOP_AT = 95
# If a response states no minutes, the limit is that of the platform, which counts the calls of the last hour.
_WINDOW = timedelta(hours=1)
_MAX_MINUTES = 60 * 24 * 30

_EXPIRY = re.compile(r"[?&]oe=([0-9A-Fa-f]{8})(?:&|$)")
# The parameters with the position in a listing; the link to the next page also contains the token.
_POSITION = ("after", "until", "since", "offset", "__paging_token")


def _code(body: dict[str, Any]) -> object:
    error = body.get("error")
    if not isinstance(error, dict):
        return None
    code, name = error.get("code"), str(error.get("code"))
    if code == 100 and error.get("error_subcode") == 33:
        return _NOT_FOUND
    if code == 100 and _missing(body):
        return _PERMISSION
    if code == 100 and "does not exist" in _message(body):
        return _NOT_FOUND
    if isinstance(code, int) and 200 <= code <= 299:
        return _PERMISSION
    # A rate limit can also be marked as transient, but it has its own end.
    return _TRANSIENT if name not in _ERRORS and error.get("is_transient") is True else name


def _message(body: dict[str, Any]) -> str:
    """Return the texts of an error without its URLs."""
    error = body.get("error")
    texts = [error.get(name) for name in ("message", "error_user_msg")] if isinstance(error, dict) else []
    return _URL.sub("", " ".join(text for text in texts if isinstance(text, str))[:_MAX_MESSAGE])


def _missing(body: dict[str, Any]) -> list[str]:
    """Return the permissions and features that an error names: one of them is missing."""
    message = _message(body)
    if not _ABOUT_PERMISSIONS.search(message):
        return []
    names = [quoted or plain for quoted, plain in _PERMISSION_NAME.findall(message)]
    return list(dict.fromkeys(name for name in names if name != "access_token"))


def _remedy(body: dict[str, Any]) -> str | None:
    names = _missing(body)
    return f"Meta names what the token or the app needs: {', '.join(names)}" if names else None


def _rate(response: Response) -> RateLimit | None:
    """Return the remaining share of the usage in percent, and the end of the limit."""
    usages = [
        *_usage(header(response, "x-app-usage")),
        *_usage(header(response, "x-page-usage")),
        *_usage(header(response, "x-business-use-case-usage")),
    ]
    if not usages:
        return None
    used = max(_worst(usage) for usage in usages)
    minutes = max(_number(usage.get("estimated_time_to_regain_access")) for usage in usages)
    now, reset_at = responded_at(response), None
    if now is not None and minutes:
        reset_at = now + timedelta(minutes=min(minutes, _MAX_MINUTES))
    elif now is not None and (used >= _STOP_AT or response.status >= 400):
        reset_at = now + _WINDOW
    return RateLimit(remaining=max(0, _STOP_AT - int(used)), reset_at=reset_at)


def _usage(text: str | None) -> Iterator[Mapping[str, Any]]:
    """Yield the usages in a header, which has either one object, or for each id a list of objects."""
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


DIALECT = Dialect(rate=_rate, code=_code, errors=_ERRORS, remedy=_remedy)


def read_object(feed: Feed, response: Response) -> dict[str, Any]:
    """Decode the JSON object of a success; raise the error that a status or an error object means."""
    check(feed, response, DIALECT)
    body = read_json(feed, response)
    if not isinstance(body, dict):
        raise SourceChangedError(f"{feed.name}: the response is not an object")
    if "error" in body:
        raise refusal(feed, response, DIALECT)
    return body


def read_page(
    feed: Feed,
    response: Response,
    listing: dict[str, Any],
    to_post: Callable[[Any], Post],
    *,
    cursor: str | None,
    in_order: bool = True,
) -> Page:
    """Build the page of a listing; an entry for which ``to_post`` raises ``ValueError`` is a reject.

    The bookmark is never later than the response, because a Page can give a post a date in the future.
    """
    entries = listing.get("data")
    if not isinstance(entries, list):
        raise SourceChangedError(f"{feed.name}: the response has no list named data")
    posts, rejects = read_entries(feed, entries, to_post, _id)
    newest = max(posts, key=lambda post: post.posted_at, default=None) if in_order else None
    clock = responded_at(response)
    return Page(
        posts=posts,
        rejects=rejects,
        cursor=cursor,
        rate=DIALECT.rate(response),
        newest=Bookmark(newest_id=newest.post_id, newest_at=min(newest.posted_at, clock) if clock else newest.posted_at)
        if newest
        else None,
    )


def next_position(feed: Feed, listing: dict[str, Any]) -> str | None:
    """Return the position of the next page as query parameters; ``None`` if the listing has no ``next``.

    Only the position is taken from the link to the next page, never its host or its token.
    """
    match listing.get("paging"):
        case None | {"next": None}:
            return None
        case {"next": str(url), **paging}:
            after = after_position(paging)
            return after or _position(feed, url)
        case {"next": _}:
            raise SourceChangedError(f"{feed.name}: the link to the next page is not a string")
        case dict():
            return None
    raise SourceChangedError(f"{feed.name}: paging is not an object")


def smaller_page(feed: Feed, response: Response) -> str | None:
    """Return the position of the same page with half of its posts, if Meta asks to reduce the amount of data."""
    if _TOO_MUCH.encode() not in response.body.lower():
        return None
    body = read_json(feed, response)
    if not isinstance(body, dict) or _TOO_MUCH not in _message(body).lower():
        return None
    asked = _asked(response)
    if int(asked["limit"]) <= 1:
        raise SourceChangedError(f"{feed.name}: Meta asks to reduce the amount of data, but the page has only one post")
    return urlencode({**asked, "limit": int(asked["limit"]) // 2})


def in_same_size(position: str | None, response: Response, size: int) -> str | None:
    """Add the page size to the position of the next page, if this one has fewer posts than ``size``."""
    limit = int(_asked(response)["limit"])
    return f"{position}&limit={limit}" if position and 0 < limit < size else position


def _asked(response: Response) -> dict[str, str]:
    """Return the page size and the position that the request has asked for."""
    query = dict(parse_qsl(urlsplit(response.url).query))
    inner = _INNER_PAGE.search(query.get("fields", ""))
    asked = {name: value for name, value in query.items() if name in (*_POSITION, "limit")}
    asked |= {name: value for name, value in inner.groupdict().items() if value} if inner else {}
    return {"limit": "0", **asked}


def has_next(paging: Any) -> bool:
    """Tell if a list inside a post has another page."""
    return isinstance(paging, dict) and bool(paging.get("next"))


def after_position(paging: Any) -> str | None:
    """Return the position of the cursor ``after`` as query parameters."""
    match paging:
        case {"cursors": {"after": str(after)}} if after:
            return urlencode({"after": after})
    return None


def _position(feed: Feed, url: str) -> str:
    try:
        query = parse_qsl(urlsplit(url).query)
    except ValueError:
        query = []
    position = {name: value for name, value in query if name in _POSITION}
    if not position:
        raise SourceChangedError(f"{feed.name}: the link to the next page has no position in the listing")
    return urlencode(position)


def at(request: Request, posted_at: datetime) -> Request:
    """Limit the request for a listing to the posts of one second.

    https://developers.facebook.com/docs/graph-api/results#time
    """
    second = int(posted_at.timestamp())
    return replace(request, params={**request.params, "since": str(second - 1), "until": str(second + 1)})


def expiry(url: str | None) -> datetime | None:
    """Return the time at which a signed URL of Meta's image hosts expires: ``oe`` is Unix time in hex."""
    match = _EXPIRY.search(url or "")
    return datetime.fromtimestamp(int(match[1], 16), UTC) if match else None


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str(post_id)}:
            return post_id
    return None
