"""A network on loopback has photos, and can answer with a fault in place of a page."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import urlencode, urlsplit

from imagelake.web.messages import Request, Response
from tests.support.web_server import Answer, Received, WebServer

PHOTOS = Path(__file__).parents[3] / "samples" / "photos"

# Scripts, directions, joiners and planes that a store may break on.
UNICODE = "👩‍🚀 שלום नमस्ते ไทย e\u0301 \u202eRTL\u202c 𝄞 \U0001f1e9\U0001f1ea ﷽"
LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body>Log in to go on</body></html>"


class WireServer(WebServer):
    """A network; ``faults`` are by path: the next request for it is answered with the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: defaultdict[str, list[Answer]] = defaultdict(list)

    def start(self) -> None:
        """Publish the first posts."""

    def page(self, asked: Received) -> Answer:
        """Answer a request to which no fault applies."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        super().__enter__()
        self.start()
        return self

    @property
    def url(self) -> str:
        """The origin, under the name that it has in ``FeedServer``."""
        return self.origin

    def photo(self, name: str) -> str:
        """The URL of a sample photo on this server."""
        return f"{self.url}/photos/{name}.jpg"

    def answer(self, asked: Received) -> Answer:
        if asked.path.startswith("/photos/"):
            return Answer(self._bytes(PHOTOS / Path(asked.path).name), headers={"content-type": "image/jpeg"})
        if self.faults[asked.path]:
            return self.faults[asked.path].pop(0)
        return self.page(asked)

    def respond(self, request: Request) -> Response:
        """Answer a request of an adapter without sending it."""
        query = urlencode(request.params)
        answer = self.page(Received(f"{urlsplit(request.url).path}?{query}", dict(request.headers), b""))
        return Response(answer.status, answer.headers, answer.body, f"{request.url}?{query}")

    def _bytes(self, photo: Path) -> bytes:
        """The photo with a comment in it: no network's bytes are a duplicate of another's (ITU-T T.81, B.2.4.5)."""
        data, comment = photo.read_bytes(), type(self).__name__.encode()
        return data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def now() -> datetime:
    return datetime.now(UTC)
