"""A network whose pages are lists of our own posts, so that a test can write them down directly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from imagelake.run.errors import RateLimitedError, SourceChangedError, SourceUnavailableError
from imagelake.run.posts import Post
from imagelake.sources import Bookmark, Feed, Page, RateLimit, Reject, get_source
from imagelake.sources.contract import IsRemoved
from imagelake.web.messages import Request, Response
from tests.support.web_server import Answer, WebServer


class Network:
    """An adapter and its server in one; ``put_pages`` sets the pages."""

    name = "bluesky"
    media_hosts: frozenset[str] | None = None
    manifest = get_source(name).manifest

    def __init__(self, website: WebServer) -> None:
        self.newest_first = True
        self.overlap = 0
        self._website = website

    def put_pages(self, *pages: bytes | Answer) -> None:
        """Serve pages; each should have a cursor to the next one, and the last has none."""
        for number, page in enumerate(pages):
            self._website.put(f"/page/{number}", page)

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        return Request(f"{self._website.origin}/page/{cursor or 0}", {"access_token": "s3cret"})

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        body = json.loads(response.body)
        body["posts"] = [one for one in body["posts"] if not is_removed(Post.model_validate(one))]
        body["rejects"] = [one for one in body["rejects"] if not is_removed(Reject(**one))]
        return json.dumps(body).encode()

    def price(self, request: Request) -> float:
        return 0.2

    def parse(self, feed: Feed, response: Response) -> Page:
        if response.status == 429:
            raise RateLimitedError("slow down", _time(response.headers))
        if response.status >= 500:
            raise SourceUnavailableError(f"HTTP {response.status}")
        try:
            body = json.loads(response.body)
        except ValueError as error:
            raise SourceChangedError("no JSON") from error
        posts = [Post.model_validate(one) for one in body["posts"]]
        continues_posts = body.get("continues_posts", False)
        newest = None if continues_posts else max(posts, key=lambda one: one.posted_at, default=None)
        return Page(
            posts=posts,
            rejects=[Reject(**reject) for reject in body["rejects"]],
            cursor=body["cursor"],
            newest=Bookmark(newest_id=newest.post_id, newest_at=newest.posted_at) if newest else None,
            rate=RateLimit(int(response.headers["left"]), _time(response.headers))
            if "left" in response.headers
            else None,
            cost_usd=body.get("cost_usd", 0.0),
            is_unfinished=body.get("is_unfinished", False),
            continues_posts=continues_posts,
            warnings=tuple(body.get("warnings", ())),
        )


def _time(headers: Mapping[str, str]) -> datetime | None:
    return datetime.fromtimestamp(float(headers["reset"]), UTC) if "reset" in headers else None


def page(*posts: Post, cursor: str | None = None, rejects: tuple[Reject, ...] = (), **more: Any) -> bytes:
    """Make the body of one page."""
    body = {
        "posts": [post.model_dump(mode="json") for post in posts],
        "rejects": [asdict(reject) for reject in rejects],
        "cursor": cursor,
        **more,
    }
    return json.dumps(body).encode()
