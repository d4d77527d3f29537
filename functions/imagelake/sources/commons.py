"""Wikimedia Commons: the files of a category, with the licence and the attribution each file page states.

The category is looked up first: the listing of one that does not exist is empty. Then the listing is walked by the time
at which a file came into the category: from the newest back when there is no bookmark, and forward from the bookmark
when there is one. A cursor is the API's own ``continue``, as a query string.

The picture is the site's rendition at one of its standard widths (https://www.mediawiki.org/wiki/Common_thumbnail_sizes),
which the site asks clients to prefer to originals of many megabytes; a smaller file comes as it was uploaded.
"""

from __future__ import annotations

import re
from datetime import UTC
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BeforeValidator, Field

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
from imagelake.sources.answers import Dialect, check, read_json, refusal
from imagelake.sources.contract import Bookmark, Feed, Page, Reject
from imagelake.sources.entry import kind
from imagelake.sources.manifest import Manifest
from imagelake.sources.origin import origin
from imagelake.sources.plain_text import plain_text
from imagelake.sources.wire import Moment, WireModel, reason
from imagelake.web.messages import Request, Response

_COMMONS = "https://commons.wikimedia.org"
# A request renders 50 pictures at most; further ones would come as a continuation of the same page.
_PAGE_SIZE = 50
_WIDTH = 1280
_BEGIN = "continue="

_METADATA = (
    "LicenseShortName", "UsageTerms", "Artist", "Credit", "Attribution", "ImageDescription", "ObjectName",
    "Categories", "Restrictions",
)  # fmt: skip
# Every call, as https://www.mediawiki.org/wiki/Manual:Maxlag_parameter asks of programs that nobody waits for.
_QUERY = {"action": "query", "format": "json", "formatversion": "2", "maxlag": "5"}

_NOT_IN_TITLES = re.compile(r"[#<>\[\]{}|\x00-\x1f\x7f]")
# A scanned book, called an image.
_DJVU = "image/vnd.djvu"
# What a picture may be where there is no rendition of it.
_PICTURES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


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
    user: str = Field(min_length=1)
    sha1: str = Field(min_length=1)
    mime: str
    url: str
    width: int = 0
    height: int = 0
    thumburl: str | None = None
    thumbwidth: int = 0
    thumbheight: int = 0
    thumbmime: str | None = None
    descriptionurl: str | None = None
    # PHP writes an empty map as [].
    extmetadata: Annotated[dict[str, Any], BeforeValidator(lambda found: found or {})] = Field(default_factory=dict)


class _Page(WireModel):
    pageid: int = Field(gt=0)
    title: str = Field(min_length=1)
    imageinfo: list[dict[str, Any]] = Field(min_length=1)
    badfile: bool = False


class _Membership(WireModel):
    timestamp: Moment


class _Member(WireModel):
    pageid: int
    categories: list[_Membership] = Field(min_length=1)


class Commons:
    """The adapter; ``feed.account`` names the category, ``feed.server`` replaces commons.wikimedia.org."""

    name = "commons"
    # With a bookmark the walk starts there and goes forward, so every page is new.
    newest_first = False
    media_hosts: frozenset[str] | None = frozenset({"upload.wikimedia.org"})
    manifest = Manifest(
        title="Wikimedia Commons",
        feeds=("commons:Featured_pictures_of_cats",),
        lookback="the whole category, newest additions first",
        page_size=_PAGE_SIZE,
        credentials=(),
        credentials_required=False,
        post_usd=None,
        deletion="the file leaves the category; its page answers as missing",
        terms="each file has its own licence: keep `license` and `author_name` with the picture, and credit them",
        notes=(
            "set the stack's `Contact` parameter: Wikimedia asks programs to say in the User-Agent who runs them",
            "the category's own files are read, not those of its subcategories",
            f"the picture is the site's rendition, {_WIDTH} pixels wide; a smaller file comes as uploaded; TIFF and "
            "SVG files come as rendered; PDF and DjVu files, videos and sounds are skipped",
            "`author_name` is the attribution the file page demands, else the author and the source to credit",
            "`tags` are the file's categories; a restriction other than copyright is one more, such as "
            "`restriction:personality`",
        ),
    )

    def request(self, feed: Feed, bookmark: Bookmark | None, cursor: str | None) -> Request:
        """First the category itself, then page after page of its files."""
        category = _category(feed)
        if cursor is None:
            asked = {"titles": category, "prop": "categoryinfo"}
        else:
            asked = {
                "generator": "categorymembers",
                "gcmtitle": category,
                "gcmnamespace": "6",
                "gcmsort": "timestamp",
                "gcmdir": "older",
                "gcmlimit": str(min(feed.limit or _PAGE_SIZE, _PAGE_SIZE)),
                "prop": "imageinfo|categories",
                "iiprop": "timestamp|user|url|size|sha1|mime|thumbmime|extmetadata|badfile",
                "iiurlwidth": str(_WIDTH),
                "iiextmetadatafilter": "|".join(_METADATA),
                "clcategories": category,
                "clprop": "timestamp",
                "cllimit": "max",
            }
            if bookmark is not None:
                asked["gcmdir"] = "newer"
                asked["gcmstart"] = bookmark.newest_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            asked.update(parse_qsl(cursor, keep_blank_values=True))
        return Request(f"{origin(feed, _COMMONS)}/w/api.php", {**_QUERY, **asked}, {"accept": "application/json"})

    def parse(self, feed: Feed, response: Response) -> Page:
        """A page of files in no order; that of the category itself holds nothing but a cursor."""
        check(feed, response, _DIALECT)
        body = read_json(feed, response)
        if not isinstance(body, dict):
            raise SourceChangedError(f"{feed.name}: the answer is not a JSON object")
        if "error" in body:
            raise refusal(feed, response, _DIALECT)
        asked = dict(parse_qsl(urlsplit(response.url).query))
        if "titles" in asked:
            _refuse_missing(feed, body)
            return Page([], [], _BEGIN)
        return _listing(feed, body, partial="iicontinue" in asked or "batchcomplete" not in body)


def _category(feed: Feed) -> str:
    if feed.account is None:
        raise BadFeedError(f"{feed.name}: name a category, as commons:CATEGORY with _ for a space")
    name = re.sub(r"(?i)^category:", "", feed.account).strip()
    if not name or _NOT_IN_TITLES.search(name):
        raise BadFeedError(f"{feed.name}: not the name of a category")
    return f"Category:{name}"


def _refuse_missing(feed: Feed, body: dict[str, Any]) -> None:
    """Raise if there is no such category: one without a page of its own may well have files."""
    match body:
        case {"query": {"pages": [{"missing": True, "categoryinfo": dict()}]}}:
            return
        case {"query": {"pages": [{"missing": True} | {"invalid": True}]}}:
            raise FeedNotFoundError(f"{feed.name}: there is no such category")
        case {"query": {"pages": [{"title": str()}]}}:
            return
    raise SourceChangedError(f"{feed.name}: the answer does not tell of the category")


def _listing(feed: Feed, body: dict[str, Any], partial: bool) -> Page:
    """``partial`` pages tell of some files in an earlier or a later answer."""
    match body:
        case {"query": {"pages": list(entries)}}:
            pass
        case {"batchcomplete": _} | {"continue": _} if "query" not in body:
            entries = []  # nothing new, or nothing on this page
        case _:
            raise SourceChangedError(f"{feed.name}: the answer has no list of pages")
    posts: list[Post] = []
    rejects: list[Reject] = []
    places: list[Bookmark] = []
    for raw in entries:
        if partial and isinstance(raw, dict) and "imageinfo" not in raw and "missing" not in raw:
            continue
        places += _place(raw)
        try:
            posts.append(_post(raw))
        except ValueError as error:
            rejects.append(Reject(_id(raw), reason(error), raw))
    newest = max(places, key=lambda place: place.newest_at, default=None)
    return Page(posts, rejects, _cursor(feed, body), newest=newest)


def _cursor(feed: Feed, body: dict[str, Any]) -> str | None:
    found = body.get("continue")
    if found is None:
        return None
    if not isinstance(found, dict) or not found:
        raise SourceChangedError(f"{feed.name}: continue is not an object")
    # Nothing else may change what is asked for.
    return urlencode({key: text for key, text in found.items() if key.endswith("continue")})


def _place(raw: Any) -> list[Bookmark]:
    """When the file came into the category, if the answer tells."""
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
    told = {name: _told(file, name) for name in _METADATA}
    return Post(
        post_id=str(page.pageid),
        author_id=file.user,
        author_name=_attribution(file, told) or file.user,
        permalink=file.descriptionurl or None,
        posted_at=file.timestamp,
        text=told["ImageDescription"] or told["ObjectName"] or _name(page.title),
        tags=[
            *dict.fromkeys(filter(None, told["Categories"].split("|"))),
            *(f"restriction:{found}" for found in filter(None, told["Restrictions"].split("|"))),
        ],
        sensitive=page.badfile,
        license=told["LicenseShortName"] or told["UsageTerms"] or None,
        media=[_media(page.pageid, file)],
    )


def _told(file: _File, name: str) -> str:
    value = _Value.model_validate(file.extmetadata.get(name) or {}).value
    return plain_text(str(value)) if value is not None else ""


def _attribution(file: _File, told: dict[str, str]) -> str:
    """What the file page demands, else its author and, unless it is the author's own work, where it is from."""
    own = "int-own-work" in str(file.extmetadata.get("Credit"))
    return told["Attribution"] or " / ".join(filter(None, [told["Artist"], "" if own else told["Credit"]]))


def _media(pageid: int, file: _File) -> Media:
    rendered = file.thumburl is not None and (file.thumbmime or file.mime).startswith("image/")
    plain = file.url if file.mime in _PICTURES else None
    width, height = (file.thumbwidth, file.thumbheight) if rendered else (file.width, file.height)
    return Media(
        # Another version of the file is another picture.
        media_id=f"commons/{pageid}/{file.sha1}",
        index=0,
        kind="unknown" if file.mime == _DJVU else kind(file.mime, None),
        url=file.thumburl if rendered else plain,
        width=width or None,
        height=height or None,
    )


def _name(title: str) -> str:
    return title.partition(":")[2].rpartition(".")[0] or title


def _id(raw: Any) -> str | None:
    match raw:
        case {"pageid": int(found)}:
            return str(found)
    return None
