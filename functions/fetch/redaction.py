"""What must not be kept of a page: access tokens, which some networks put into the links they answer with."""

from __future__ import annotations

import re

# The value ends at whatever ends a query parameter or a JSON string. No token holds a backslash: it begins an escape,
# such as `\\u0026` for `&`, or the `\\"` after a link in HTML, and without it the page would no longer be JSON.
_TOKEN = re.compile(
    rb"((?:access_token|appsecret_proof|client_secret|refresh_token)(?:=|%3[dD]|\"\s*:\s*\"))[^&\"'\\\s<>]+"
)


def redact(text: bytes) -> bytes:
    """Put ``REDACTED`` for every token; everything else stays as it is."""
    return _TOKEN.sub(rb"\1REDACTED", text)
