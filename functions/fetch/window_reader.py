"""Reader of a staged window of a stream, and the choice between it and a network's session."""

from __future__ import annotations

from fetch.settings import FetchSettings
from imagelake.accounts.api import Api
from imagelake.accounts.secrets import Secret
from imagelake.accounts.session import Session
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.sources import Feed, Page, Source
from imagelake.sources.stream import Stream
from imagelake.web.messages import Request, Response


class WindowReader:
    """Stands in for ``Session`` and reads a staged window from S3 as one page; raises only ``ImagelakeError``s."""

    warnings: tuple[str, ...] = ()
    ends_at = None

    def __init__(self, source: Source, feed: Feed, bucket: Bucket) -> None:
        self._source = source
        self._feed = feed
        self._bucket = bucket

    def read(self, request: Request) -> tuple[Response, Page]:
        """Read the records of the feed's window; a feed without a window has no records."""
        window = self._feed.window
        body = self._bucket.get(object_keys.staged_window(window)) if window else b"[]"
        response = Response(200, {}, body, request.url)
        return response, self._source.parse(self._feed, response)


def reader_for(source: Source, feed: Feed, bucket: Bucket, api: Api, settings: FetchSettings) -> Session | WindowReader:
    """Choose the reader of a feed: a stream's posts are in the bucket, all others come from a network."""
    if isinstance(source, Stream):
        return WindowReader(source, feed, bucket)
    secret = Secret(f"{settings.secrets_prefix}{source.name}", source.manifest.credentials)
    return Session(source, feed, api, secret, settings.trusted_origins)
