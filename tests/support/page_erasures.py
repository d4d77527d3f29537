"""Raw pages of a day for the tests of their erasure."""

from __future__ import annotations

import gzip
import json
from typing import Any, cast

from erase_pages.app import handler
from imagelake.lake import object_keys
from imagelake.run.models import Run
from imagelake.sources import Feed, Page, get_source
from imagelake.sources.raw_pages import stored_response
from imagelake.web.messages import Response
from tests.support.erasures import ERASURE_ID
from tests.support.factories import RUN, Context, event
from tests.support.fake_lake import Lake
from tests.support.listings import DID

ALICE = Feed.of("bluesky:alice.example")
BOB = "did:plc:bobbobbobbobbobbobbobbob"
ACCOUNT_URL = "https://public.api.bsky.app/xrpc/app.bsky.feed.getAuthorFeed?actor=alice.example"
X_URL = "https://api.x.com/2/tweets/search/recent?query=from%3ACatCafe&max_results=100"
CATS = Feed.of("bluesky:#cats")
SEARCH = "https://bsky.social/xrpc/app.bsky.feed.searchPosts?q=%23cats"


def erase(source: str, erasure_id: str = ERASURE_ID, dt: str = RUN.dt) -> dict[str, int]:
    example = event("erase_pages", day={"source": source, "dt": dt})
    example["erasure"]["erasure_id"] = erasure_id
    answer: dict[str, int] = handler(example, cast(Any, Context()))
    return answer


def page_key(feed: Feed, number: int = 0, run: Run = RUN) -> str:
    return object_keys.raw_page(run, feed.source, feed.feed_id, number)


def definition_key(feed: Feed, run: Run = RUN) -> str:
    return object_keys.feed_definition(feed.source, run.dt, run.run_id, feed.feed_id)


def put_page(lake: Lake, feed: Feed, response: Response, number: int = 0, run: Run = RUN) -> None:
    """Store a page as Fetch does."""
    lake.bucket.put_json(definition_key(feed, run), feed.model_dump(mode="json", exclude_none=True))
    metadata = {"url": response.url, "status": str(response.status)}
    metadata |= {name: response.headers[name] for name in ("content-type",) if name in response.headers}
    lake.bucket.put(page_key(feed, number, run), gzip.compress(response.body, mtime=0), "application/gzip", metadata)


def read_page(lake: Lake, feed: Feed, number: int = 0, run: Run = RUN) -> tuple[bytes, Page | None]:
    body, version = lake.bucket.get_with_version(page_key(feed, number, run))
    response = stored_response(gzip.decompress(body), version.metadata)
    if response is None:
        assert version.metadata == {"url": "", "status": "200"}
        return b"", None
    return response.body, get_source(feed.source).parse(feed, response)


def name(source: str, author_id: str, **more: str) -> dict[str, str]:
    return {"source": source, "author_id": author_id, **more}


def view(key: str, author: str = DID, **more: Any) -> dict[str, Any]:
    """A post of Bluesky's search, as https://docs.bsky.app/docs/api/app-bsky-feed-search-posts has it."""
    return {
        "uri": f"at://{author}/app.bsky.feed.post/{key}",
        "author": {"did": author, "handle": f"{author[-3:]}.example"},
        "record": {"text": f"text of {key}"},
        "indexedAt": "2026-04-01T09:00:00Z",
        **more,
    }


def search(*posts: Any, cursor: str = "1") -> Response:
    return Response(200, {"content-type": "application/json"}, json.dumps({"posts": posts, "cursor": cursor}).encode(),
                    SEARCH)  # fmt: skip
