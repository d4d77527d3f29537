"""What must not be kept of an answer: access tokens, which some networks put into the links they answer with."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

# The value ends at whatever ends a query parameter or a JSON string. No token holds a backslash: it begins an escape,
# such as `\\u0026` for `&`, or the `\\"` after a link in HTML, and without it the page would no longer be JSON.
_TOKEN = re.compile(
    rb"((?:access_token|appsecret_proof|client_secret|refresh_token)(?:=|%3[dD]|\"\s*:\s*\"))[^&\"'\\\s<>]+"
)
# Shorter texts are no secrets, and to take them out would take words apart.
_SHORTEST = 6
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot"}


def redact(text: bytes) -> bytes:
    """Put ``REDACTED`` for every parameter that is named like a token; everything else stays as it is."""
    return _TOKEN.sub(rb"\1REDACTED", text)


def without(secrets: Iterable[str], text: bytes) -> bytes:
    """Put ``REDACTED`` for every one of ``secrets``, however its characters are escaped."""
    pattern = _pattern(tuple(sorted(secrets, key=len, reverse=True)))
    return pattern.sub(b"REDACTED", text) if pattern else text


@lru_cache(maxsize=8)
def _pattern(secrets: tuple[str, ...]) -> re.Pattern[bytes] | None:
    # Backslashes in a row could be told apart in too many ways.
    long = [re.sub(r"\\+", r"\\", secret) for secret in secrets if len(secret) >= _SHORTEST]
    found = ["".join(map(_spellings, secret)) for secret in long]
    return re.compile("|".join(found).encode()) if found else None


def _spellings(character: str) -> str:
    """A pattern for the ways to write a character in a URL, in JSON or in HTML, escaped up to three times.

    Every repetition is bounded: a post of nothing but backslashes would take minutes otherwise.
    """
    code = ord(character)
    ways = [
        re.escape(character) + ("{1,32}" if character == "\\" else ""),
        rf"%(?:25){{0,2}}(?i:{code:02x})",
        rf"\\{{1,7}}u00(?i:{code:02x})",
        rf"&#(?:0{{0,4}}{code}|[xX]0{{0,4}}(?i:{code:x}));",
    ]
    if character in '/"':
        ways.append(rf"\\{{1,7}}{re.escape(character)}")
    if character in _ENTITIES:
        ways.append(f"&{_ENTITIES[character]};")
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"
