"""XML from anyone as a tree: no document type, so no entity but XML's own, and bounds on its size and depth."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from html.entities import html5
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

_MAX_DEPTH = 100
_MAX_ELEMENTS = 200_000

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("<?".encode("utf-16-le"), "utf-16-le"),
    ("<?".encode("utf-16-be"), "utf-16-be"),
)
# Not every codec Python has: some are slow or warn. Nor UTF-16, which is either told by its first bytes or not true.
_DECLARED = re.compile(
    rb"""<\?xml[^<>]{0,200}?\sencoding\s*=\s*["'](?P<name>utf-?8|us-ascii|iso-8859-\d{1,2}|windows-\d{3,4}|koi8-[ru]|"""
    rb"""macintosh|shift_jis|euc-jp|iso-2022-jp|euc-kr|gb2312|gbk|gb18030|big5)["']""",
    re.IGNORECASE,
)
# HTML's names for characters, which XML does not know and feeds use all the same; none makes markup.
_HTML_NAMES = {name: text for name, text in html5.items() if not set(text) & set("<>&\"'")}
_HTML_NAME = re.compile(r"&([a-zA-Z][a-zA-Z0-9]{1,31};)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_xml(data: bytes, prefixes: Mapping[str, str]) -> Element:
    """The root element; raises ``ValueError``, whatever the bytes.

    ``prefixes`` are by namespace: ``{"http://search.yahoo.com/mrss/": "media:"}`` makes tags such as ``media:content``,
    and ``""`` the bare name. A namespace that is not there stays in the tag as ``{namespace}name``.
    """
    builder, depth, elements = TreeBuilder(), 0, 0

    def named(name: str) -> str:
        namespace, found, local = name.rpartition("}")
        return prefixes.get(namespace, f"{{{namespace}}}") + local if found else name

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > _MAX_DEPTH or elements > _MAX_ELEMENTS:
            raise ValueError("the XML is nested too deeply or has too many elements")
        builder.start(named(name), {named(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(named(name))

    def refuse(*_: object) -> None:
        raise ValueError("the XML has a document type declaration")

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(_decoded(data), True)
    except expat.ExpatError as error:
        raise ValueError(f"not well-formed XML: {error}") from None
    return builder.close()


def _decoded(data: bytes) -> str:
    """The text, of characters XML allows; expat itself knows no encoding of several bytes but UTF."""
    declared = _DECLARED.match(data.lstrip()[:1024])
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    encoding = encoding or (declared["name"].decode() if declared else None)
    try:
        text = data.decode(encoding, "replace") if encoding else data.decode()
    except (UnicodeDecodeError, LookupError):
        text = data.decode("cp1252", "replace")
    text = _HTML_NAME.sub(lambda found: _HTML_NAMES.get(found[1], found[0]), text)
    return _NOT_XML.sub("", text).lstrip()
