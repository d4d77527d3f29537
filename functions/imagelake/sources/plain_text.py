"""Plain text out of the HTML that networks deliver as a post's content."""

from __future__ import annotations

import html
import re

# Not html.parser: it is quadratic on unclosed tags (17 s for 40 kB of "<a ") and raises AssertionError on "<![x[".
# This one stops at the next angle bracket, so it is linear, and what is no tag stays text.
_TAG = re.compile(r"<(?:(?P<close>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)|[!?])[^<>]*>")
_BLOCKS = frozenset({"blockquote", "div", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ol", "pre", "tr", "ul"})
# Elements whose content is not text.
_CODE = re.compile(r"<(/?)(?:style|script)\b[^<>]*>", re.IGNORECASE)


def plain_text(markup: str) -> str:
    """The text a reader sees: line breaks kept, an empty line after each paragraph, entities decoded."""
    return re.sub(r"\n{3,}", "\n\n", html.unescape(_TAG.sub(_break, _without_code(markup)))).strip()


def _without_code(markup: str) -> str:
    text, *rest = _CODE.split(markup)
    # The split alternates between a tag's slash and what follows the tag: only what follows an end tag is read.
    return text + "".join(after for slash, after in zip(rest[::2], rest[1::2], strict=True) if slash)


def _break(tag: re.Match[str]) -> str:
    name = (tag["name"] or "").lower()
    if name == "br":
        return "\n"
    if not tag["close"]:
        return ""
    return "\n\n" if name == "p" else "\n" if name in _BLOCKS else ""
