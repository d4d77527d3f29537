"""A staged window of a stream, read as if it were a network's one page."""

from __future__ import annotations

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.sources import Feed, Page, Source
from imagelake.web.messages import Request, Response


class WindowReader:
    """What ``Session`` is to a network; raises leaves of ``imagelake.run.errors``."""

    warnings: tuple[str, ...] = ()
    ends_at = None

    def __init__(self, source: Source, feed: Feed, bucket: Bucket) -> None:
        self._source = source
        self._feed = feed
        self._bucket = bucket

    def read(self, request: Request) -> tuple[Response, Page]:
        """The records of the feed's window; a feed without one has none."""
        window = self._feed.window
        body = self._bucket.get(object_keys.staged_window(window)) if window else b"[]"
        response = Response(200, {"content-type": "application/json"}, body, request.url)
        return response, self._source.parse(self._feed, response)
