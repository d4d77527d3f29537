"""Redaction: remove access tokens from everything that is stored; some networks put them into links in responses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from imagelake.accounts.secrets import Secret
from imagelake.run.masking import mask_users_in_bytes, spellings
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url

# A token ends where a query parameter or a JSON string ends. It holds no backslash: that begins an escape, such as
# `\u0026` for `&`, or the `\"` after a link in HTML, and without it the page would no longer be JSON.
_TOKEN = re.compile(
    rb"((?:access_token|appsecret_proof|client_secret|refresh_token)(?:=|%3[dD]|\"\s*:\s*\"))[^&\"'\\\s<>]+"
)
# Shorter values are not redacted: they would match inside ordinary words.
_SHORTEST = 6


class Redactor:
    """Redacts the values of a secret, ``public_fields`` excluded; knows every value that was in use so far."""

    def __init__(self, secret: Secret, public_fields: frozenset[str]) -> None:
        self._secret = secret
        self._public_fields = public_fields

    def response(self, response: Response, request: Request) -> Response:
        """Return ``response`` without secrets, at the URL of ``request``, which was not authorized yet."""
        url = str(Url.parse(request.url).with_params(request.params))
        headers = {name: self.text(value) for name, value in response.headers.items()}
        return Response(response.status, headers, redact_values(self._values(), response.body), url)

    def text(self, text: str) -> str:
        return redact_values(self._values(), text.encode("utf-8", "replace")).decode("utf-8")

    def _values(self) -> list[str]:
        return self._secret.secret_values(self._public_fields)


def redact(text: bytes) -> bytes:
    """Replace tokens in parameters, and user names and passwords in URLs, by ``REDACTED``; JSON stays JSON."""
    return mask_users_in_bytes(_TOKEN.sub(rb"\1REDACTED", text))


def redact_values(values: Iterable[str], text: bytes) -> bytes:
    """Replace every one of ``values`` by ``REDACTED``, however its characters are escaped."""
    pattern = _pattern(tuple(sorted(values, key=len, reverse=True)))
    return pattern.sub(b"REDACTED", text) if pattern else text


@lru_cache(maxsize=8)
def _pattern(values: tuple[str, ...]) -> re.Pattern[bytes] | None:
    # Several backslashes in a row could match in too many ways, so one pattern stands for all of them.
    long = [re.sub(r"\\+", r"\\", value) for value in values if len(value) >= _SHORTEST]
    patterns = ["".join(map(spellings, value)) for value in long]
    return re.compile("|".join(patterns).encode()) if patterns else None
