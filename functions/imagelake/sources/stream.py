"""A stream: posts that producers put on Kinesis, as JSON records of a versioned schema, staged a window at a time.

    {"schema": "imagelake.post/1", "post": {...}}                        a ``Post`` of ``imagelake.run.posts``
    {"schema": "imagelake.raw/1", "source": "bluesky", "raw": {...}}     a post as its network's API shows it
    {"schema": "imagelake.raw/1", "source": "mastodon", "server": "...", "raw": {...}}

The consumer of the stream and ``parse`` read a record by the same two functions, so what the one lets through, the
other takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from imagelake.run.errors import ImagelakeError, SourceChangedError
from imagelake.run.posts import Post
from imagelake.sources.answers import read_json
from imagelake.sources.bluesky import Bluesky
from imagelake.sources.contract import Bookmark, Feed, Page, Reject, Source
from imagelake.sources.manifest import Manifest
from imagelake.sources.mastodon import Mastodon
from imagelake.sources.wire import reason
from imagelake.web.messages import Request, Response

POST_SCHEMA = "imagelake.post/1"
RAW_SCHEMA = "imagelake.raw/1"
# The address of a staged window, for ``fetch``; one that names no window is an empty page.
STAGE = "stage:"

# Names the stream in errors; made without validation, which would build the model at import.
_FEED = Feed.model_construct(source="stream", account="stream")

# Networks whose posts stand for themselves, and a page of their API around one post.
_RAW: Mapping[str, tuple[Source, Callable[[Any], Any]]] = {
    "bluesky": (Bluesky(), lambda raw: {"feed": [raw]}),
    "mastodon": (Mastodon(), lambda raw: [raw]),
}

# A key of DynamoDB ends here, in bytes.
_LONGEST_ID = 2048
_MOST_MEDIA = 100
# Data frames count in nanoseconds and end in 2262.
_YEARS = range(1970, 2201)


class _PostRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Literal["imagelake.post/1"] = Field(alias="schema")
    post: Post


class _RawRecord(BaseModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Literal["imagelake.raw/1"] = Field(alias="schema")
    source: str
    server: str | None = None
    raw: dict[str, Any]


def decode(data: bytes) -> dict[str, Any]:
    """The JSON object in a record's bytes, safe to store; raises ``ValueError`` with a sentence."""
    try:
        value = read_json(_FEED, Response(200, {}, data, ""))
    except SourceChangedError:
        raise ValueError("not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def to_post(record: dict[str, Any]) -> Post:
    """The post a decoded record holds; raises ``ValueError`` that says which field is wrong and how."""
    match record.get("schema"):
        case "imagelake.post/1":
            post = _PostRecord.model_validate(record).post
        case "imagelake.raw/1":
            post = _post_of_network(_RawRecord.model_validate(record))
        case None:
            raise ValueError(f"schema: missing; known are {POST_SCHEMA} and {RAW_SCHEMA}")
        case other:
            raise ValueError(f"schema: {str(other)[:60]!r} is not known; known are {POST_SCHEMA} and {RAW_SCHEMA}")
    _check(post)
    return post


def _post_of_network(record: _RawRecord) -> Post:
    if record.source not in _RAW:
        raise ValueError(f"source: raw posts are taken of {' and '.join(sorted(_RAW))}; send others as {POST_SCHEMA}")
    network, page_of = _RAW[record.source]
    body = json.dumps(page_of(record.raw)).encode()
    try:
        feed = Feed.of({"source": record.source, "server": record.server, "account": "stream"})
        page = network.parse(feed, Response(200, {"content-type": "application/json"}, body, ""))
    except ImagelakeError as error:
        raise ValueError(str(error)) from error
    if page.rejects:
        raise ValueError(f"raw: {page.rejects[0].reason}")
    (post,) = page.posts
    return post


def _check(post: Post) -> None:
    """Refuse what a producer of ours may write and the tables and the columns cannot hold."""
    if post.posted_at.year not in _YEARS:
        raise ValueError(f"posted_at: year {post.posted_at.year} is not plausible")
    if len(post.media) > _MOST_MEDIA or any(media.index >= _MOST_MEDIA for media in post.media):
        raise ValueError(f"media: more than {_MOST_MEDIA}, or an index beyond that")
    if any(len(media.media_id.encode()) > _LONGEST_ID for media in post.media):
        raise ValueError(f"media_id: longer than {_LONGEST_ID} bytes")


class Stream:
    """The adapter; ``feed.account`` is the stream, ``feed.window`` the staged window to read.

    Without a window there is nothing to read, and the run takes up what earlier windows left open.
    """

    name = "stream"
    newest_first = False
    # Whoever may put records on the stream says where its pictures are.
    media_hosts: frozenset[str] | None = None
    manifest = Manifest(
        title="Kinesis stream",
        feeds=("stream:STREAM",),
        lookback="what the stream retains: 24 hours",
        page_size=1000,
        credentials=(),
        credentials_required=False,
        post_usd=None,
        deletion="nothing tells of it",
        terms="those of whoever puts the posts on the stream",
        notes=(
            "Off unless the stack's parameter `StreamIngest` is `ENABLED`; its consumer starts the runs. A feed "
            "`stream:STREAM` in a scheduled run finishes what those runs left open.",
        ),
        settings=("window",),
    )

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """The address of the window."""
        return Request(f"{STAGE}{feed.window or ''}")

    def parse(self, feed: Feed, response: Response) -> Page:
        """The posts of a staged window: a JSON list of decoded records."""
        body = read_json(feed, response)
        if not isinstance(body, list):
            raise SourceChangedError(f"{feed.name}: the staged window is not a list of records")
        posts: list[Post] = []
        rejects: list[Reject] = []
        for record in body:
            try:
                if not isinstance(record, dict):
                    raise ValueError("not a JSON object")
                posts.append(to_post(record))
            except ValueError as error:
                rejects.append(Reject(None, reason(error), record))
        return Page(posts=posts, rejects=rejects, cursor=None)
