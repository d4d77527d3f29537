"""One HTTP request and one HTTP response as values, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Request:
    """One HTTP request; it holds no secret until ``Authorized.authorize`` adds one, right before it is sent."""

    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    method: Literal["GET", "POST"] = "GET"
    json: Any = None


@dataclass(frozen=True)
class Response:
    """One HTTP response with its decoded body; header names are in lower case.

    ``url`` is the requested URL with its query, so an adapter knows which of its requests this answers. Posts and
    rejects depend on the URL, the Content-Type and the body alone, which are stored, so a stored page is parsed the
    same way again. The other headers carry the cursor, the rate limit and the bookmark.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
