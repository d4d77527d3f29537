"""Hashtags, by the grammar of twitter-text: https://github.com/twitter/twitter-text/tree/master/js/src/regexp

Unicode describes the same idea in UAX #31, section 6: a hash sign that is not inside a word, then letters with their
marks. Regular expressions of Python have no class for marks, which most Indic words need, so this module asks for the
category of each character.
"""

from __future__ import annotations

import re
from itertools import takewhile
from unicodedata import category

# The second one is on Chinese and Japanese keyboards.
_SIGNS = "#\uff03"
# The characters of twitter-text's "hashtagSpecialChars": joiners, dashes and dots that are inside words.
_INSIDE_WORDS = frozenset(
    "_\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c\u309b\u309c\u30a0\u30fb\u3003\u0f0b\u0f0c\u00b7"
)
_MAX_TAG = 100

# A hash sign, or a URL, with or without a scheme. A URL ends at a sign that texts put behind it.
_IN_URL = r"[\w!*';:=+,.$/%#\[\]~@|&?-]"
_SIGN_OR_URL = re.compile(
    rf"(?P<sign>[{_SIGNS}])(?![\s{_SIGNS}])|(?i:https?://[\w.:@-]++(?:[/?#]{_IN_URL}*+)?|(?<![\w.-])(?:[\w-]++\.)+[a-z]++/{_IN_URL}*+)"
)
# After a hash sign, these make it an emoji; before one, the first two end an emoji.
_EMOJI = ("\ufe0f", "\ufe0e", "\u20e3")


def hashtags(text: str) -> list[str]:
    """Return the hashtags of a text, without their signs, each once. A URL with a fragment has none."""
    found = (_tag(text, match.end()) for match in _SIGN_OR_URL.finditer(text) if match["sign"])
    return list(dict.fromkeys(filter(None, found)))


def without_sign(text: str) -> str:
    """Return a hashtag as networks ask for it; users write it with or without one of the signs."""
    return text[1:] if text[:1] in tuple(_SIGNS) else text


def is_hashtag(text: str) -> bool:
    """Tell if all of a text can be one hashtag."""
    return 0 < len(text) <= _MAX_TAG and all(map(_is_in_tag, text))


def _tag(text: str, start: int) -> str | None:
    """Return the hashtag that begins after the sign before ``start``."""
    before = text[start - 2] if start > 1 else " "
    if before == "&" or (_is_in_tag(before) and before not in _EMOJI) or text.startswith(_EMOJI, start):
        return None
    tag = "".join(takewhile(_is_in_tag, (text[place] for place in range(start, len(text)))))
    end = start + len(tag)
    if text.startswith(("://", *_SIGNS), end) or not any(category(character)[0] == "L" for character in tag):
        return None
    return tag


def _is_in_tag(character: str) -> bool:
    kind = category(character)
    return kind[0] in "LM" or kind == "Nd" or character in _INSIDE_WORDS
