"""Listings of the networks in memory, into which posts can be inserted at any place, and runs that read them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from fetch.pager import Pager
from imagelake.lake.bucket import Bucket
from imagelake.lake.suppression import SuppressionList
from imagelake.run.models import Progress, Run
from imagelake.sources import Bookmark, Feed, Page, Source, get_source
from imagelake.web.messages import Request, Response
from tests.support.factories import RUN

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
DID = "did:plc:abcdefghijklmnopqrstuvwx"


@dataclass(order=True)
class Entry:
    """A post: its place in the network's order (a number of seconds), and its id among those of the same place."""

    place: int
    number: int = 0

    @property
    def name(self) -> str:
        return f"{self.place * 1_000 + self.number:09d}"

    @property
    def time(self) -> str:
        return (BEGIN + timedelta(seconds=self.place)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Listing:
    """One feed of one network; ``entries`` are its posts, in any order."""

    feed: Feed
    entries: list[Entry] = field(default_factory=list)
    # The largest page.
    page_size = 100
    requests: list[Request] = field(default_factory=list)

    @property
    def newest_first(self) -> list[Entry]:
        return sorted(self.entries, reverse=True)

    def answer(self, request: Request) -> Response:
        """Answer as the network's documentation says."""
        self.requests.append(request)
        url = f"{request.url}?{urlencode(request.params)}" if request.params else request.url
        headers, body = self.page(urlsplit(request.url).path, request.params)
        return Response(200, {"content-type": "application/json"} | headers, json.dumps(body).encode(), url)

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        raise NotImplementedError

    def name_of(self, post_id: str) -> str:
        """Return ``Entry.name`` of a post of the adapter."""
        return post_id

    def slice(self, begin: int, size: int) -> tuple[list[Entry], str | None]:
        """Return a page of the posts from new to old, and the position of the next one."""
        end = begin + min(size, self.page_size)
        return self.newest_first[begin:end], str(end) if end < len(self.entries) else None


class BlueskyListing(Listing):
    """https://docs.bsky.app/docs/api/app-bsky-feed-get-author-feed and app-bsky-feed-search-posts"""

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        entries, cursor = self.slice(int(query.get("cursor", 0)), int(query["limit"]))
        views = [
            {
                "uri": f"at://{DID}/app.bsky.feed.post/{entry.name}",
                "author": {"did": DID, "handle": "alice.example"},
                "record": {"text": "", "createdAt": entry.time},
                "indexedAt": "2026-12-01T00:00:00Z",
            }
            for entry in entries
        ]
        listing = {"posts": views} if path.endswith("searchPosts") else {"feed": [{"post": view} for view in views]}
        return {}, listing | ({"cursor": cursor} if cursor else {})

    def name_of(self, post_id: str) -> str:
        return post_id.rpartition("/")[2]


class GraphListing(Listing):
    """https://developers.facebook.com/docs/graph-api/results"""

    page_size = 25

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        entries, after = self.slice(int(query.get("after", 0)), int(query["limit"]))
        paging = {"cursors": {"after": after}, "next": f"https://graph.facebook.com/v?after={after}"} if after else {}
        common = {"media_type": "IMAGE", "media_url": "https://scontent.cdninstagram.com/a.jpg"}
        data = [{"id": entry.name, "created_time": entry.time, "timestamp": entry.time, **common} for entry in entries]
        return {}, {"data": data, "paging": paging}


class JsonFeedListing(Listing):
    """https://www.jsonfeed.org/version/1.1/"""

    page_size = 10

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        entries, following = self.slice(int(path.rpartition("/")[2] or 0), self.page_size)
        items = [{"id": entry.name, "date_published": entry.time} for entry in entries]
        onward = {"next_url": f"https://example.org/{following}"} if following else {}
        return {}, {"version": "https://jsonfeed.org/version/1.1", "items": items, **onward}


class MastodonListing(Listing):
    """https://docs.joinmastodon.org/methods/timelines/#tag: ids give the order; a time can be any."""

    page_size = 40

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        if path == "/api/v2/instance":
            return {}, {}
        size, listed = min(int(query["limit"]), self.page_size), self.newest_first
        if "min_id" in query:
            entries = [entry for entry in listed if entry.name > query["min_id"]][-size:]
        else:
            entries = [entry for entry in listed if entry.name < query.get("max_id", "~")][:size]
        base = "https://server.example/api/v1/timelines/tag/cats?limit=40"
        links = [f'<{base}&max_id={entries[-1].name}>; rel="next"'] if entries else []
        links += [f'<{base}&min_id={entries[0].name}>; rel="prev"'] if entries else []
        return {"link": ", ".join(links)}, [self._status(entry) for entry in entries]

    def _status(self, entry: Entry) -> dict[str, Any]:
        return {
            "id": entry.name,
            # The authors' servers state the times.
            "created_at": f"2026-01-{1 + entry.place * 7 % 28:02d}T00:00:00Z",
            "visibility": "public",
            "account": {"acct": "alice"},
            "sensitive": False,
            "content": "",
            "tags": [],
            "media_attachments": [],
        }


class CommonsListing(Listing):
    """https://www.mediawiki.org/wiki/API:Categorymembers: sorted by the time of addition, then by page."""

    page_size = 50

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        if "generator" not in query:
            return {}, {"batchcomplete": True, "query": {"pages": [{"ns": 14, "title": query["titles"]}]}}
        forward, start = query["gcmdir"] == "newer", query.get("gcmstart", "")
        listed = sorted(self.entries) if forward else self.newest_first
        if start:
            listed = [entry for entry in listed if (entry.time >= start if forward else entry.time <= start)]
        begin = int(query.get("gcmcontinue", 0))
        end = begin + min(int(query["gcmlimit"]), self.page_size)
        body: dict[str, Any] = {"batchcomplete": True}
        if listed[begin:end]:
            # The pages of a response are in the order of their ids.
            body["query"] = {"pages": [self._file(entry) for entry in sorted(listed[begin:end])]}
        if end < len(listed):
            body["continue"] = {"gcmcontinue": str(end), "continue": "gcmcontinue||"}
        return {}, body

    def _file(self, entry: Entry) -> dict[str, Any]:
        info = {
            # A file can be older than its place in the category.
            "timestamp": "2020-01-01T00:00:00Z",
            "user": "Ann",
            "url": "https://upload.wikimedia.org/a.jpg",
            "sha1": entry.name,
            "mime": "image/jpeg",
        }
        added = [{"title": "Category:Cats", "timestamp": entry.time}]
        return {"pageid": int(entry.name) + 1, "title": "File:A.jpg", "imageinfo": [info], "categories": added}

    def name_of(self, post_id: str) -> str:
        return f"{int(post_id) - 1:09d}"


# A listing for every network that has an overlap, and for every way in which it lists posts.
LISTINGS: dict[str, type[Listing]] = {
    "bluesky:alice.example": BlueskyListing,
    "bluesky:#cats": BlueskyListing,
    "facebook:NASA": GraphListing,
    "instagram:me": GraphListing,
    "rss:https://example.org/": JsonFeedListing,
    "mastodon:server.example#cats": MastodonListing,
    "commons:Cats": CommonsListing,
}


class Reading:
    """The runs of one feed, one after the other; known posts are those that an earlier run has read."""

    def __init__(self, listing: Listing, limit: int = 1_000) -> None:
        self.listing = listing
        self._limit = limit
        self._source: Source = get_source(listing.feed.source)
        self.bookmark: Bookmark | None = None
        self.known: set[str] = set()
        self.progress = Progress()
        self._pages: list[Page] = []
        self.warnings: tuple[str, ...] = ()

    def read(self, request: Request) -> tuple[Response, Page]:
        """Answer a request of ``Pager`` like a session."""
        response = self.listing.answer(request)
        self._pages.append(self._source.parse(self.listing.feed, response))
        return response, self._pages[-1]

    def run(self) -> set[str]:
        """Read the feed as one run does, and return the posts that no earlier run has read."""
        self._pages = []
        run: Run = RUN.model_copy(update={"posts_per_feed": self._limit})
        bucket = cast(Bucket, _NoBucket())
        feed = self.listing.feed
        pager = Pager(self._source, feed, feed.feed_id, run, cast(Any, self), bucket, SuppressionList())
        self.progress = pager.read(Progress(), self.bookmark, lambda: 300.0)
        # Fetch drops a page beyond the limit.
        kept = self._pages[: self.progress.pages]
        read = {self.listing.name_of(post.post_id) for page in kept for post in page.posts}
        new, self.known = read - self.known, self.known | read
        # Commit Bookmark never moves the bookmark backwards.
        at = self.progress.newest_at
        if at and (self.bookmark is None or datetime.fromisoformat(at) >= self.bookmark.newest_at):
            self.bookmark = Bookmark(newest_id=self.progress.newest_id, newest_at=datetime.fromisoformat(at))
        return new


class _NoBucket:
    def put(self, *_: Any) -> None:
        """Drop the raw page."""

    def put_json(self, *_: Any) -> None:
        """Drop the definition of the feed."""
