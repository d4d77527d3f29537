"""A staged window of a stream, read as if it were a network's one page."""

from __future__ import annotations

from shared import keys
from shared.storage import Bucket
from sources import Feed, Page, Request, Response, Source


class Stage:
    """What ``Session`` is to a network; raises leaves of ``shared.errors``."""

    warnings: tuple[str, ...] = ()
    ends_at = None

    def __init__(self, source: Source, feed: Feed, bucket: Bucket) -> None:
        self._source = source
        self._feed = feed
        self._bucket = bucket

    def read(self, request: Request) -> tuple[Response, Page]:
        """The records of the feed's window; a feed without one has none."""
        window = self._feed.window
        body = self._bucket.get(keys.staged_window(window)) if window else b"[]"
        response = Response(200, {"content-type": "application/json"}, body, request.url)
        return response, self._source.parse(self._feed, response)
