"""Wikimedia Commons: the files of a category, with the license and the attribution of each file page.

The first request looks the category up, because the listing of a missing category is just empty. The listing is in the
order in which files were added to the category. Without a bookmark it is read from the newest file back. With a
bookmark, a page of earlier files is read again, and then the listing from the second of the bookmark forward. A cursor
is the API's own ``continue``, as a query string, and the direction.

The image is the site's rendition at one of its standard widths, because the site asks clients not to download originals
of many megabytes (https://www.mediawiki.org/wiki/Common_thumbnail_sizes). A smaller file comes as it was uploaded.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field

from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    FeedNotFoundError,
    FeedNotPermittedError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.posts import Media, Post
from imagelake.sources.contract import Bookmark, Feed, IsRemoved, Page, Source
from imagelake.sources.entry import kind
from imagelake.sources.manifest import Lookback, Manifest
from imagelake.sources.origin import origin
from imagelake.sources.plain_text import plain_text
from imagelake.sources.responses import Dialect, check, read_json, refusal, stated_number
from imagelake.sources.wire import Flag, Moment, Pixels, WireModel, read_entries, without_entries
from imagelake.web.messages import Request, Response

_COMMONS = "https://commons.wikimedia.org"
# One request renders at most 50 images; more would need continuations of the same page.
_PAGE_SIZE = 50
_WIDTH = 1280
_BEGIN = "continue="
_FORWARD = {"gcmdir": "newer"}

_METADATA = (
    "LicenseShortName", "UsageTerms", "Artist", "Credit", "Attribution", "ImageDescription", "ObjectName",
    "Categories", "Restrictions",
)  # fmt: skip
# The site asks programs without a waiting user for maxlag: https://www.mediawiki.org/wiki/Manual:Maxlag_parameter
_QUERY = {"action": "query", "format": "json", "formatversion": "2", "maxlag": "5"}

_NOT_IN_TITLES = re.compile(r"[#<>\[\]{}|\x00-\x1f\x7f]")
# A scanned book, although its type begins with image.
_DJVU = "image/vnd.djvu"
# Types of files that are used as uploaded if there is no rendition.
_IMAGE_TYPES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def _code(body: dict[str, Any]) -> object:
    match body.get("error"):
        case {"code": str(code)}:
            return "internal_api_error" if code.startswith("internal_api_error") else code
    return None


_DIALECT = Dialect(
    rate=lambda _: None,
    code=_code,
    errors={
        "maxlag": RateLimitedError,
        "ratelimited": RateLimitedError,
        "readonly": SourceUnavailableError,
        "internal_api_error": SourceUnavailableError,
        "invalidcategory": FeedNotFoundError,
        "invalidtitle": FeedNotFoundError,
        "readapidenied": FeedNotPermittedError,
        "permissiondenied": FeedNotPermittedError,
        "blocked": FeedNotPermittedError,
        "autoblocked": FeedNotPermittedError,
        "assertuserfailed": CredentialsError,
    },
)


class _Value(WireModel):
    value: str | int | float | None = None


class _File(WireModel):
    timestamp: Moment
    user: str | None = None
    sha1: str = Field(min_length=1)
    mime: str = ""
    url: str | None = None
    width: Pixels | None = None
    height: Pixels | None = None
    thumburl: str | None = None
    thumbwidth: Pixels | None = None
    thumbheight: Pixels | None = None
    thumbmime: str | None = None
    descriptionurl: str | None = None
    extmetadata: dict[str, Any] = Field(default_factory=dict)


class _Page(WireModel):
    pageid: int = Field(gt=0)
    title: str = ""
    imageinfo: list[dict[str, Any]] = Field(min_length=1)
    badfile: Flag = False


class _Membership(WireModel):
    timestamp: Moment


class _Member(WireModel):
    pageid: int
    categories: list[_Membership] = Field(min_length=1)


class Commons:
    """The adapter; ``feed.account`` names the category, ``feed.server`` replaces commons.wikimedia.org."""

    name = "commons"
    # With a bookmark the listing is read from there forward.
    newest_first = False
    # The site adds files in the order of time, but its database servers lag behind each other.
    overlap = _PAGE_SIZE
    media_hosts: frozenset[str] | None = frozenset({"upload.wikimedia.org"})
    manifest = Manifest(
        title="Wikimedia Commons",
        feeds=("commons:Featured_pictures_of_cats",),
        lookback=(Lookback("all files of the category, newest additions first"),),
        page_size=_PAGE_SIZE,
        credentials=(),
        credentials_required=False,
        post_usd=None,
        deletion="the file is no longer in the category, and the response for its page says missing",
        terms="each file has its own license: keep `license` and `author_name` with the image, and credit them",
        notes=(
            "Set the stack's parameter `Contact`: Wikimedia asks programs to name their operator in the User-Agent.",
            "Only the category's own files are read, not those of its subcategories.",
            f"The image is the site's rendition, {_WIDTH} pixels wide. A smaller file comes as uploaded. TIFF and SVG "
            "files are rendered. PDF and DjVu files, videos and sounds are skipped.",
            "`author_name` is the attribution that the file page demands, else the author and the source.",
            "`tags` are the file's categories. A restriction other than copyright is one more tag, such as "
            "`restriction:personality`.",
        ),
    )

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """Build the request for the category itself, and after that for pages of its files."""
        category = _category(feed)
        position = dict(parse_qsl(cursor or "", keep_blank_values=True))
        size = min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)
        if bookmark is not None and cursor == _BEGIN and size == 1:
            position |= _FORWARD  # the first run has read no earlier file
        if cursor is None:
            params = {"titles": category, "prop": "categoryinfo"}
        else:
            params = {
                "generator": "categorymembers",
                "gcmtitle": category,
                "gcmnamespace": "6",
                "gcmsort": "timestamp",
                "gcmdir": "older",
                "gcmlimit": str(size),
                "prop": "imageinfo|categories",
                "iiprop": "timestamp|user|url|size|sha1|mime|thumbmime|extmetadata|badfile",
                "iiurlwidth": str(_WIDTH),
                "iiextmetadatafilter": "|".join(_METADATA),
                "clcategories": category,
                "clprop": "timestamp",
                "cllimit": "max",
            }
            if bookmark is not None and position.items() >= _FORWARD.items():
                params["gcmstart"] = _second(bookmark.newest_at)
            elif bookmark is not None:
                # The way forward begins with the second of the bookmark, so the overlap ends one second before.
                params["gcmstart"] = _second(bookmark.newest_at - timedelta(seconds=1))
                params["gcmlimit"] = str(min((feed.limit or _PAGE_SIZE + 1) - 1, _PAGE_SIZE))
            params.update(position)
        return Request(f"{origin(feed, _COMMONS)}/w/api.php", {**_QUERY, **params}, {"accept": "application/json"})

    def parse(self, feed: Feed, response: Response) -> Page:
        """Parse a page of files, which are in no order; the page of the category itself has only a cursor."""
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        if not isinstance(body, dict):
            raise SourceChangedError(f"{feed.name}: the response is not a JSON object")
        if "error" in body:
            raise refusal(feed, response, _DIALECT)
        params = dict(parse_qsl(urlsplit(response.url).query))
        if "titles" in params:
            _refuse_missing(feed, body)
            return Page([], [], _BEGIN, declared=_declared(body))
        page = _listing(feed, body, partial="iicontinue" in params or "batchcomplete" not in body)
        if "gcmstart" not in params:
            return page
        forward = urlencode(_FORWARD)
        if params.items() >= _FORWARD.items():
            return replace(page, cursor=f"{forward}&{page.cursor}" if page.cursor else None)
        # This page is the overlap. Only the rest of an incomplete one is asked for.
        cursor = f"{forward}&{_BEGIN}" if "batchcomplete" in body else page.cursor
        return replace(page, cursor=cursor, newest=None, positions=[])

    def count_request(self, feed: Feed, bookmark: Bookmark | None) -> Request | None:
        """Build the request for the category itself, which states the number of all files."""
        return self.request(feed, None, None) if bookmark is None else None

    def without(self, feed: Feed, response: Response, is_removed: IsRemoved) -> bytes:
        """Remove entries from the list."""
        return without_entries(self, feed, response, is_removed, lambda body: body["query"]["pages"])


ADAPTER: Source = Commons()


def _category(feed: Feed) -> str:
    if feed.account is None:
        raise BadFeedError(f"{feed.name}: name a category, as commons:CATEGORY with _ for a space")
    name = re.sub(r"(?i)^category:", "", feed.account).strip()
    if not name or _NOT_IN_TITLES.search(name):
        raise BadFeedError(f"{feed.name}: not the name of a category")
    return f"Category:{name}"


def _refuse_missing(feed: Feed, body: dict[str, Any]) -> None:
    """Raise if there is no such category; a category without a page of its own can have files."""
    match body:
        case {"query": {"pages": [{"missing": True, "categoryinfo": dict()}]}}:
            return
        case {"query": {"pages": [{"missing": True} | {"invalid": True}]}}:
            raise FeedNotFoundError(f"{feed.name}: there is no such category")
        case {"query": {"pages": [{"title": str()}]}}:
            return
    raise SourceChangedError(f"{feed.name}: the response says nothing about the category")


def _declared(body: dict[str, Any]) -> int | None:
    match body:
        case {"query": {"pages": [{"categoryinfo": {"files": files}}]}}:
            return stated_number(files)
    return None


def _listing(feed: Feed, body: dict[str, Any], partial: bool) -> Page:
    """Parse the files; the response before or after a ``partial`` page describes some of them."""
    match body:
        case {"query": {"pages": list(entries)}}:
            pass
        case {"batchcomplete": _} | {"continue": _} if "query" not in body:
            entries = []  # nothing new, or nothing on this page
        case _:
            raise SourceChangedError(f"{feed.name}: the response has no list of pages")
    if partial:
        entries = [raw for raw in entries if not isinstance(raw, dict) or "imageinfo" in raw or "missing" in raw]
    posts, rejects = read_entries(feed, entries, _post, _id)
    positions = [position for raw in entries for position in _position(raw)]
    newest = max(positions, key=lambda position: (position.newest_at, int(position.newest_id)), default=None)
    rejected = {reject.post_id for reject in rejects}
    positions = [position for position in positions if position.newest_id not in rejected]
    return Page(posts, rejects, _cursor(feed, body), newest=newest, positions=positions or None)


def _cursor(feed: Feed, body: dict[str, Any]) -> str | None:
    position = body.get("continue")
    if position is None:
        return None
    if not isinstance(position, dict) or not position:
        raise SourceChangedError(f"{feed.name}: continue is not an object")
    # The response may not set any other parameter of the next request.
    return urlencode({key: text for key, text in position.items() if key.endswith("continue")})


def _second(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _position(raw: Any) -> list[Bookmark]:
    """Return the time at which the file was added to the category, if the response has it."""
    try:
        member = _Member.model_validate(raw)
    except ValueError:
        return []
    return [Bookmark(newest_id=str(member.pageid), newest_at=member.categories[0].timestamp)]


def _post(raw: Any) -> Post:
    if isinstance(raw, dict) and raw.get("missing"):
        raise ValueError("the file is no longer there")
    page = _Page.model_validate(raw)
    if hidden := sorted({"filehidden", "userhidden"} & page.imageinfo[0].keys()):
        raise ValueError(f"{' and '.join(hidden)}: withdrawn from the public")
    file = _File.model_validate(page.imageinfo[0])
    stated = {name: _stated(file, name) for name in _METADATA}
    return Post(
        post_id=str(page.pageid),
        author_id=file.user or "unknown",
        author_name=_attribution(file, stated) or file.user or None,
        permalink=file.descriptionurl or None,
        posted_at=file.timestamp,
        text=stated["ImageDescription"] or stated["ObjectName"] or _name(page.title),
        tags=[
            *dict.fromkeys(filter(None, stated["Categories"].split("|"))),
            *(f"restriction:{restriction}" for restriction in filter(None, stated["Restrictions"].split("|"))),
        ],
        sensitive=page.badfile,
        license=stated["LicenseShortName"] or stated["UsageTerms"] or None,
        media=[_media(page.pageid, file)],
    )


def _stated(file: _File, name: str) -> str:
    raw = file.extmetadata.get(name)
    value = _Value.model_validate(raw).value if isinstance(raw, dict) else None
    return plain_text(str(value)) if value is not None else ""


def _attribution(file: _File, stated: dict[str, str]) -> str:
    """Return the attribution that the file page demands, else the author, and the source of another's work."""
    own = "int-own-work" in str(file.extmetadata.get("Credit"))
    return stated["Attribution"] or " / ".join(filter(None, [stated["Artist"], "" if own else stated["Credit"]]))


def _media(pageid: int, file: _File) -> Media:
    rendered = file.thumburl is not None and (file.thumbmime or file.mime).startswith("image/")
    original = file.url if file.mime in _IMAGE_TYPES else None
    width, height = (file.thumbwidth, file.thumbheight) if rendered else (file.width, file.height)
    return Media(
        # A new version of the file is a new image.
        media_id=f"commons/{pageid}/{file.sha1}",
        index=0,
        kind="unknown" if file.mime == _DJVU else kind(file.mime, None if file.mime else file.url),
        url=file.thumburl if rendered else original,
        width=width,
        height=height,
    )


def _name(title: str) -> str:
    return title.partition(":")[2].rpartition(".")[0] or title


def _id(raw: Any) -> str | None:
    page_id = raw.get("pageid") if isinstance(raw, dict) else None
    return str(page_id) if isinstance(page_id, int) else None
