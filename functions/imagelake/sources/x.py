"""X: the image posts of an account or of a hashtag, by API v2.

An account is searched for, which bills only posts with images but reaches back 7 days, or read as a timeline, after a
lookup of its id. X renamed its vocabulary in August 2026: which of the two is sent is a setting of the feed, both are
read. A cursor is the path below ``/2/``, with the place in the listing and the ``since_id`` that the walk began with.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from pydantic import AliasChoices, Field

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
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources.answers import Dialect, check, described, read_json, refusal, unix_time, window
from imagelake.sources.contract import Authorized, Bookmark, Feed, Page, Reject
from imagelake.sources.manifest import Manifest
from imagelake.sources.origin import origin
from imagelake.sources.wire import Moment, WireModel, reason
from imagelake.web.messages import Request, Response

_API = "https://api.x.com"
_SEARCH = "tweets/search/recent"
_LOOKUP = "users/by/username/"
_PAGE_SIZE = 100
# The least that each listing can be asked for.
_LEAST = {"search": 10, "timeline": 5}

# https://docs.x.com/x-api/getting-started/pricing
POST_USD = 0.005
USER_USD = 0.010

_HANDLE = re.compile(r"[A-Za-z0-9_]{1,15}")
_USER_ID = re.compile(r"\d{1,19}")
_TAG = re.compile(r"\w{1,100}")
_PHOTO = re.compile(r"https://pbs\.twimg\.com/media/([\w-]+)\.(jpg|jpeg|png|webp)")

# The end of a limit that no waiting ends: credits are bought, a cap is raised or belongs to a month of X's own.
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

_KINDS: Mapping[str, MediaKind] = {"photo": "image", "video": "video", "animated_gif": "animation"}
_NOT_DELIVERED = "x did not deliver this medium"
_NO_ADDRESS = "x gives no address for this photo"

# What is asked for: in a tuple the names as sent, posts first.
_WORDS = {
    "post": ("post.fields", "referenced_posts", "note_post"),
    "tweet": ("tweet.fields", "referenced_tweets", "note_tweet"),
}
_MEDIA_FIELDS = "media_key,type,url,width,height,alt_text"


def _problems(body: Any) -> Iterator[str]:
    """What an answer complains of: the last part of each problem's type, or its number in the older API's way."""
    if not isinstance(body, dict):
        return
    errors = body.get("errors")
    for problem in [body, *(errors if isinstance(errors, list) else [])]:
        match problem:
            # The types' host differs between the specification and the answers.
            case {"type": str(kind)}:
                yield kind.rstrip("/").rpartition("/")[2]
            case {"code": int(number)}:
                yield str(number)


_DIALECT = Dialect(
    rate=lambda response: window(response, "x-rate-limit", unix_time),
    code=lambda body: next((problem for problem in _problems(body) if problem in _ERRORS), None),
    errors=_ERRORS,
)


class _Hashtag(WireModel):
    tag: str


class _Entities(WireModel):
    hashtags: list[_Hashtag] | None = None


class _Note(WireModel):
    text: str
    entities: _Entities | None = None


class _Attachments(WireModel):
    media_keys: list[str] | None = None


class _Reference(WireModel):
    type: str


class _Withheld(WireModel):
    country_codes: list[str] | None = None


class _Post(WireModel):
    id: str = Field(pattern=r"^[0-9]{1,19}$")
    text: str
    author_id: str = Field(min_length=1)
    created_at: Moment | None = None
    attachments: _Attachments | None = None
    possibly_sensitive: bool | None = None
    entities: _Entities | None = None
    withheld: _Withheld | None = None
    references: list[_Reference] | None = Field(
        default=None, validation_alias=AliasChoices("referenced_posts", "referenced_tweets")
    )
    note: _Note | None = Field(default=None, validation_alias=AliasChoices("note_post", "note_tweet"))


class _Media(WireModel):
    media_key: str = Field(min_length=1)
    type: str
    url: str | None = None
    width: int | None = Field(default=None, ge=0)
    height: int | None = Field(default=None, ge=0)
    alt_text: str | None = None


class X(Authorized):
    """The adapter; ``feed.server`` replaces the network's API."""

    name = "x"
    newest_first = True
    media_hosts: frozenset[str] | None = frozenset({"pbs.twimg.com"})
    manifest = Manifest(
        title="X",
        feeds=("x:NASA", "x:#cats"),
        lookback="search: 7 days; timeline: the newest 3,200 posts",
        page_size=_PAGE_SIZE,
        credentials=("bearer_token",),
        credentials_required=True,
        post_usd=POST_USD,
        deletion="a deleted, protected or withheld post answers with resource-not-found or drops out; X wants it"
        " deleted here too, within 24 hours of a request",
        terms="only ids may be given to others; no training of foundation models; no matching with other data without"
        " consent",
        notes=(
            "`bearer_token` is an app's own; it has no end by date",
            "a feed is searched for: only posts with images are billed. With `form` set to `timeline` every post is,"
            " and an account named by its handle costs a lookup of 0.010 USD a run; named by its numeric id, none",
            "`cost_cap_usd` ends a run's reading of the feed before the page that could pass it; the report says so",
            "the report's cost is posts times price: X bills a post once a day however often it is read",
            "`vocabulary` set to `tweet` sends the parameter names from before August 2026",
            "no licence; withheld posts are left out",
        ),
        settings=("form", "vocabulary", "cost_cap_usd"),
    )
    secret_hosts = frozenset({"api.x.com"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """The next page; of an account's timeline, first the account's id."""
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
        """The page ``response.url`` asked for; that of the lookup holds nothing but a cursor."""
        asked = urlsplit(response.url)
        path = asked.path.partition("/2/")[2]
        body: Any = None
        with suppress(SourceChangedError):
            body = read_json(feed, response)
        if "since_id" in parse_qs(asked.query) and _since_is_too_old(body):
            return Page([], [], f"{path}?since_id=", _DIALECT.rate(response))
        _refuse_used_up(feed, response, body)
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        if not isinstance(body, dict) or (body.get("data") is None and body.get("errors")):
            # An error under the status of a success.
            raise refusal(feed, response, _DIALECT)
        if path.startswith(_LOOKUP):
            timeline = f"users/{_user_id(feed, body)}/tweets"
            return Page([], [], timeline, _DIALECT.rate(response), cost_usd=USER_USD)
        return _listing(feed, response, path, body)

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """With the app's bearer token."""
        return replace(request, headers={**request.headers, "authorization": f"Bearer {secret['bearer_token']}"})

    def price(self, request: Request) -> float:
        """A lookup, or as many posts as are asked for."""
        asked = request.params.get("max_results")
        return USER_USD if asked is None else int(asked) * POST_USD


def _start(feed: Feed) -> str:
    if feed.account is None or feed.form != "timeline":
        return _SEARCH
    if _USER_ID.fullmatch(feed.account):
        return f"users/{feed.account}/tweets"
    return f"{_LOOKUP}{_handle(feed)}"


def _handle(feed: Feed) -> str:
    handle = (feed.account or "").removeprefix("@")
    if _HANDLE.fullmatch(handle) is None and _USER_ID.fullmatch(handle) is None:
        raise BadFeedError(f"{feed.name}: {handle!r} is no handle of X")
    return handle


def _params(feed: Feed, path: str) -> dict[str, str]:
    form = "search" if path == _SEARCH else "timeline"
    names, references, note = _WORDS[feed.vocabulary or "post"]
    params = {
        "max_results": str(_page_size(feed, form)),
        "expansions": "attachments.media_keys",
        "media.fields": _MEDIA_FIELDS,
        names: f"created_at,author_id,attachments,entities,possibly_sensitive,withheld,{references},{note}",
    }
    if form == "timeline":
        return params | {"exclude": "retweets"}
    return {"query": _query(feed), **params}


def _query(feed: Feed) -> str:
    if feed.hashtag is None:
        return f"from:{_handle(feed)} has:images -is:retweet"
    tag = feed.hashtag.removeprefix("#")
    if _TAG.fullmatch(tag) is None:
        raise BadFeedError(f"{feed.name}: a hashtag of X is letters and digits")
    return f"#{tag} has:images -is:retweet"


def _page_size(feed: Feed, form: str) -> int:
    """Posts to ask for at once: no more than the feed's limit and the cost cap allow."""
    least, most = _LEAST[form], min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)
    if feed.cost_cap_usd is not None:
        lookup = USER_USD if _start(feed).startswith(_LOOKUP) else 0.0
        affordable = int((feed.cost_cap_usd - lookup) / POST_USD + 1e-6)
        if affordable < least:
            page = least * POST_USD + lookup
            raise BadFeedError(f"{feed.name}: cost_cap_usd is {feed.cost_cap_usd:g}, and one page can cost {page:g}")
        most = min(most, affordable)
    return max(least, most)


def _since_is_too_old(body: Any) -> bool:
    """Whether X refuses ``since_id``: a search reaches back 7 days. All that it can find is new then."""
    errors = body.get("errors") if isinstance(body, dict) and "data" not in body else None
    for problem in errors if isinstance(errors, list) else []:
        match problem:
            case {"parameters": {"since_id": _}}:
                return True
    return False


def _refuse_used_up(feed: Feed, response: Response, body: Any) -> None:
    """Raise where no post is given for money or for a month; what the headers say of the window is beside the point."""
    has_data = isinstance(body, dict) and "data" in body
    if response.status == 402 or (not has_data and not _USED_UP.isdisjoint(_problems(body))):
        raise RateLimitedError(
            f"{feed.name}: X's credits are spent or the month's posts are read: add credits or raise the cap in X's"
            f" developer console (HTTP {response.status}, {described(response)})",
            reset_at=NOT_BY_WAITING,
        )


def _user_id(feed: Feed, body: dict[str, Any]) -> str:
    match body:
        case {"data": {"id": str(found)}} if _USER_ID.fullmatch(found):
            return found
    raise SourceChangedError(f"{feed.name}: the account looked up has no id")


def _listing(feed: Feed, response: Response, path: str, body: dict[str, Any]) -> Page:
    entries, meta = body.get("data"), body.get("meta")
    match meta:
        # Without a post there is no list at all.
        case {"result_count": 0} if entries is None:
            entries = []
    if not isinstance(entries, list):
        raise SourceChangedError(f"{feed.name}: the answer has no list named data")
    media, users = _included(body, "media", "media_key"), _included(body, "users", "id")
    posts: list[Post] = []
    rejects: list[Reject] = []
    newest: tuple[int, Bookmark] | None = None
    for raw in entries:
        try:
            wire = _Post.model_validate(raw)
            place = int(wire.id), Bookmark(newest_id=wire.id, newest_at=_posted_at(wire))
            newest = max(newest or place, place, key=lambda one: one[0])
            posts.append(_post(wire, media, users))
        except ValueError as error:
            rejects.append(Reject(_id(raw), reason(error), raw))
    return Page(
        posts=posts,
        rejects=rejects,
        cursor=_next(feed, response, path, meta),
        rate=_DIALECT.rate(response),
        newest=newest[1] if newest else None,
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
    """The objects beside the posts, by their key; what has none is nobody's."""
    includes = body.get("includes")
    entries = includes.get(name) if isinstance(includes, dict) else None
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get(key), str):
            found[entry[key]] = entry
    return found


def _post(wire: _Post, media: dict[str, Any], users: dict[str, Any]) -> Post:
    if wire.withheld is not None:
        raise ValueError("withheld by the network")
    if any(reference.type in ("retweeted", "reposted") for reference in wire.references or []):
        raise ValueError("a repost of another post")
    user = users.get(wire.author_id, {})
    name = user.get("name") or user.get("username")
    keys = (wire.attachments and wire.attachments.media_keys) or []
    return Post(
        post_id=wire.id,
        author_id=wire.author_id,
        author_name=name if isinstance(name, str) else None,
        permalink=f"https://x.com/i/status/{wire.id}",
        posted_at=_posted_at(wire),
        # The network escapes ampersands and angle brackets.
        text=html.unescape((wire.note or wire).text),
        tags=list(dict.fromkeys(_tags(wire))),
        sensitive=bool(wire.possibly_sensitive),
        media=[_media(key, index, media.get(key)) for index, key in enumerate(dict.fromkeys(keys))],
    )


def _posted_at(wire: _Post) -> datetime:
    """The time of the post; where it is not told, the id has it: milliseconds since November 2010, above 22 bits."""
    return wire.created_at or datetime.fromtimestamp(((int(wire.id) >> 22) + 1288834974657) / 1000, UTC)


def _tags(wire: _Post) -> Iterator[str]:
    for entities in (wire.entities, wire.note and wire.note.entities):
        yield from (hashtag.tag for hashtag in (entities and entities.hashtags) or [])


def _media(key: str, index: int, raw: Any) -> Media:
    media_id = f"x/{key}"
    if raw is None:
        return Media(media_id=media_id, index=index, kind="unknown", url=None, skip_reason=_NOT_DELIVERED)
    try:
        wire = _Media.model_validate(raw)
    except ValueError as error:
        raise ValueError(f"includes.media.{reason(error)}") from None
    kind = _KINDS.get(wire.type, "unknown")
    url = _large(wire.url) if kind == "image" and wire.url else None
    return Media(
        media_id=media_id,
        index=index,
        kind=kind,
        url=url,
        alt_text=wire.alt_text or None,
        width=wire.width or None,
        height=wire.height or None,
        skip_reason=_NO_ADDRESS if kind == "image" and url is None else None,
    )


def _large(url: str) -> str:
    """The address of the large size; the one given is of the medium size."""
    photo = _PHOTO.fullmatch(url)
    return f"https://pbs.twimg.com/media/{photo[1]}?format={photo[2]}&name=large" if photo else url


def _id(raw: Any) -> str | None:
    match raw:
        case {"id": str(found)}:
            return found
    return None
