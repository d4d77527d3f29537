"""Plain text from the HTML of a post: the text that a browser shows, by the rules of ``innerText``.

https://html.spec.whatwg.org/multipage/dom.html#the-innertext-idl-attribute

justhtml finds the tags, comments and entities as the standard says. It builds no tree of them, because that takes
quadratic time for nested elements (docs/decisions/0030-read-html-with-justhtml.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

# A part of a text has so many tags, because each open element needs memory.
MAX_TAGS_OF_PART = 100_000

# Elements that begin and end a line: https://html.spec.whatwg.org/multipage/rendering.html#flow-content-3
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "dir",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hgroup", "hr", "html", "legend", "li", "listing", "main", "menu", "nav", "ol", "optgroup", "option",
    "p", "plaintext", "pre", "search", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul", "xmp",
})  # fmt: skip
# https://html.spec.whatwg.org/multipage/rendering.html#hidden-elements, and elements with text for old browsers only.
_HIDDEN = frozenset({
    "audio", "canvas", "datalist", "head", "iframe", "noembed", "noframes", "noscript", "rp", "script", "style",
    "template", "title", "video",
})  # fmt: skip
_WITHOUT_END = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
})  # fmt: skip
_KEEP_SPACES = frozenset({"listing", "plaintext", "pre", "textarea", "xmp"})
_CELLS = frozenset({"td", "th"})
# The head ends before any other element: https://html.spec.whatwg.org/multipage/parsing.html#parsing-main-inhead
_IN_HEAD = frozenset({
    "base", "basefont", "bgsound", "link", "meta", "noframes", "noscript", "script", "style", "template", "title",
})  # fmt: skip
# The start of an element ends these open ones, unless one of the second group is open inside of them.
_IMPLIED_ENDS = {
    "li": (("li",), ("dir", "menu", "ol", "ul")),
    **dict.fromkeys(("dd", "dt"), (("dd", "dt"), ("dl",))),
    **dict.fromkeys(("td", "th"), (("td", "th"), ("table",))),
    **dict.fromkeys(("tbody", "tfoot", "thead", "tr"), (("tr",), ("table",))),
    "option": (("option",), ("select",)),
    **dict.fromkeys(("rp", "rt"), (("rp", "rt"), ("ruby",))),
}
_AROUND_PARAGRAPHS = ("button", "caption", "object", "td", "th")

_TAG = re.compile("</?[a-zA-Z]")
# A number of a reference ends at a digit of another script, which justhtml takes for a digit too, or fails on.
_OTHER_DIGIT = re.compile(r"&#(?:(?P<number>[0-9]++)(?=[^\x00-\x7f])|(?=[^\x00-\x7f]))")
# An empty element of SVG or MathML; for justhtml, all that follows would be inside of it.
_EMPTY = re.compile(r"<(svg|math)(\s[^<>]*)?/>", re.IGNORECASE)
# Comments, and strings and arguments, which may contain the characters between declarations.
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_QUOTED = re.compile(r""""[^"]*"|'[^']*'|\([^()]*\)""")
# Values of `display` whose boxes have lines of their own, and others: https://www.w3.org/TR/css-display-3/
_BLOCK_DISPLAYS = frozenset({
    "block", "flex", "flow-root", "grid", "list-item", "table", "table-caption", "table-row",
})  # fmt: skip
_DISPLAYS = _BLOCK_DISPLAYS | {
    "contents",
    "inline",
    "inline-block",
    "inline-flex",
    "inline-grid",
    "inline-table",
    "none",
}
_INVISIBLE = {"hidden": True, "collapse": True, "visible": False}
_KEEPING = frozenset({"break-spaces", "pre", "pre-wrap"})
_SPACES = re.compile(r"[ \t\n\f\r]+")


def plain_text(markup: str) -> str:
    """Return the text that a reader sees: with line breaks, an empty line after a paragraph, and entities decoded.

    A text without tags keeps its own line breaks.
    """
    # Only this needs justhtml, which takes long to import.
    from justhtml import stream

    # The standard drops a tag without an end. This keeps it, because it can be text, such as "a<b".
    end = markup.rfind(">") + 1
    markup = markup[:end] + markup[end:].replace("<", "&lt;")
    markup = _EMPTY.sub(r"<\1\2></\1>", markup)
    markup = _OTHER_DIGIT.sub(lambda match: f"{match[0]};" if match["number"] else "&amp;#", markup)
    text = _Text(keeps_spaces=_TAG.search(markup) is None)
    for part in _parts(markup):
        text.read(stream(part))
    return str(text)


def _parts(markup: str) -> Iterator[str]:
    """Cut text that has very many tags; the elements of a part end with it."""
    start = 0
    for tag in islice(_TAG.finditer(markup), MAX_TAGS_OF_PART, None, MAX_TAGS_OF_PART):
        yield markup[start : tag.start()]
        start = tag.start()
    yield markup[start:]


class _Element(NamedTuple):
    """An open element, and what it changes for the text inside of it."""

    name: str
    has_lines: bool
    hides: int
    is_closed: bool
    keeps_spaces: bool
    is_parent_invisible: bool


class _Text:
    """The text so far, the line breaks and the space before its next piece, and the open elements."""

    def __init__(self, *, keeps_spaces: bool) -> None:
        self._pieces: list[str] = []
        self._line_ends = 0
        # The line breaks that blocks ask for since then; blocks side by side share them.
        self._asked = 0
        self._ends_with_br = False
        self._space = ""
        # The open elements, and the places of each name among them.
        self._open: list[_Element] = []
        self._places: dict[str, list[int]] = {}
        self._blocks: list[int] = []
        self._hidden = 0
        self._is_invisible = False
        self._as_written = int(keeps_spaces)

    def __str__(self) -> str:
        return re.sub(r"\n{3,}", "\n\n", "".join(self._pieces)).strip()

    def read(self, events: Iterable[tuple[str, Any]]) -> None:
        """Add the text of tags and texts, as justhtml gives them."""
        for event, value in events:
            if event == "text":
                if value.strip() and self._is_in("head"):
                    self._end("head")
                self._add(value)
            elif event == "start":
                self._start(*value)
            elif event == "end":
                self._end(value)
        self._end_from(0)

    def _add(self, text: str) -> None:
        if self._hidden or self._is_invisible:
            return
        if not self._as_written:
            text = _SPACES.sub(" ", text)
            if text.startswith(" "):
                self._space = self._space or " "
        shown = text if self._as_written else text.strip(" ")
        if not shown:
            return
        if self._pieces:
            self._pieces.append("\n" * min(self._line_ends + self._asked, 2) or self._space)
        self._pieces.append(shown)
        self._line_ends = self._asked = 0
        self._ends_with_br = False
        self._space = " " if not self._as_written and text.endswith(" ") else ""

    def _start(self, name: str, attributes: Mapping[str, str | None]) -> None:
        if name == "br":
            self._break_line()
            return
        self._end_before(name)
        styles = _styles(attributes.get("style") or "")
        display = styles.get("display", "")
        has_lines = display in _BLOCK_DISPLAYS if display in _DISPLAYS else name in _BLOCKS
        if name in _CELLS and not self._hidden:
            self._space = "\t"
        self._ask_for_break(name, has_lines)
        if name in _WITHOUT_END:
            return
        is_closed = name == "details" and "open" not in attributes
        hides = is_closed + (name in _HIDDEN or _hides(name, display, attributes))
        # Closed details show their summary.
        hides -= name == "summary" and self._is_in("details") and self._open[-1].is_closed
        keeps_spaces = name in _KEEP_SPACES or styles.get("white-space") in _KEEPING
        element = _Element(name, has_lines, hides, is_closed, keeps_spaces, self._is_invisible)
        self._places.setdefault(name, []).append(len(self._open))
        if name in _BLOCKS or name in _CELLS:
            self._blocks.append(len(self._open))
        self._open.append(element)
        self._hidden += hides
        self._as_written += keeps_spaces
        self._is_invisible = _INVISIBLE.get(styles.get("visibility", ""), self._is_invisible)

    def _end_before(self, name: str) -> None:
        """End the elements whose end tags may be left out before this element."""
        if name not in _IN_HEAD and self._is_in("head"):
            self._end("head")
        if name in _BLOCKS:
            self._end_any(("p",), unless=_AROUND_PARAGRAPHS)
        if name in _IMPLIED_ENDS:
            names, around = _IMPLIED_ENDS[name]
            self._end_any(names, unless=around)

    def _is_in(self, name: str) -> bool:
        return bool(self._open) and self._open[-1].name == name

    def _end(self, name: str) -> None:
        if name == "br":
            self._break_line()
        elif self._places.get(name):
            # The end of an element inside a line does not end the block around it.
            place = self._places[name][-1]
            if name in _BLOCKS or name in _CELLS or not self._blocks or place > self._blocks[-1]:
                self._end_from(place)
        else:
            self._ask_for_break(name, name in _BLOCKS)

    def _end_any(self, names: Iterable[str], *, unless: Iterable[str]) -> None:
        place = self._last(names)
        if place > self._last(unless):
            self._end_from(place)

    def _last(self, names: Iterable[str]) -> int:
        return max((self._places[name][-1] for name in names if self._places.get(name)), default=-1)

    def _end_from(self, place: int) -> None:
        while len(self._open) > place:
            element = self._open.pop()
            self._places[element.name].pop()
            if self._blocks and self._blocks[-1] == len(self._open):
                self._blocks.pop()
            self._ask_for_break(element.name, element.has_lines)
            self._hidden -= element.hides
            self._as_written -= element.keeps_spaces
            self._is_invisible = element.is_parent_invisible

    def _ask_for_break(self, name: str, has_lines: bool) -> None:
        if has_lines and not self._hidden:
            # A line break at the end of a block adds no empty line.
            self._line_ends -= self._ends_with_br
            self._ends_with_br = False
            self._asked = max(self._asked, 2 if name == "p" else 1)

    def _break_line(self) -> None:
        if not self._hidden:
            self._line_ends += self._asked + 1
            self._asked = 0
            self._ends_with_br = True


def _hides(name: str, display: str, attributes: Mapping[str, str | None]) -> bool:
    if name == "dialog" and "open" not in attributes:
        return True
    # A style of the element is stronger than the attribute.
    return display == "none" or ("hidden" in attributes and display not in _DISPLAYS)


def _styles(text: str) -> dict[str, str]:
    """Read the declarations of a style; the last important one of a name counts, or else the last one."""
    values: dict[str, str] = {}
    important: set[str] = set()
    for declaration in _QUOTED.sub("", _COMMENT.sub("", text.lower())).split(";"):
        name, _, rest = declaration.partition(":")
        name, (value, _, priority) = name.strip(), rest.partition("!")
        is_valid = name != "display" or value.strip() in _DISPLAYS
        is_important = priority.strip() == "important"
        if is_valid and (is_important or name not in important):
            values[name] = value.strip()
            important |= {name} if is_important else set()
    return values
