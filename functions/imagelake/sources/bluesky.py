"""Bluesky: the image posts of an account, from the public AppView, or those of a hashtag, with a login.

The login exchanges an app password for a token of two hours, which is not stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    ImagelakeError,
    RateLimitedError,
    SourceChangedError,
)
from imagelake.run.posts import Post
from imagelake.sources.bluesky_posts import WireEntry, WirePost, refuse_repost, sort_time, to_post
from imagelake.sources.contract import Authorized, Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.hashtags import without_sign
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.origin import origin
from imagelake.sources.responses import Dialect, check, rate_limit, read_json, stated_number, unix_time
from imagelake.sources.wire import read_entries, without_entries
from imagelake.web.messages import Request, Response

_PUBLIC_API = "https://public.api.bsky.app"
# Accounts on Bluesky's own servers log in here.
_LOGIN_API = "https://bsky.social"
_PAGE_SIZE = 100

_AUTHOR_FEED = "/xrpc/app.bsky.feed.getAuthorFeed"
_SEARCH = "/xrpc/app.bsky.feed.searchPosts"
_PROFILE = "/xrpc/app.bsky.actor.getProfile"
_SESSION = "/xrpc/com.atproto.server.createSession"
# A session lives for 120 minutes; after 90 we log in again, so that 30 minutes remain to use it.
_SESSION_LIFE = timedelta(minutes=90)

_TAG = re.compile(r"[^\s#]{1,64}")
_ACTOR = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]+|(?:[a-zA-Z0-9-]+\.)+[a-zA-Z][a-zA-Z0-9-]*")

_ERRORS: Mapping[str, type[ImagelakeError]] = {
    "ProfileNotFound": FeedNotFoundError,
    "AccountTakedown": FeedNotFoundError,
    "AccountDeactivated": FeedNotFoundError,
    "BlockedActor": FeedNotPermittedError,
    "BlockedByActor": FeedNotPermittedError,
    "AuthMissing": CredentialsError,
    "AuthenticationRequired": CredentialsError,
    "AuthFactorTokenRequired": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidToken": CredentialsError,
    "RateLimitExceeded": RateLimitedError,
}


def _code(body: dict[str, Any]) -> object:
    # An unknown account is an InvalidRequest too; only the message is different.
    return "ProfileNotFound" if body.get("message") == "Profile not found" else body.get("error")


_DIALECT = Dialect(rate=lambda response: rate_limit(response, "ratelimit", unix_time), code=_code, errors=_ERRORS)


class Bluesky(Authorized):
    """The adapter; ``feed.server`` replaces the public AppView, or the login server for a hashtag."""

    name = "bluesky"
    newest_first = True
    # Imported posts have the times of another network.
    overlap = 200
    # The hosts of videos and their posters are left out: only images are downloaded.
    media_hosts: frozenset[str] | None = frozenset({"cdn.bsky.app"})
    manifest = Manifest(
        title="Bluesky",
        feeds=("bluesky:bsky.app", "bluesky:#cats"),
        lookback=(
            Lookback("all posts", "account"),
            Lookback("as far back as the search goes", "hashtag"),
        ),
        page_size=_PAGE_SIZE,
        credentials=("identifier", "app_password"),
        credentials_required=False,
        post_usd=None,
        deletion="a deleted post is no longer in the listing, nor in a response for its URI",
        terms="users must be able to have their content deleted",
        notes=(
            "An account is read without a login. A hashtag needs `identifier` (a handle) and `app_password`.",
            "Imported posts have the times of the network that they come from, so they are behind later ones.",
            "Posts that their author or a moderator hides from signed-out readers are left out.",
            "Images are the network's resized copies. Bluesky gives their aspect ratio, but neither dimensions nor a "
            "license.",
        ),
    )
    secret_hosts = frozenset({"bsky.social"})
    public_fields = frozenset({"identifier", "session_until"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for an account's posts with media, or for a search."""
        if feed.account is not None:
            url, params = f"{origin(feed, _PUBLIC_API)}{_AUTHOR_FEED}", _account_params(feed)
        else:
            url, params = f"{origin(feed, _LOGIN_API)}{_SEARCH}", _search_params(feed)
        params["limit"] = str(min(feed.limit or _PAGE_SIZE, _PAGE_SIZE))
        if cursor is not None:
            params["cursor"] = cursor
        return Request(url, params, {"accept": "application/json"})

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse a page, newest posts first. A pinned post is out of that order, so it does not move the bookmark."""
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        if urlsplit(response.url).path == _PROFILE:
            posts = body.get("postsCount") if isinstance(body, dict) else None
            return Page([], [], None, _DIALECT.rate(response), declared=stated_number(posts))
        entries = _entries(body)
        if entries is None:
            raise SourceChangedError(f"{feed.name}: the response has no list named feed or posts")
        cursor = body.get("cursor")
        if not isinstance(cursor, str | None):
            raise SourceChangedError(f"{feed.name}: the cursor is not a string")
        positions: list[Bookmark] = []

        def read(raw: Any) -> Post:
            entry = WireEntry.model_validate(raw)
            wire = WirePost.model_validate(entry.post)
            refuse_repost(entry)
            if entry.reason is None:
                positions.append(Bookmark(newest_id=wire.uri, newest_at=sort_time(wire)))
            return to_post(wire)

        posts, rejects = read_entries(feed, entries, read, _uri)
        return Page(
            posts=posts,
            rejects=rejects,
            cursor=cursor or None,
            rate=_DIALECT.rate(response),
            newest=max(positions, key=lambda position: position.newest_at, default=None),
        )

    def count_request(self, feed: Feed, bookmark: Bookmark | None) -> Request | None:
        """Build the request for the profile of an account, which states the number of all posts."""
        if feed.account is None or bookmark is not None:
            return None
        actor = {"actor": _account_params(feed)["actor"]}
        return Request(f"{origin(feed, _PUBLIC_API)}{_PROFILE}", actor, {"accept": "application/json"})

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove entries from the list."""
        return without_entries(
            self, feed, response, is_removed, lambda body: body["feed"] if "feed" in body else body["posts"]
        )

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the session's token to a search and the app password to a login; an account's posts need neither."""
        path = urlsplit(request.url).path
        if path == _SEARCH:
            return replace(request, headers={**request.headers, "authorization": f"Bearer {secret['session']}"})
        if path == _SESSION:
            login = {"identifier": secret["identifier"], "password": secret["app_password"]}
            return replace(request, json=login)
        return request

    def renewal(self, request: Request, secret: Mapping[str, str], now: datetime) -> Request | None:
        """Build the login if ``request`` needs a session and there is none, or an old one."""
        parts = urlsplit(request.url)
        if parts.path != _SEARCH:
            return None
        ends_at = secret.get("session_until")
        if ends_at is not None and datetime.fromisoformat(ends_at) > now:
            return None
        return Request(f"{parts.scheme}://{parts.netloc}{_SESSION}", method="POST")

    def renewed(self, feed: Feed, response: Response, now: datetime) -> Mapping[str, str]:
        """Read the session's token, and add the time at which to log in again."""
        check(feed, response, _DIALECT)
        match read_json(feed, response):
            case {"accessJwt": str(token)} if token:
                return {"session": token, "session_until": (now + _SESSION_LIFE).astimezone(UTC).isoformat()}
        raise SourceChangedError(f"{feed.name}: the response to the login has no token")


ADAPTER: Source = Bluesky()


def _account_params(feed: Feed) -> dict[str, str]:
    actor = (feed.account or "").removeprefix("@")
    if _ACTOR.fullmatch(actor) is None:
        raise BadFeedError(f"{feed.name}: write the whole handle, such as alice.bsky.social, or a DID")
    return {"actor": actor, "filter": "posts_with_media"}


def _search_params(feed: Feed) -> dict[str, str]:
    tag = without_sign(feed.hashtag or "")
    if _TAG.fullmatch(tag) is None:
        raise BadFeedError(f"{feed.name}: a hashtag of Bluesky has at most 64 characters")
    return {"q": f"#{tag}", "tag": tag, "sort": "latest"}


def _entries(body: Any) -> list[Any] | None:
    """Return the entries of an account's listing, or the posts of a search in the same form."""
    match body:
        case {"feed": list(entries)}:
            return entries
        case {"posts": list(posts)}:
            return [{"post": post} for post in posts]
    return None


def _uri(raw: Any) -> str | None:
    match raw:
        case {"post": {"uri": str(uri)}}:
            return uri
    return None
