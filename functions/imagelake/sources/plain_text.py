"""Plain text from the HTML of a post: the text that a browser shows, by the rules of ``innerText``.

https://html.spec.whatwg.org/multipage/dom.html#the-innertext-idl-attribute

justhtml finds the tags, comments and entities as the standard says. It builds no tree of them, because that takes
quadratic time for nested elements (docs/decisions/0030-read-html-with-justhtml.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

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
# The start of an element ends these open ones, unless one of the second group is open inside of them.
_IMPLIED_ENDS = {
    "li": (("li",), ("dir", "menu", "ol", "ul")),
    **dict.fromkeys(("dd", "dt"), (("dd", "dt"), ("dl",))),
    **dict.fromkeys(("td", "th"), (("td", "th"), ("table",))),
    **dict.fromkeys(("tbody", "tfoot", "thead", "tr"), (("tr",), ("table",))),
    "option": (("option",), ("select",)),
}
_AROUND_PARAGRAPHS = ("button", "caption", "object", "td", "th")

_TAG = re.compile("</?[a-zA-Z]")
# A number of a reference ends at a digit of another script, which justhtml takes for a digit too, or fails on.
_OTHER_DIGIT = re.compile(r"&#(?:(?P<number>[0-9]++)(?=[^\x00-\x7f])|(?=[^\x00-\x7f]))")
_DISPLAY = re.compile(r"(?:^|;)\s*display\s*:\s*([a-z-]+)", re.IGNORECASE)
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


class _Text:
    """The text so far, the line breaks and the space before its next piece, and the open elements."""

    def __init__(self, *, keeps_spaces: bool) -> None:
        self._pieces: list[str] = []
        self._line_ends = 0
        # The line breaks that blocks ask for since then; blocks side by side share them.
        self._asked = 0
        self._ends_with_br = False
        self._space = ""
        # The open elements with the counts that they change, and the places of each name among them.
        self._open: list[tuple[str, bool, bool]] = []
        self._places: dict[str, list[int]] = {}
        self._blocks: list[int] = []
        self._hidden = 0
        self._as_written = int(keeps_spaces)

    def __str__(self) -> str:
        return re.sub(r"\n{3,}", "\n\n", "".join(self._pieces)).strip()

    def read(self, events: Iterable[tuple[str, Any]]) -> None:
        """Add the text of tags and texts, as justhtml gives them."""
        for event, value in events:
            if event == "text":
                self._add(value)
            elif event == "start":
                self._start(*value)
            elif event == "end":
                self._end(value)
        self._end_from(0)

    def _add(self, text: str) -> None:
        if self._hidden:
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
        if name in _BLOCKS:
            self._end_any(("p",), unless=_AROUND_PARAGRAPHS)
        if name in _IMPLIED_ENDS:
            names, around = _IMPLIED_ENDS[name]
            self._end_any(names, unless=around)
        if name in _CELLS and not self._hidden:
            self._space = "\t"
        self._ask_for_break(name)
        if name in _WITHOUT_END:
            return
        is_hidden, keeps_spaces = name in _HIDDEN or _hides(attributes), name in _KEEP_SPACES
        self._places.setdefault(name, []).append(len(self._open))
        if name in _BLOCKS or name in _CELLS:
            self._blocks.append(len(self._open))
        self._open.append((name, is_hidden, keeps_spaces))
        self._hidden += is_hidden
        self._as_written += keeps_spaces

    def _end(self, name: str) -> None:
        if name == "br":
            self._break_line()
        elif self._places.get(name):
            # The end of an element inside a line does not end the block around it.
            place = self._places[name][-1]
            if name in _BLOCKS or name in _CELLS or not self._blocks or place > self._blocks[-1]:
                self._end_from(place)
        else:
            self._ask_for_break(name)

    def _end_any(self, names: Iterable[str], *, unless: Iterable[str]) -> None:
        place = self._last(names)
        if place > self._last(unless):
            self._end_from(place)

    def _last(self, names: Iterable[str]) -> int:
        return max((self._places[name][-1] for name in names if self._places.get(name)), default=-1)

    def _end_from(self, place: int) -> None:
        while len(self._open) > place:
            name, is_hidden, keeps_spaces = self._open.pop()
            self._places[name].pop()
            if self._blocks and self._blocks[-1] == len(self._open):
                self._blocks.pop()
            self._ask_for_break(name)
            self._hidden -= is_hidden
            self._as_written -= keeps_spaces

    def _ask_for_break(self, name: str) -> None:
        if name in _BLOCKS and not self._hidden:
            # A line break at the end of a block adds no empty line.
            self._line_ends -= self._ends_with_br
            self._ends_with_br = False
            self._asked = max(self._asked, 2 if name == "p" else 1)

    def _break_line(self) -> None:
        if not self._hidden:
            self._line_ends += self._asked + 1
            self._asked = 0
            self._ends_with_br = True


def _hides(attributes: Mapping[str, str | None]) -> bool:
    """Tell if the attributes of an element hide it; of several declarations, the last one counts."""
    displays = _DISPLAY.findall(attributes.get("style") or "")
    return "hidden" in attributes or bool(displays and displays[-1].lower() == "none")
