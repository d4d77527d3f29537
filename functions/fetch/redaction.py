"""What must not be kept of a page: access tokens, which some networks put into the links they answer with."""

from __future__ import annotations

import re

# The value ends at whatever ends a query parameter or a JSON string; `\\u0026` is `&` as some networks escape it.
_TOKEN = re.compile(
    rb"((?:access_token|appsecret_proof|client_secret|refresh_token)(?:=|%3[dD]|\"\s*:\s*\"))(?:(?!\\u0026)[^&\"'\s<>])+"
)


def redact(text: bytes) -> bytes:
    """Put ``REDACTED`` for every token; everything else stays as it is."""
    return _TOKEN.sub(rb"\1REDACTED", text)
