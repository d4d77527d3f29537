"""The text of an XML document of unknown origin: decoded, and without characters that XML forbids.

The encoding is that of the byte order mark, or else of the header Content-Type, or else of the XML declaration
(https://www.rfc-editor.org/rfc/rfc7303#section-3). Names of encodings mean what they mean in browsers
(https://encoding.spec.whatwg.org/#names-and-labels).
"""

from __future__ import annotations

import codecs
import re
from html.entities import html5

import webencodings

# https://www.w3.org/TR/xml/#sec-guessing. The marks of UTF-32 come first: one of them begins like one of UTF-16.
_ENCODING_BY_START = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("<?".encode("utf-16-le"), "utf-16-le"),
    ("<?".encode("utf-16-be"), "utf-16-be"),
)
_DECLARATION = re.compile(rb"""<\?xml[^<>]{0,200}?\sencoding\s*=\s*["'](?P<name>[a-zA-Z][\w.:-]{0,40})["']""")
_CHARSET = re.compile(r"""(?:;|\s)charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
# Encodings of two or four bytes: if the declaration is readable as ASCII, they are wrong.
_WIDE = re.compile(r"utf[-_]?(?:16|32)|ucs|u(?:16|32)$|iso-10646")
# Codecs that only Python has; some of them are slow or warn.
# https://docs.python.org/3/library/codecs.html#python-specific-encodings
_NO_CHARSET = frozenset({"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape"})
# The standard of browsers decodes the first with the second; Python's codec has fewer characters.
_SUPERSETS = {"gbk": "gb18030"}
# Encodings that browsers know but do not decode.
_NOT_DECODED = frozenset({"replacement", "x-user-defined"})
_JAPANESE = frozenset({"euc_jp", "iso2022_jp"})
# Cells that browsers and Windows read differently from Python: https://encoding.spec.whatwg.org/#index-jis0208
_JAPANESE_CELLS = str.maketrans("〜‖−¢£¬", "～∥－￠￡￢")
_JIS_SIDE = 94
# The codec for the label iso-8859-1, which is also the default of many programs.
_WESTERN = "cp1252"
# For browsers these are Windows-1252 too, but bytes that are not ASCII are as they are without a declaration.
_ASCII = frozenset({"ascii", "us-ascii", "ansi_x3.4-1968", "iso-ir-6", "iso646-us"})

# Names of characters in HTML, which feeds use although XML does not know them. None of these is markup.
_HTML_NAMES = {name: text for name, text in html5.items() if not set(text) & set("<>&\"'")}
_HTML_NAME = re.compile(r"&([a-zA-Z][a-zA-Z0-9]{1,31};)")
_REFERENCE = re.compile(r"&#(?:[xX](?P<hex>[0-9a-fA-F]+)|(?P<decimal>[0-9]+));?")
MAX_AMPERSANDS = 2_000_000
# Bytes that "surrogateescape" marks as not UTF-8.
_WINDOWS_1252 = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}
# An ampersand outside of CDATA that does not begin a reference.
_BARE_AMPERSAND = re.compile(r"<!\[CDATA\[.*?(?:\]\]>|\Z)|&(?!#?\w+;)", re.DOTALL)
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(data: bytes, content_type: str | None = None) -> str:
    """Decode ``data``, whatever the bytes; raise ``ValueError`` if it has too many ampersands."""
    text = NOT_XML.sub("", _decoded(data, content_type)).lstrip()
    if text.count("&") > MAX_AMPERSANDS:
        raise ValueError(f"the feed has more than {MAX_AMPERSANDS:,} ampersands")
    text = _HTML_NAME.sub(lambda match: _HTML_NAMES.get(match[1], match[0]), text)
    text = _REFERENCE.sub(_allowed_reference, text)
    return _BARE_AMPERSAND.sub(lambda match: "&amp;" if match[0] == "&" else match[0], text)


def _decoded(data: bytes, content_type: str | None) -> str:
    encoding = next((name for mark, name in _ENCODING_BY_START if data.startswith(mark)), None)
    encoding = encoding or _of_header(content_type, data) or _declared(data)
    if encoding == _WESTERN and _is_utf_8(data):
        # Programs declare their default, and write UTF-8. Text in another encoding is never valid UTF-8 by chance.
        encoding = "utf-8"
    if encoding and encoding != "utf-8":
        try:
            text = data.decode(encoding, _ERRORS)
            return text.translate(_JAPANESE_CELLS) if encoding in _JAPANESE else text
        except (LookupError, UnicodeError):  # the codec is unknown or does not make text
            pass
    # Bytes that are not UTF-8 are Windows-1252, which authors paste into pages in UTF-8.
    return data.decode("utf-8", "surrogateescape").translate(_WINDOWS_1252)


def _decode_more(error: UnicodeError) -> tuple[str | bytes, int]:
    """Decode the characters of browsers that Python's codecs do not have; replace all other bytes."""
    if isinstance(error, UnicodeDecodeError):
        pair = error.object[error.start : error.start + 2]
        if error.encoding == "gb18030" and pair[:1] == b"\x80":
            return "€", error.start + 1
        if error.encoding in _JAPANESE and len(pair) == 2:
            first = 0xA1 if error.encoding == "euc_jp" else 0x21
            row, cell = pair[0] - first, pair[1] - first
            if 0 <= row < _JIS_SIDE and 0 <= cell < _JIS_SIDE:
                return _windows_31j(row, cell), error.start + 2
    return codecs.replace_errors(error)


def _windows_31j(row: int, cell: int) -> str:
    """Decode a cell of JIS X 0208 with the additions of NEC and IBM, as Windows-31J has it."""
    lead = row // 2 + (0x81 if row < 62 else 0xC1)
    trail = cell + (0x9F if row % 2 else 0x40 if cell < 63 else 0x41)
    try:
        return bytes((lead, trail)).decode("cp932")
    except UnicodeDecodeError:
        return "\ufffd"


_ERRORS = "imagelake.browser"
codecs.register_error(_ERRORS, _decode_more)


def _of_header(content_type: str | None, data: bytes) -> str | None:
    match = _CHARSET.search(content_type or "")
    if match is None:
        return None
    name = _codec(match[1])
    # XML in two bytes a character has zeros in its tags.
    return name if name is None or not _WIDE.match(name) or b"\0" in data[:64] else None


def _declared(data: bytes) -> str | None:
    declaration = _DECLARATION.match(data.lstrip()[:1024])
    name = _codec(declaration["name"].decode()) if declaration else None
    return None if name is None or _WIDE.match(name) else name


def _codec(label: str) -> str | None:
    """Return the name of Python's codec for a label, or ``None`` if the label names no encoding."""
    if label.lower() in _ASCII:
        return "utf-8"
    encoding = webencodings.lookup(label)
    if encoding is not None and encoding.name not in _NOT_DECODED:
        name: str = encoding.codec_info.name
        return _SUPERSETS.get(name, name)
    try:
        # Python reads one codec from many names: "punycode-" is punycode.
        name = codecs.lookup(label).name
    except (LookupError, ValueError):
        return None
    return None if name.replace("-", "_") in _NO_CHARSET else name


def _is_utf_8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeError:
        return False
    return True


def _allowed_reference(match: re.Match[str]) -> str:
    try:
        character = chr(int(match["hex"], 16) if match["hex"] else int(match["decimal"]))
    except (ValueError, OverflowError):
        return "\ufffd"
    return "\ufffd" if NOT_XML.match(character) else match[0]
