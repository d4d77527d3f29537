"""X: the image posts of an account or of a hashtag, by API v2.

An account is read by a search or as a timeline. A search reaches back 7 days and costs only the posts with images. A
timeline costs every post, and first a lookup of the account's id.

X renamed its parameters and fields in August 2026. A setting of the feed says which names to send; both are read.

A cursor is a path below ``/2/``, with the position in the listing and the ``since_id`` of the first request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.posts import Post
from imagelake.sources.contract import Authorized, Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.hashtags import is_hashtag, without_sign
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.origin import origin
from imagelake.sources.responses import (
    Dialect,
    check,
    described,
    rate_limit,
    read_json,
    refusal,
    stated_number,
    unix_time,
)
from imagelake.sources.wire import read_entries, without_entries
from imagelake.sources.x_posts import WirePost, posted_at, remove_unused, to_post
from imagelake.web.messages import Request, Response

_API = "https://api.x.com"
_SEARCH = "tweets/search/recent"
_LOOKUP = "users/by/username/"
_COUNTS = "tweets/counts/recent"
_PAGE_SIZE = 100
# The smallest page that X allows.
_MIN_PAGE_SIZE = {"search": 10, "timeline": 5}

# https://docs.x.com/x-api/getting-started/pricing
POST_USD = 0.005
USER_USD = 0.010
COUNTS_USD = 0.005

_HANDLE = re.compile(r"[A-Za-z0-9_]{1,15}")
_USER_ID = re.compile(r"\d{1,19}")

# The end of a limit at which waiting does not help: somebody has to buy credits or raise the cap.
NOT_BY_WAITING = datetime.max.replace(tzinfo=UTC)
_USED_UP = frozenset({"credits", "usage-capped"})

_ERRORS: Mapping[str, type[ImagelakeError]] = {
    **dict.fromkeys(["credits", "usage-capped", "88"], RateLimitedError),
    **dict.fromkeys(["unsupported-authentication", "32", "89"], CredentialsError),
    **dict.fromkeys(["resource-not-found", "not-authorized-for-resource", "resource-unavailable"], FeedNotFoundError),
    **dict.fromkeys(["disallowed-resource", "field-unauthorized", "client-forbidden"], FeedNotPermittedError),
    **dict.fromkeys(["oauth1-permissions", "client-not-enrolled"], FeedNotPermittedError),
    **dict.fromkeys(["130", "131"], SourceUnavailableError),
}

# Names by vocabulary: the parameter with the fields, the field with references, the field with the text of long posts.
_NAMES = {
    "post": ("post.fields", "referenced_posts", "note_post"),
    "tweet": ("tweet.fields", "referenced_tweets", "note_tweet"),
}
_MEDIA_FIELDS = "media_key,type,url,width,height,alt_text"


def _problems(body: Any) -> Iterator[str]:
    """Return the codes of the problems in a response: the last part of the type, or the number in the older API."""
    if not isinstance(body, dict):
        return
    errors = body.get("errors")
    for problem in [body, *(errors if isinstance(errors, list) else [])]:
        match problem:
            # The hosts of these URLs differ between specification and responses.
            case {"type": str(kind)}:
                yield kind.rstrip("/").rpartition("/")[2]
            case {"code": int(number)}:
                yield str(number)


_DIALECT = Dialect(
    rate=lambda response: rate_limit(response, "x-rate-limit", unix_time),
    code=lambda body: next((problem for problem in _problems(body) if problem in _ERRORS), None),
    errors=_ERRORS,
)


class X(Authorized):
    """The adapter; ``feed.server`` replaces the network's API."""

    name = "x"
    newest_first = True
    # Every post is billed.
    overlap = 0
    media_hosts: frozenset[str] | None = frozenset({"pbs.twimg.com"})
    manifest = Manifest(
        title="X",
        feeds=("x:NASA", "x:#cats"),
        lookback=(
            Lookback(kind="search", time=timedelta(days=7)),
            Lookback("the newest 3,200 posts", "timeline", posts=3_200),
        ),
        page_size=_PAGE_SIZE,
        credentials=("bearer_token",),
        credentials_required=True,
        post_usd=POST_USD,
        deletion="a deleted, protected or withheld post is no longer in the listing, or the response is "
        "resource-not-found; X demands that it is deleted here too, within 24 hours of a request",
        terms="only ids may be given to others; no training of foundation models; no matching with other data without "
        "consent",
        notes=(
            "`bearer_token` is the token of an app; it does not expire.",
            "No post is read again, because every post is billed. A post that X lists late is not read.",
            "A feed is read by a search, which costs only the posts with images. With the setting `form` = `timeline` "
            "every post costs; an account named by its handle also costs a lookup of 0.010 USD per run, one named by "
            "its numeric id does not.",
            "The setting `cost_cap_usd` stops a run before the page that could exceed it; the report says so. "
            "`budget_usd_per_day` and `budget_usd_per_month` do the same for all runs of a day or a month in UTC.",
            "The cost in the report is the number of posts times the price. X charges a post once a day, so the bill "
            "can be lower.",
            "The setting `vocabulary` = `tweet` sends the parameter names from before August 2026.",
            "X gives no license. Withheld posts are left out.",
        ),
        settings=("form", "vocabulary", "cost_cap_usd", "budget_usd_per_day", "budget_usd_per_month"),
    )
    secret_hosts = frozenset({"api.x.com"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the next page; for a timeline, first the lookup of the account's id."""
        base = f"{origin(feed, _API)}/2/"
        if cursor is None:
            cursor = _start(feed)
        if cursor.startswith(_LOOKUP):
            return Request(base + cursor, headers={"accept": "application/json"})
        path, _, query = cursor.partition("?")
        position = dict(parse_qsl(query, keep_blank_values=True))
        since_id = position.pop("since_id", bookmark.newest_id if bookmark else "")
        if since_id:
            position["since_id"] = since_id
        return Request(base + path, _params(feed, path) | position, {"accept": "application/json"})

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse the page that ``response.url`` asked for; the page of the lookup has only a cursor."""
        requested = urlsplit(response.url)
        path = requested.path.partition("/2/")[2]
        body: Any = None
        with suppress(SourceChangedError):
            body = read_json(feed, response)
        if "since_id" in parse_qs(requested.query) and _since_is_too_old(body):
            return Page([], [], f"{path}?since_id=", _DIALECT.rate(response))
        _refuse_used_up(feed, response, body)
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        if not isinstance(body, dict) or (body.get("data") is None and body.get("errors")):
            # An error with the status of a success.
            raise refusal(feed, response, _DIALECT)
        if path == _COUNTS:
            count = stated_number(body["meta"].get("total_tweet_count")) if isinstance(body.get("meta"), dict) else None
            return Page([], [], None, _DIALECT.rate(response), cost_usd=COUNTS_USD, declared=count)
        if path.startswith(_LOOKUP):
            timeline = f"users/{_user_id(feed, body)}/tweets"
            return Page([], [], timeline, _DIALECT.rate(response), cost_usd=USER_USD)
        return _listing(feed, response, path, body)

    def count_request(self, feed: Feed, bookmark: Bookmark | None) -> Request | None:
        """Build the request for the number of posts that a search would find; a timeline has no such request."""
        if _start(feed) != _SEARCH:
            return None
        # https://docs.x.com/x-api/posts/counts/introduction
        since = {"since_id": bookmark.newest_id} if bookmark else {}
        if feed.since is not None:
            since = {"start_time": f"{feed.since}T00:00:00Z"}
        params = {"query": _query(feed), "granularity": "day", **since}
        return Request(f"{origin(feed, _API)}/2/{_COUNTS}", params, {"accept": "application/json"})

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove posts, and what only they refer to."""
        return remove_unused(without_entries(self, feed, response, is_removed, lambda body: body["data"]))

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the app's bearer token."""
        return replace(request, headers={**request.headers, "authorization": f"Bearer {secret['bearer_token']}"})

    def price(self, request: Request) -> float:
        """Return the price of a lookup, of a count, or of as many posts as the request asks for."""
        if request.url.endswith(_COUNTS):
            return COUNTS_USD
        posts = request.params.get("max_results")
        return USER_USD if posts is None else int(posts) * POST_USD


ADAPTER: Source = X()


def _start(feed: Feed) -> str:
    if feed.account is None or feed.form != "timeline":
        return _SEARCH
    if _USER_ID.fullmatch(feed.account):
        return f"users/{feed.account}/tweets"
    return f"{_LOOKUP}{_handle(feed)}"


def _handle(feed: Feed) -> str:
    handle = (feed.account or "").removeprefix("@")
    if _HANDLE.fullmatch(handle) is None and _USER_ID.fullmatch(handle) is None:
        raise BadFeedError(f"{feed.name}: {handle!r} is not a handle of X")
    return handle


def _params(feed: Feed, path: str) -> dict[str, str]:
    form = "search" if path == _SEARCH else "timeline"
    parameter, references, note = _NAMES[feed.vocabulary or "post"]
    params = {
        "max_results": str(_page_size(feed, form)),
        "expansions": "attachments.media_keys",
        "media.fields": _MEDIA_FIELDS,
        parameter: f"created_at,author_id,attachments,entities,possibly_sensitive,withheld,{references},{note}",
    }
    if form == "timeline":
        return params | {"exclude": "retweets"}
    return {"query": _query(feed), **params}


def _query(feed: Feed) -> str:
    if feed.hashtag is None:
        return f"from:{_handle(feed)} has:images -is:retweet"
    tag = without_sign(feed.hashtag)
    if not is_hashtag(tag):
        raise BadFeedError(f"{feed.name}: a hashtag of X has only letters and digits")
    return f"#{tag} has:images -is:retweet"


def _page_size(feed: Feed, form: str) -> int:
    """Return how many posts to ask for: at most what the feed's limit and its cost cap allow."""
    smallest, size = _MIN_PAGE_SIZE[form], min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)
    if feed.cost_cap_usd is not None:
        lookup = USER_USD if _start(feed).startswith(_LOOKUP) else 0.0
        affordable = int(min((feed.cost_cap_usd - lookup) / POST_USD + 1e-6, _PAGE_SIZE))
        if affordable < smallest:
            page = smallest * POST_USD + lookup
            raise BadFeedError(f"{feed.name}: cost_cap_usd is {feed.cost_cap_usd:g}, but one page can cost {page:g}")
        size = min(size, affordable)
    return max(smallest, size)


def _since_is_too_old(body: Any) -> bool:
    """Tell if X refuses ``since_id``, which is more than 7 days old; a search then finds only new posts."""
    errors = body.get("errors") if isinstance(body, dict) and "data" not in body else None
    for problem in errors if isinstance(errors, list) else []:
        match problem:
            case {"parameters": {"since_id": _}}:
                return True
    return False


def _refuse_used_up(feed: Feed, response: Response, body: Any) -> None:
    """Raise if the credits or the month's posts are used up; the reset time in the headers does not apply then."""
    has_data = isinstance(body, dict) and "data" in body
    if response.status == 402 or (not has_data and not _USED_UP.isdisjoint(_problems(body))):
        raise RateLimitedError(
            f"{feed.name}: X's credits or the month's posts are used up: add credits or raise the cap in X's developer"
            f" console (HTTP {response.status}, {described(response)})",
            reset_at=NOT_BY_WAITING,
        )


def _user_id(feed: Feed, body: dict[str, Any]) -> str:
    match body:
        case {"data": {"id": str(user_id)}} if _USER_ID.fullmatch(user_id):
            return user_id
    raise SourceChangedError(f"{feed.name}: the response to the lookup of the account has no id")


def _listing(feed: Feed, response: Response, path: str, body: dict[str, Any]) -> Page:
    entries, meta = body.get("data"), body.get("meta")
    match meta:
        # A page without posts has no list.
        case {"result_count": 0} if entries is None:
            entries = []
    if not isinstance(entries, list):
        raise SourceChangedError(f"{feed.name}: the response has no list named data")
    media, users = _included(body, "media", "media_key"), _included(body, "users", "id")
    positions: list[Bookmark] = []

    def read(raw: Any) -> Post:
        wire = WirePost.model_validate(raw)
        positions.append(Bookmark(newest_id=wire.id, newest_at=posted_at(wire)))
        return to_post(wire, media, users)

    posts, rejects = read_entries(feed, entries, read, _id)
    return Page(
        posts=posts,
        rejects=rejects,
        cursor=_next(feed, response, path, meta),
        rate=_DIALECT.rate(response),
        newest=max(positions, key=lambda position: int(position.newest_id), default=None),
        cost_usd=round(len(entries) * POST_USD, 6),
    )


def _next(feed: Feed, response: Response, path: str, meta: Any) -> str | None:
    token = meta.get("next_token") if isinstance(meta, dict) else None
    if token is None:
        return None
    if not isinstance(token, str):
        raise SourceChangedError(f"{feed.name}: the cursor is not a string")
    since_id = parse_qs(urlsplit(response.url).query).get("since_id", [""])[0]
    name = "next_token" if path == _SEARCH else "pagination_token"
    return f"{path}?{urlencode({'since_id': since_id, name: token})}"


def _included(body: dict[str, Any], name: str, key: str) -> dict[str, Any]:
    """Return the objects beside the posts by key; objects without a key are dropped."""
    includes = body.get("includes")
    entries = includes.get(name) if isinstance(includes, dict) else None
    by_key = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            by_key[entry[key]] = entry
    return by_key


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str(post_id)}:
            return post_id
    return None
