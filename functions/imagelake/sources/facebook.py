"""Facebook: the published posts of a Page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field

from imagelake.run.errors import BadFeedError, FeedNotFoundError, FeedNotPermittedError, SourceChangedError
from imagelake.run.posts import Media, MediaKind, Post
from imagelake.sources import facebook_albums, graph
from imagelake.sources.contract import Authorized, Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.facebook_albums import Unread
from imagelake.sources.hashtags import hashtags
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.origin import origin
from imagelake.sources.wire import DECISIVE, Flag, Moment, Pixels, WireModel, read_media, skipped, without_entries
from imagelake.web.messages import Request, Response

# With all attachments of the posts, Facebook refuses most of the larger pages: "reduce the amount of data".
_PAGE_SIZE = 25

_PAGE = re.compile(r"@?([A-Za-z0-9][A-Za-z0-9._-]{0,79})")

_ATTACHMENT = "media_type,type,media,target,url"
_FIELDS = (
    "id,message,created_time,permalink_url,status_type,is_published,from,full_picture,"
    f"attachments{{{_ATTACHMENT},subattachments.limit({facebook_albums.PARTS}){{{_ATTACHMENT}}}}}"
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
_WHOSE = "facebook gives an image, but not if it is the post's own or that of a link"


class _Image(WireModel):
    src: str
    width: Pixels | None = None
    height: Pixels | None = None


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
    data: list[Any]
    paging: Any = None


class _Attachment(_Part):
    subattachments: Annotated[_Parts | None, DECISIVE] = None


class _Author(WireModel):
    id: str = Field(min_length=1)
    name: str | None = None


class _Entry(WireModel):
    id: str = Field(min_length=1)
    created_time: Moment
    message: str | None = None
    permalink_url: str | None = None
    # It tells a shared post.
    status_type: Annotated[str | None, DECISIVE] = None
    is_published: Flag = True
    author: _Author | None = Field(default=None, alias="from")
    full_picture: str | None = None
    attachments: Annotated[_Parts | None, DECISIVE] = None


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
        lookback=(Lookback("about 600 posts a year"),),
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
            "`tags` are the hashtags of the text, by the grammar of twitter-text. So `#a#b` and the fragment of a URL "
            "are none.",
            "URLs of images expire after days; each URL contains its expiry.",
            "Albums of more than 100 images are read up to 1,000, with one request for each 100. If a page has so many "
            "of them that its URL would be too long, a skipped media item says which is not read.",
            "Images are as the post shows them, not the originals. Facebook gives no alt text, no license and no "
            "sensitive flag.",
        ),
    )
    secret_hosts = frozenset({"graph.facebook.com"})
    public_fields = frozenset({"access_token_expires_at"})

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the next page of the Page's own, published posts, or for the rest of an album."""
        if feed.account is None:
            raise BadFeedError(f"{feed.name}: Facebook has no search for hashtags; name a Page")
        page = _PAGE.fullmatch(feed.account)
        if page is None:
            raise BadFeedError(f"{feed.name}: write the Page's name as in its URL, or its id")
        base = f"{origin(feed, graph.API)}/{graph.VERSION}"
        unread = Unread.at(cursor)
        if unread.albums:
            return unread.request(base, _ATTACHMENT, page[1])
        params = {"fields": _FIELDS, "limit": str(_size(feed))}
        return Request(
            f"{base}/{page[1]}/published_posts",
            params | dict(parse_qsl(unread.position or "")),
        )

    def refresh_request(self, feed: Feed, posted_at: datetime) -> Request:
        """Build the request for the Page's listing, by time."""
        return graph.at(self.request(feed, None, None), posted_at)

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse the page; an empty page, and one that Meta calls too large, can still have a next one."""
        _, cursor = facebook_albums.asked(response.url)
        if cursor:
            return _rest_of_album(feed, response, Unread.at(cursor))
        if smaller := graph.smaller_page(feed, response):
            return Page([], [], smaller)
        body = graph.read_object(feed, response)
        unread = Unread(graph.in_same_size(graph.next_position(feed, body), response, _size(feed)))
        page = graph.read_page(
            feed,
            response,
            body,
            lambda raw: _post(feed, _Entry.model_validate(raw), unread),
            cursor=unread.position,
        )
        return replace(page, cursor=unread.cursor, is_unfinished=bool(unread.albums))

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove entries from the list."""
        return without_entries(self, feed, response, is_removed, lambda body: body["data"])

    def authorize(self, request: Request, secret: Mapping[str, str]) -> Request:
        """Add the token of the Page."""
        asked, _ = facebook_albums.asked(request.url)
        page = asked or urlsplit(request.url).path.split("/")[2]
        token = secret.get(page) or secret["access_token"]
        return replace(request, params={**request.params, "access_token": token})


ADAPTER: Source = Facebook()


def _size(feed: Feed) -> int:
    return min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)


def _rest_of_album(feed: Feed, response: Response, unread: Unread) -> Page:
    """Parse the page of the first album; an album that the network refuses does not cost the other posts."""
    album, paging = unread.albums.pop(0), None
    try:
        if smaller := graph.smaller_page(feed, response):
            unread.albums.insert(0, album._replace(position=smaller))
            return Page([], [], unread.cursor, is_unfinished=True, continues_posts=True)
        body = graph.read_object(feed, response)
        parts, paging = _Parts.model_validate(body).data, body.get("paging")
    except (FeedNotFoundError, FeedNotPermittedError, SourceChangedError, ValueError):
        media = [_more(album.post_id, album.first, "Facebook refuses to list them")]
    else:
        images = [raw for raw in parts if not _is_link(raw)]
        media = _read(images, album.post_id, first=album.first)
        if not media and graph.has_next(paging):
            # Without this, a list of empty pages would never end.
            media, paging = [_more(album.post_id, album.first, "a page of their list is empty")], None
    post = Post(post_id=album.post_id, author_id=album.author_id, posted_at=album.posted_at, media=media)
    post = _with_next(feed, post, paging, unread)
    rate = graph.DIALECT.rate(response)
    return Page([post], [], unread.cursor, rate, is_unfinished=bool(unread.albums), continues_posts=True)


def _post(feed: Feed, entry: _Entry, unread: Unread) -> Post:
    """Build the post, and add the rest of its albums to ``unread``."""
    if not entry.is_published:
        raise ValueError("not published")
    text = entry.message or ""
    post = Post(
        post_id=entry.id,
        # The id of a post begins with the id of its Page.
        author_id=entry.author.id if entry.author else entry.id.partition("_")[0] or "unknown",
        author_name=entry.author.name if entry.author else None,
        permalink=entry.permalink_url or None,
        posted_at=entry.created_time,
        text=text,
        tags=hashtags(text),
        media=_media(entry),
    )
    for paging in _pagings(entry):
        post = _with_next(feed, post, paging, unread)
    return post


def _with_next(feed: Feed, post: Post, paging: Any, unread: Unread) -> Post:
    """Add the rest of an album to ``unread``, or to the post the reason why it is not read."""
    if not graph.has_next(paging):
        return post
    index = post.media[-1].index + 1 if post.media else 0
    try:
        unread.add(feed, paging, post, index)
    except ValueError as error:
        return post.model_copy(update={"media": [*post.media, _more(post.post_id, index, str(error))]})
    return post


def _more(post_id: str, index: int, why: str) -> Media:
    return skipped(f"facebook/{post_id}/more", index, f"more images of this album are not read: {why}")


def _media(entry: _Entry) -> list[Media]:
    """Return the Page's own media; link cards are left out, and media of shared posts are skipped."""
    if not _attached(entry) and entry.full_picture and entry.status_type not in ("added_photos", "shared_story"):
        return [skipped(f"facebook/{entry.id}/0", 0, _WHOSE)]
    parts = [raw for raw in _parts(entry) if not _is_link(raw)]
    instead = entry.full_picture if len(parts) == 1 else None
    media = _read(parts, entry.id, instead=instead)
    if entry.status_type != "shared_story":
        return media
    return [skipped(item.media_id, item.index, _SHARED) for item in media]


def _attached(entry: _Entry) -> list[Any]:
    return entry.attachments.data if entry.attachments else []


def _parts(entry: _Entry) -> Iterator[Any]:
    attached = _attached(entry)
    if not attached and entry.full_picture:
        yield {"media_type": "photo"}
    for raw in attached:
        inner = _inner(raw)
        yield from inner.data if inner and inner.data else [raw]


def _pagings(entry: _Entry) -> Iterator[Any]:
    """Yield what leads to more of the post's lists; the media of a shared post are not collected at all."""
    if entry.attachments is not None and entry.status_type != "shared_story":
        yield from (inner.paging for inner in map(_inner, entry.attachments.data) if inner)
        yield entry.attachments.paging


def _inner(raw: Any) -> _Parts | None:
    try:
        return _Attachment.model_validate(raw).subattachments
    except ValueError:
        return None  # ``_item`` says why


def _read(parts: list[Any], post_id: str, *, first: int = 0, instead: str | None = None) -> list[Media]:
    """Read parts of a post; ``instead`` is the URL of a photo that has none itself."""
    post = f"facebook/{post_id}"
    return read_media(
        parts, lambda raw, index: _item(_Attachment.model_validate(raw), post, index, instead), post, first
    )


def _item(part: _Attachment, post: str, index: int, instead: str | None) -> Media:
    image = part.media.image if part.media else None
    kind = _kind(part)
    # The image of a video is its poster.
    url = ((image.src if image else None) or instead or None) if kind == "image" else None
    return Media(
        media_id=f"facebook/{part.target.id}" if part.target and part.target.id else f"{post}/{index}",
        index=index,
        kind=kind,
        url=url,
        width=image.width if image else None,
        height=image.height if image else None,
        expires_at=graph.expiry(url),
        skip_reason=_NO_URL if kind == "image" and url is None else None,
    )


def _kind(part: _Part) -> MediaKind:
    if "animated_image" in (part.type or ""):
        return "animation"
    return _KINDS.get(part.media_type or part.type or "", "unknown")


def _is_link(raw: Any) -> bool:
    try:
        part = _Part.model_validate(raw)
    except ValueError:
        return False
    return (part.media_type or part.type) in _LINKS and "animated_image" not in (part.type or "")
