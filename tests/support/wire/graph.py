"""Shared parts of Instagram's and Facebook's servers on loopback: tokens in the query and in the links that lead on."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from tests.support.web_server import Answer, Received
from tests.support.wire.server import WireServer, now


class GraphServer(WireServer):
    """A Graph API that knows ``tokens``, and says a token wherever it can."""

    def __init__(self, *tokens: str) -> None:
        super().__init__()
        self.tokens = set(tokens)

    def answer(self, asked: Received) -> Answer:
        token = asked.query.get("access_token", "")
        if not asked.path.startswith("/photos/") and token not in self.tokens:
            return error(190, f"Error validating access token {token}: it was cut off", 401, error_subcode=463)
        return super().answer(asked)

    def signed(self, photo: str, seconds: int = 86400) -> str:
        """The address of a photo that lapses."""
        return f"{self.photo(photo)}?oh=00_AYBq&oe={int((now() + timedelta(seconds=seconds)).timestamp()):X}"

    def next(self, asked: Received, **position: str) -> str:
        """The link to the next page, with the token in it."""
        query = {**asked.query, **position}
        return f"{self.url}{asked.path}?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())


def written(value: Any) -> Answer:
    """JSON as the Graph API writes it: with slashes and all beyond ASCII escaped, and some ampersands."""
    text = json.dumps(value).replace("/", "\\/").replace("&", "\\u0026")
    return Answer.text(text, "text/javascript; charset=UTF-8", x_app_usage='{"call_count":28}')


def error(code: int, message: str, status: int = 400, headers: dict[str, str] | None = None, **more: Any) -> Answer:
    body = {"error": {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "A1b2C3", **more}}
    return Answer(json.dumps(body).encode(), status, {"content-type": "application/json"} | (headers or {}))


def throttled(code: int, kind: str) -> Answer:
    """A limit: status 400, an ``OAuthException`` like any other, the minutes in a header."""
    usage = {"17841400000000001": [{"type": kind, "call_count": 100, "estimated_time_to_regain_access": 1}]}
    headers = {"x-business-use-case-usage": json.dumps(usage)}
    return error(code, "Application request limit reached", headers=headers, is_transient=True)
