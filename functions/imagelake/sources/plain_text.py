"""Plain text from the HTML of a post."""

from __future__ import annotations

import html
import re

# Python's html.parser takes quadratic time on unclosed tags (17 s for 40 kB of "<a ") and fails on "<![x[". This
# pattern ends at the next angle bracket, so it takes linear time, and everything else stays text.
_TAG = re.compile(r"<(?:(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)|[!?])[^<>]*>")
_BLOCKS = frozenset({"blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ol", "pre", "tr", "ul"})
# Elements whose content is not text.
_CODE = re.compile(r"<(/?)(?:style|script)\b[^<>]*>", re.IGNORECASE)


def plain_text(markup: str) -> str:
    """Return the text that a reader sees: with line breaks, an empty line after a paragraph, and entities decoded."""
    return re.sub(r"\n{3,}", "\n\n", html.unescape(_TAG.sub(_break, _without_code(markup)))).strip()


def _without_code(markup: str) -> str:
    text, *rest = _CODE.split(markup)
    # The pieces alternate: a tag's slash or nothing, and the text after the tag. Text after an end tag is not code.
    return text + "".join(after for slash, after in zip(rest[::2], rest[1::2], strict=True) if slash)


def _break(tag: re.Match[str]) -> str:
    name = (tag["name"] or "").lower()
    if name == "br":
        return "\n"
    if not tag["close"]:
        return ""
    return "\n\n" if name == "p" else "\n" if name in _BLOCKS else ""
