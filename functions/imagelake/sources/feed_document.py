"""RSS and Atom through feedparser, within limits: the bytes of a feed become plain dictionaries.

``feedparser.parse`` would open URLs and files, and has no limit of time. So this module calls feedparser's two parsers
itself, with text: the strict one, and if the text is not well-formed XML, the loose one.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from io import StringIO
from typing import Any, NamedTuple
from xml.sax import SAXException
from xml.sax.expatreader import create_parser
from xml.sax.handler import LexicalHandler, feature_external_ges, property_lexical_handler
from xml.sax.xmlreader import InputSource

from feedparser.api import LooseFeedParser, StrictFeedParser

from imagelake.sources.feed_handlers import FeedRefusedError, Handlers
from imagelake.sources.xml_text import NOT_XML, xml_text

_MAX_TAG = 1_000_000
_ENTRIES = frozenset({"entry", "item"})
# The start of an entry, outside of CDATA and comments.
_ENTRY_START = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|(?P<entry><(?:entry|item)[\s/>])", re.DOTALL | re.IGNORECASE
)


class Document(NamedTuple):
    """A feed as plain JSON: the elements about the feed itself, its entries, and the count of unreadable entries."""

    is_atom: bool
    about: dict[str, Any]
    entries: list[dict[str, Any]]
    unreadable: int = 0


class _StrictParser(Handlers, StrictFeedParser):  # type: ignore[misc]
    """The parser for well-formed XML."""

    def startElementNS(self, name: Any, qname: str | None, attrs: Any) -> None:  # noqa: N802
        # Before feedparser looks up each attribute by going through all of them.
        self.limit_attributes(len(attrs))
        super().startElementNS(name, qname, attrs)


class _LooseParser(Handlers, LooseFeedParser):  # type: ignore[misc]
    """The parser for all other text."""

    # Each stray sign is a piece, and costs 3 microseconds.
    max_pieces = 250_000

    def unknown_starttag(self, tag: str, attrs: list[tuple[str, str]]) -> None:
        if tag in _ENTRIES:
            # A text of an earlier entry can still be open; it would swallow this entry.
            self.incontent = self.svgOK = self.hasContent = 0
            self.contentparams.clear()
            self._summaryKey = None
        super().unknown_starttag(tag, attrs)

    def parse_starttag(self, i: int) -> int:
        # Before feedparser reads all attributes of the tag into memory.
        if self.rawdata.find(">", i, i + _MAX_TAG) < 0 and len(self.rawdata) > i + _MAX_TAG:
            raise FeedRefusedError(f"a tag of the feed is longer than {_MAX_TAG} characters")
        return int(super().parse_starttag(i))


def read_document(data: bytes, url: str) -> Document | None:
    """Read the feed in ``data``; ``None`` if it is something else, ``ValueError`` if it cannot be read."""
    text = xml_text(data)
    try:
        parser = _read_strictly(text, url) or _read_loosely(text, url)
    except FeedRefusedError:
        raise
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"feedparser fails on the feed with {type(error).__name__}") from None
    if not (parser.version and parser.is_feed):
        return None
    unreadable = 0
    if isinstance(parser, _LooseParser):
        if not parser.entries:
            raise ValueError("the feed is not well-formed XML and has no entries")
        if parser.inentry:
            parser.entries[-1]["unfinished"] = True
        written = sum(match["entry"] is not None for match in _ENTRY_START.finditer(text))
        unreadable = max(0, written - len(parser.entries))
    return Document(parser.version.startswith("atom"), _plain(parser.feeddata), _plain(parser.entries), unreadable)


def _read_strictly(text: str, url: str) -> Any:
    parser = _StrictParser(url, None, "utf-8")
    sax = create_parser(True)
    sax.setFeature(feature_external_ges, False)
    sax.setProperty(property_lexical_handler, _NoDeclarations(text))
    sax.setContentHandler(parser)
    sax.setErrorHandler(parser)
    source = InputSource()
    source.setCharacterStream(StringIO(text))
    try:
        sax.parse(source)
    except SAXException:
        return None
    return parser


def _read_loosely(text: str, url: str) -> Any:
    parser = _LooseParser(url, None, "utf-8", {})
    parser.feed(text)
    return parser


class _NoDeclarations(LexicalHandler):
    """Refuses a document type that declares entities or attributes, so nothing can expand."""

    def __init__(self, text: str) -> None:
        self._text = text

    def startDTD(self, name: str, public_id: str | None, system_id: str | None) -> None:  # noqa: N802
        if "<!ENTITY" in self._text or "<!ATTLIST" in self._text:
            raise FeedRefusedError("the document type of the feed declares entities or attributes")


def _plain(value: Any) -> Any:
    """Convert values of feedparser to plain JSON; times become ISO 8601 in UTC.

    Text in base64 can hold characters that XML forbids.
    """
    if isinstance(value, time.struct_time):
        try:
            return datetime(*value[:6], tzinfo=UTC).isoformat()
        except ValueError:
            return None
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, bool | int) else NOT_XML.sub("", str(value))
