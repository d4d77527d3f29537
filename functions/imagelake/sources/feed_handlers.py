"""Additions to both parsers of feedparser: our limits, and facts that feedparser drops."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from feedparser.api import LooseFeedParser
from feedparser.mixin import _FeedParserMixin

from imagelake.sources.feed_namespaces import NAMESPACES

# Each element costs feedparser 14 microseconds.
_MAX_ELEMENTS = 100_000
_MAX_DEPTH = 100
_MAX_ATTRIBUTES = 100
_MAX_NAMESPACES = 100
# feedparser copies the URL of its namespace for every element.
_MAX_NAMESPACE = 1_000
# Seconds of CPU time, so that a busy machine does not refuse a good feed.
_MAX_SECONDS = 5.0
_MAX_TAGS = 1_000
# Every element keeps its base URL and its language, and a relative base URL makes a new one. The sum limits the memory.
_MAX_BASE = 8192
_MAX_BASES = 10_000_000
_MAX_LANGUAGE = 64
# Keys of feedparser's results and of ours; so are all that end in _detail or _parsed.
_RESULTS = frozenset({"adult", "authors", "contributors", "guidislink", "links", "unfinished"})
# Keys that we add to the attributes of a file; an attribute with such a name is dropped.
_OWN_KEYS = ("base", "description", "group", "player")
# Errors in handlers of feedparser, for example for a chapter without a start or a date with 13 months.
_DEFECTS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class FeedRefusedError(ValueError):
    """A feed is beyond one of our limits."""


class Handlers(_FeedParserMixin):  # type: ignore[misc]
    """Handlers of elements: feedparser calls ``_start_media_group`` for ``<media:group>``, with its attributes.

    Media RSS is described at https://www.rssboard.org/media-rss.
    """

    namespaces: ClassVar[dict[str, str]] = NAMESPACES
    _matchnamespaces: ClassVar[dict[str, str]] = {}  # filled by feedparser from ``namespaces``
    resolve_relative_uris = False
    sanitize_html = False
    guidislink: int
    # The most pieces of text and end tags, or ``None``.
    max_pieces: int | None = None

    def __init__(self, *args: Any) -> None:
        self.is_feed = False
        self._elements = 0
        self._pieces = 0
        self._open: list[str] = []
        self._ends_at = time.thread_time() + _MAX_SECONDS
        self._base, self._bases = "", 0
        self._language: str | None = None
        self._groups = 0
        # The ``media:group`` and the ``media:content`` that are open, by number and by attributes.
        self._group: int | None = None
        self._file: dict[str, Any] | None = None
        super().__init__(*args)

    # ---- Limits ----

    def limit_attributes(self, count: int) -> None:
        """Raise ``FeedRefusedError`` if an element has too many attributes."""
        if count > _MAX_ATTRIBUTES:
            raise FeedRefusedError("an element of the feed has too many attributes")

    def unknown_starttag(self, tag: str, attrs: list[tuple[str, str]]) -> None:
        self.limit_attributes(len(attrs))
        self._elements += 1
        if tag not in LooseFeedParser.elements_no_end_tag:
            self._open.append(tag)
        if self._elements > _MAX_ELEMENTS or len(self._open) > _MAX_DEPTH:
            raise FeedRefusedError("the feed is nested too deeply or has too many elements")
        self._limit_time()
        try:
            super().unknown_starttag(_apart_from_results(tag), attrs)
        except FeedRefusedError:
            raise
        except _DEFECTS:
            pass

    def _limit_pieces(self) -> None:
        self._pieces += 1
        if self.max_pieces is not None and self._pieces > self.max_pieces:
            raise FeedRefusedError(f"the feed is not well-formed and has more than {self.max_pieces:,} pieces of text")
        if self._pieces % 1_000 == 0:
            self._limit_time()

    def _limit_time(self) -> None:
        if time.thread_time() > self._ends_at:
            raise FeedRefusedError(f"the feed takes longer than {_MAX_SECONDS:g} seconds to read")

    def unknown_endtag(self, tag: str) -> None:
        self._limit_pieces()
        if tag in self._open:
            # In text that is not well-formed, elements inside this one can still be open.
            while self._open.pop() != tag:
                pass
        try:
            super().unknown_endtag(_apart_from_results(tag))
        except FeedRefusedError:
            raise
        except _DEFECTS:
            # The handler failed before feedparser restored ``xml:base``; the end of an unknown element restores it.
            super().unknown_endtag("unknown")

    def track_namespace(self, prefix: str | None, uri: str) -> None:
        if len(uri) > _MAX_NAMESPACE:
            raise FeedRefusedError(f"the feed has a namespace of more than {_MAX_NAMESPACE} characters")
        super().track_namespace(prefix, uri)
        # feedparser searches all of them for each element.
        if len(self.namespaces_in_use) > _MAX_NAMESPACES:
            raise FeedRefusedError("the feed has too many namespaces")

    @property
    def baseuri(self) -> str:
        """The base URL of the open element. feedparser builds an equal one for every element; this keeps the first."""
        return self._base

    @baseuri.setter
    def baseuri(self, url: str) -> None:
        if url == self._base:
            return
        self._bases += len(url)
        if len(url) > _MAX_BASE or self._bases > _MAX_BASES:
            raise FeedRefusedError("the feed has too long a base URL")
        self._base = url

    @property
    def lang(self) -> str | None:
        """The language of the open element."""
        return self._language

    @lang.setter
    def lang(self, language: str | None) -> None:
        if language and len(language) > _MAX_LANGUAGE:
            raise FeedRefusedError(f"the feed has a language of more than {_MAX_LANGUAGE} characters")
        self._language = language

    def handle_data(self, text: str, escape: int = 1) -> None:
        self._limit_pieces()
        super().handle_data(text, escape)
        self._drop_blank_start()

    def handle_charref(self, ref: str) -> None:
        self._limit_pieces()
        super().handle_charref(ref)
        self._drop_blank_start()

    def handle_entityref(self, ref: str) -> None:
        self._limit_pieces()
        super().handle_entityref(ref)

    def _drop_blank_start(self) -> None:
        # feedparser would remove blank pieces at the start one by one, in quadratic time.
        pieces = self.elementstack[-1][2] if self.elementstack else []
        if len(pieces) == 1:
            text = pieces[0].decode() if isinstance(pieces[0], bytes) else pieces[0]
            if not text.strip():
                pieces.clear()

    def _add_tag(self, term: str | None, scheme: str | None, label: str | None) -> None:
        # feedparser would compare each tag with all others, in quadratic time. A post has each tag only once anyway.
        tags = self._get_context().setdefault("tags", [])
        if (term or scheme or label) and len(tags) < _MAX_TAGS:
            tags.append({"term": term, "scheme": scheme, "label": label})

    # ---- Feeds and entries ----

    def pop_content(self, tag: str) -> Any:
        # HTML that is not escaped can contain the end tag of a handler that was never started, such as </summary>.
        if not self.elementstack or self.elementstack[-1][0] != tag:
            return None
        return super().pop_content(tag)

    def _start_channel(self, attrs: dict[str, str]) -> None:
        self.is_feed = True
        super()._start_channel(attrs)

    def _start_feed(self, attrs: dict[str, str]) -> None:
        self.is_feed = True
        super()._start_feed(attrs)

    def _start_item(self, attrs: dict[str, str]) -> None:
        self._group = self._file = None
        # In text that is not well-formed, such an element of an earlier entry can still be open.
        self.inauthor = self.incontributor = self.inpublisher = 0
        self.insource = self.inimage = self.intextinput = 0
        super()._start_item(attrs)

    _start_entry = _start_item

    def _start_guid(self, attrs: dict[str, str]) -> None:
        super()._start_guid(attrs)
        self._get_context()["guidislink"] = bool(self.guidislink)
        # An id stays as it is written; feedparser would resolve it like a relative URL.
        self.guidislink = 0

    def _start_id(self, attrs: dict[str, str]) -> None:
        super()._start_id(attrs)
        self.guidislink = 0

    def _start_date(self, attrs: dict[str, str]) -> None:
        # Without a handler, feedparser keeps the attributes of an element in place of its text.
        self._start_updated(attrs)

    def _end_date(self) -> None:
        self._end_updated()

    def _sync_author_detail(self, key: str = "author") -> None:
        # Keep the author's text: feedparser splits it into name and email, and splits a long top-level domain too.
        context = self._get_context()
        authors = context.get(f"{key}s")
        if authors and not authors[-1] and context.get(key):
            authors[-1]["name"] = context[key]

    def _start_dc_identifier(self, attrs: dict[str, str]) -> None:
        # Without a handler, feedparser keeps only the attributes of an element that has some.
        self.push("dc_identifier", 1)

    def _end_dc_identifier(self) -> None:
        self.pop("dc_identifier")

    def _start_itunes_summary(self, attrs: dict[str, str]) -> None:
        # feedparser would take it for the description if it came first.
        self.push_content("itunes_summary", attrs, "text/plain", 1)

    def _end_itunes_summary(self) -> None:
        self.pop_content("itunes_summary")

    @staticmethod
    def looks_like_html(text: str) -> bool:
        # feedparser guesses whether text is HTML; ``xml_feed`` knows which elements can be.
        return False

    def _end_dcterms_valid(self) -> None:
        # feedparser would read a time from each of its parts, and they can be millions.
        self.pop("validity")

    # ---- Licenses ----

    def _start_cc_license(self, attrs: dict[str, str]) -> None:
        self._save_license(attrs.get("rdf:resource") or attrs.get("href"))
        self.push("license", 1)

    def _end_cc_license(self) -> None:
        self._save_license(self.pop("license"))
        self._get_context().pop("license", None)

    _start_creativecommons_license = _start_media_license = _start_cc_license
    _end_creativecommons_license = _end_media_license = _end_cc_license

    def _save_license(self, license: str | None) -> None:
        if license and self._file is None:
            self._get_context().setdefault("links", []).append({"rel": "license", "href": license})

    def _start_media_copyright(self, attrs: dict[str, str]) -> None:
        if self._file is None:
            self._start_rights(attrs)

    def _end_media_copyright(self) -> None:
        if self._file is None:
            self._end_rights()

    def _start_dcterms_rights(self, attrs: dict[str, str]) -> None:
        self._start_rights(attrs)

    def _end_dcterms_rights(self) -> None:
        self._end_rights()

    # ---- Attached files ----

    def _start_link(self, attrs: dict[str, str]) -> None:
        super()._start_link(_without_own_keys(attrs))

    def _start_enclosure(self, attrs: dict[str, str]) -> None:
        super()._start_enclosure(_without_own_keys(attrs))
        self._get_context()["links"][-1]["base"] = self.baseuri

    def _start_media_group(self, attrs: dict[str, str]) -> None:
        self._groups += 1
        self._group = self._groups

    def _end_media_group(self) -> None:
        self._group = None

    def _start_media_content(self, attrs: dict[str, Any]) -> None:
        super()._start_media_content(_without_own_keys(attrs))
        attrs["base"] = self.baseuri
        attrs["group"] = self._group
        self._file = attrs

    def _end_media_content(self) -> None:
        self._file = None

    def _start_media_thumbnail(self, attrs: dict[str, str]) -> None:
        super()._start_media_thumbnail(_without_own_keys(attrs))
        attrs["base"] = self.baseuri

    def _start_media_player(self, attrs: dict[str, str]) -> None:
        if self._file is not None:
            self._file["player"] = True
        self.push("media_player", 0)

    def _end_media_player(self) -> None:
        self.pop("media_player")

    def _start_media_description(self, attrs: dict[str, str]) -> None:
        name = "media_description" if self._file is None else "file_description"
        self.push_content(name, attrs, "text/plain", 1)

    def _end_media_description(self) -> None:
        if self._file is None:
            self.pop_content("media_description")
        else:
            self.pop_content("file_description")
            self._file.setdefault("description", self._get_context().pop("file_description_detail", None))

    def _start_media_title(self, attrs: dict[str, str]) -> None:
        if self._file is None:
            super()._start_media_title(attrs)

    def _end_media_title(self) -> None:
        if self._file is None:
            super()._end_media_title()

    def _end_media_rating(self) -> None:
        # An entry can have several; feedparser keeps the last one.
        if (self.pop("rating") or "").strip().lower() == "adult":
            self._get_context()["adult"] = True


def _apart_from_results(tag: str) -> str:
    """Rename an element that feedparser does not know if its text would replace a result."""
    key = tag.replace(":", "_")
    return f"element_{key}" if key in _RESULTS or key.endswith(("_detail", "_parsed")) else tag


def _without_own_keys(attrs: dict[str, Any]) -> dict[str, Any]:
    """Remove attributes that are named like one of our own keys from ``attrs``, which is also the result."""
    for key in _OWN_KEYS:
        attrs.pop(key, None)
    return attrs
