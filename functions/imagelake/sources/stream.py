"""A stream: posts that producers put on Kinesis, as JSON records of a versioned schema, staged in windows.

    {"schema": "imagelake.post/1", "post": {...}}                        a ``Post`` of ``imagelake.run.posts``
    {"schema": "imagelake.raw/1", "source": "bluesky", "raw": {...}}     a post as its network's API returns it
    {"schema": "imagelake.raw/1", "source": "mastodon", "server": "...", "raw": {...}}

The consumer of the stream and ``parse`` read a record with the same two functions, ``decode`` and ``to_post``, so
``parse`` accepts every record that the consumer has staged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

from pydantic import ConfigDict, Field

from imagelake.run.errors import ImagelakeError, SourceChangedError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.posts import NOT_IN_ID, RAW_IMAGE_ID, Post, authors_in
from imagelake.sources import mastodon
from imagelake.sources.bluesky import Bluesky
from imagelake.sources.contract import Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.origin import host
from imagelake.sources.responses import has_more_values, read_json
from imagelake.sources.wire import PLAUSIBLE_YEARS, read_entries, without_entries
from imagelake.web.messages import Request, Response

POST_SCHEMA = "imagelake.post/1"
RAW_SCHEMA = "imagelake.raw/1"
# The URL of a staged window for ``fetch``; without the name of a window, the page is empty.
STAGE = "stage:"

# Names the stream in errors; made without validation, which would build the model at import.
_FEED = Feed.model_construct(source="stream", account="stream")

# A feed needs an account, and the parsing of one post does not.
_ANY = {"account": "stream"}

# Networks whose posts contain all that an adapter needs; the function puts one post into a page of the network's API.
_RAW: Mapping[str, tuple[Source, Callable[[Any], Any]]] = {
    "bluesky": (Bluesky(), lambda raw: {"feed": [raw]}),
    "mastodon": (mastodon.Mastodon(), lambda raw: [raw]),
}

# A window can have a thousand records.
MAX_RECORD_VALUES = 100_000
MAX_RECORD_MEDIA = 100


class _PostRecord(FrozenModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Literal["imagelake.post/1"] = Field(alias="schema")
    post: Post


class _RawRecord(FrozenModel):
    model_config = ConfigDict(extra="forbid")

    schema_: Literal["imagelake.raw/1"] = Field(alias="schema")
    source: str
    server: str | None = None
    raw: dict[str, Any]


def decode(data: bytes) -> dict[str, Any]:
    """Decode the JSON object of a record, safe to store; raise ``ValueError`` if there is none."""
    if has_more_values(data, MAX_RECORD_VALUES):
        raise ValueError(f"the record has more than {MAX_RECORD_VALUES:,} JSON values")
    try:
        value = read_json(_FEED, Response(200, {}, data, ""), max_values=None)
    except SourceChangedError:
        raise ValueError("not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def to_post(record: Any) -> Post:
    """Build the post of a decoded record; raise ``ValueError`` with the wrong field and its problem."""
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    match record.get("schema"):
        case "imagelake.post/1":
            post = _PostRecord.model_validate(record).post
        case "imagelake.raw/1":
            post = _post_of_network(_RawRecord.model_validate(record))
        case None:
            raise ValueError(f"schema: missing; it must be {POST_SCHEMA} or {RAW_SCHEMA}")
        case other:
            raise ValueError(f"schema: {str(other)[:60]!r} is neither {POST_SCHEMA} nor {RAW_SCHEMA}")
    _check(post)
    return post


def _post_of_network(record: _RawRecord) -> Post:
    if record.source not in _RAW:
        raise ValueError(
            f"source: raw posts are accepted from {' and '.join(sorted(_RAW))}; send others as {POST_SCHEMA}"
        )
    network, page_of = _RAW[record.source]
    body = json.dumps(page_of(record.raw)).encode()
    try:
        feed = Feed.of({"source": record.source, "server": record.server} | _ANY)
        page = network.parse(feed, Response(200, {"content-type": "application/json"}, body, ""))
    except ImagelakeError as error:
        raise ValueError(str(error)) from error
    if page.rejects:
        raise ValueError(f"raw: {page.rejects[0].reason}")
    (post,) = page.posts
    return post


def author_ids(record: Any) -> tuple[str, ...]:
    """Return the authors of a record that is no post, as far as no text of it is their id."""
    match record:
        case {"source": "mastodon", "server": str(server), "raw": dict(raw)}:
            with suppress(ImagelakeError):
                return tuple(mastodon.author_ids(raw, host(Feed.of({"source": "mastodon", "server": server} | _ANY))))
        case {"source": "bluesky", "raw": {"post": {"uri": str(uri)}}}:
            return authors_in("bluesky", uri)
    return ()


def _check(post: Post) -> None:
    """Refuse values that the schema allows but the tables or the columns cannot hold."""
    if post.posted_at.year not in PLAUSIBLE_YEARS:
        raise ValueError(f"posted_at: year {post.posted_at.year} is not plausible")
    if len(post.media) > MAX_RECORD_MEDIA or any(media.index >= MAX_RECORD_MEDIA for media in post.media):
        raise ValueError(f"media: more than {MAX_RECORD_MEDIA}, or an index beyond that")
    for name, value in (("post_id", post.post_id), ("author_id", post.author_id)):
        if NOT_IN_ID.search(value):
            # Nobody could name it in a request to erase it.
            raise ValueError(f"{name}: it has a space at an end, a control character or half of a character")
    if any(media.media_id.startswith(RAW_IMAGE_ID) for media in post.media):
        raise ValueError(f"media_id: starts with {RAW_IMAGE_ID}, as raw images do in the media index")


class Stream:
    """The adapter; ``feed.account`` is the stream, ``feed.window`` the staged window to read.

    Without a window there is nothing to read, and the run resumes the batches that earlier windows left open.
    """

    name = "stream"
    newest_first = False
    # Records of a window are never read twice.
    overlap = 0
    # The producers of the stream decide where its images are.
    media_hosts: frozenset[str] | None = None
    manifest = Manifest(
        title="Kinesis stream",
        feeds=("stream:STREAM",),
        lookback=(Lookback("the stream keeps records for 24 hours"),),
        page_size=1000,
        credentials=(),
        credentials_required=False,
        post_usd=None,
        deletion="the stream does not report it",
        terms="those of the producer of the posts",
        notes=(
            "The stack has a stream only if its parameter `StreamIngest` is `ENABLED`; its consumer starts the runs.",
            "The feed `stream:STREAM` in a scheduled run resumes the batches that those runs left open.",
        ),
        settings=("window",),
        unused=("server", "hashtag", "limit", "since"),
    )

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the feed's window."""
        return Request(f"{STAGE}{feed.window or ''}")

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse a staged window: a JSON list of decoded records."""
        # The records were within the limit one by one, and Lambda delivers at most 6 MB of them.
        body = read_json(feed, response, max_values=None)
        if not isinstance(body, list):
            raise SourceChangedError(f"{feed.name}: the staged window is not a list of records")
        posts, rejects = read_entries(feed, body, to_post, lambda _: None, author_ids)
        return Page(posts=posts, rejects=rejects, cursor=None)

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove records from the list."""
        return without_entries(self, feed, response, is_removed, lambda body: body)


ADAPTER: Source = Stream()
