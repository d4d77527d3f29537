"""Facebook: the published posts of a Page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from imagelake.run.errors import BadFeedError
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources import graph
from imagelake.sources.contract import Authorized, Bookmark, Feed, Page, Source
from imagelake.sources.manifest import Manifest
from imagelake.sources.origin import origin
from imagelake.sources.wire import Moment, WireModel
from imagelake.web.messages import Request, Response

# With all attachments of the posts, Facebook refuses most of the larger pages: "reduce the amount of data".
_PAGE_SIZE = 25

_PAGE = re.compile(r"@?([A-Za-z0-9][A-Za-z0-9._-]{0,79})")

_ATTACHMENT = "media_type,type,media,target,url"
_FIELDS = (
    "id,message,created_time,permalink_url,status_type,is_published,from,full_picture,"
    f"attachments{{{_ATTACHMENT},subattachments.limit(100){{{_ATTACHMENT}}}}}"
)

_KINDS: Mapping[str, MediaKind] = {
    "photo": "image",
    "cover_photo": "image",
    "profile_media": "image",
    "album": "image",
    "new_album": "image",
    "video": "video",
    "video_inline": "video",
    "video_autoplay": "video",
    "video_direct_response": "video",
}
_LINKS = frozenset({"link", "share", "multi_share", "fallback", "map", "event", "note", "offer", "question", "job"})
_NO_URL = "facebook gives no URL for this media item"
_SHARED = "shared from another post"


class _Image(WireModel):
    src: str
    width: int | None = None
    height: int | None = None


class _Picture(WireModel):
    image: _Image | None = None


class _Target(WireModel):
    id: str | None = None


class _Part(WireModel):
    media_type: str | None = None
    type: str | None = None
    media: _Picture | None = None
    target: _Target | None = None


class _Parts(WireModel):
    data: list[_Part]


class _Attachment(_Part):
    subattachments: _Parts | None = None


class _Attachments(WireModel):
    data: list[_Attachment]


class _Author(WireModel):
    id: str = Field(min_length=1)
    name: str | None = None


class _Entry(WireModel):
    id: str = Field(min_length=1)
    created_time: Moment
    message: str | None = None
    permalink_url: str | None = None
    status_type: str | None = None
    is_published: bool | None = None
    author: _Author | None = Field(default=None, alias="from")
    full_picture: str | None = None
    attachments: _Attachments | None = None


class Facebook(Authorized):
    """The adapter; ``feed.server`` replaces the network's API."""

    name = "facebook"
    newest_first = True
    # Pages can date their posts back.
    overlap = 50
    media_hosts: frozenset[str] | None = frozenset({"fbcdn.net", "fbsbx.com"})
    manifest = Manifest(
        title="Facebook Pages",
        feeds=("facebook:NASA",),
        lookback="about 600 posts a year",
        page_size=_PAGE_SIZE,
        credentials=("access_token",),
        credentials_required=True,
        post_usd=None,
        deletion="a deleted post is no longer in the listing, and the response for its id has the code 100/33",
        terms="only for the approved purpose; delete on request of the user or of Meta",
        notes=(
            "`access_token` is a Page token with pages_read_engagement. A field with the name of the feed's account, "
            "such as `NASA`, is the token of that Page and is preferred.",
            "A Page token does not expire by date. It ends with a changed password or when the app is removed.",
            "A Page that is not your own needs the feature Page Public Content Access.",
            "Facebook has no search for hashtags.",
            "If Meta asks to reduce the amount of data, the run goes on with half the page size, down to one post.",
            "Pages can date their posts back.",
            "URLs of images expire after days; each URL contains its expiry.",
            "Images are as the post shows them, not the originals. Facebook gives no alt text, no license and no "
            "sensitive flag.",
        ),
    )
    secret_hosts = frozenset({"graph.facebook.com"})
    public_fields = frozenset({"access_token_expires_at"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the next page of the Page's own, published posts."""
        if feed.account is None:
            raise BadFeedError(f"{feed.name}: Facebook has no search for hashtags; name a Page")
        page = _PAGE.fullmatch(feed.account)
        if page is None:
            raise BadFeedError(f"{feed.name}: write the Page's name as in its URL, or its id")
        params = {"fields": _FIELDS, "limit": str(_size(feed))}
        return Request(
            f"{origin(feed, graph.API)}/{graph.VERSION}/{page[1]}/published_posts",
            params | dict(parse_qsl(cursor or "")),
        )

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request:
        """Build the request for the Page's listing, by time."""
        return graph.at(self.request(feed, None, None), posted_at)

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse the page; an empty page, and one that Meta calls too large, can still have a next one."""
        if smaller := graph.smaller_page(feed, response):
            return Page([], [], smaller)
        body = graph.read_object(feed, response)
        return graph.read_page(
            feed,
            response,
            body,
            lambda raw: _post(_Entry.model_validate(raw)),
            cursor=graph.in_same_size(graph.next_position(feed, body), response, _size(feed)),
        )

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the token of the Page."""
        page = urlsplit(request.url).path.split("/")[2]
        token = secret.get(page) or secret["access_token"]
        return replace(request, params={**request.params, "access_token": token})


ADAPTER: Source = Facebook()


def _size(feed: Feed) -> int:
    return min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)


def _post(entry: _Entry) -> Post:
    if entry.is_published is False:
        raise ValueError("not published")
    text = entry.message or ""
    return Post(
        post_id=entry.id,
        # The id of a post begins with the id of its Page.
        author_id=entry.author.id if entry.author else entry.id.partition("_")[0] or "unknown",
        author_name=entry.author.name if entry.author else None,
        permalink=entry.permalink_url or None,
        posted_at=entry.created_time,
        text=text,
        tags=graph.hashtags(text),
        media=list(_media(entry)),
    )


def _media(entry: _Entry) -> Iterator[Media]:
    """Yield the Page's own media; link cards are left out, and media of shared posts are skipped."""
    parts = [part for part in _parts(entry) if not _is_link(part)]
    for index, part in enumerate(parts):
        image = part.media.image if part.media else None
        kind = _kind(part)
        url = image.src if image and image.src else None
        if kind == "image" and url is None and len(parts) == 1:
            url = entry.full_picture or None
        shared = entry.status_type == "shared_story"
        target = part.target.id if part.target else None
        yield Media(
            media_id=f"facebook/{target}" if target else f"facebook/{entry.id}/{index}",
            index=index,
            kind="unknown" if shared else kind,
            # The image of a video is its poster.
            url=url if kind == "image" and not shared else None,
            width=(image and image.width) or None,
            height=(image and image.height) or None,
            expires_at=graph.expiry(url) if kind == "image" and not shared else None,
            skip_reason=_SHARED if shared else _NO_URL if kind == "image" and url is None else None,
        )


def _parts(entry: _Entry) -> Iterator[_Part]:
    if entry.attachments is None:
        if entry.full_picture and entry.status_type == "added_photos":
            yield _Part(media_type="photo")
        return
    for attachment in entry.attachments.data:
        inner = attachment.subattachments.data if attachment.subattachments else []
        yield from inner or [attachment]


def _kind(part: _Part) -> MediaKind:
    if "animated_image" in (part.type or ""):
        return "animation"
    return _KINDS.get(part.media_type or part.type or "", "unknown")


def _is_link(part: _Part) -> bool:
    return (part.media_type or part.type) in _LINKS and "animated_image" not in (part.type or "")
