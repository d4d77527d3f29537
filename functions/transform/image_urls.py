"""Signed image URLs: an expired one is refreshed once, by asking the network for the post again."""

from __future__ import annotations

import threading
from datetime import datetime

from imagelake.accounts.api import Api
from imagelake.accounts.secrets import Secret
from imagelake.accounts.session import Session
from imagelake.run.errors import DownloadError, ErrorCode, ImagelakeError
from imagelake.run.posts import Item, Media
from imagelake.sources import Feed, Source
from imagelake.sources.contract import RefreshesUrls
from transform.download import Downloader
from transform.settings import TransformSettings

# To a request with an expired URL, the networks answer with one of these statuses.
_EXPIRED_CODES = frozenset({ErrorCode.URL_EXPIRED, ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND})


class SignedUrls:
    """Downloads the images of one batch."""

    def __init__(self, source: Source, downloader: Downloader, config: TransformSettings) -> None:
        self._source = source
        self._downloader = downloader
        self._config = config
        self._lock = threading.Lock()
        self._media_by_time: dict[datetime, dict[str, Media]] = {}
        self._refusal: ImagelakeError | None = None

    def download(self, item: Item) -> bytes:
        """Return the image's bytes; raises only ``DownloadError``, as ``url_expired`` if no fresh URL helps."""
        try:
            return self._downloader.download(item.media_url, expires_at=item.expires_at)
        except DownloadError as error:
            if item.expires_at is None or error.code not in _EXPIRED_CODES:
                raise
            expired = error
        try:
            fresh = self._refresh(item)
        except ImagelakeError as error:
            raise DownloadError(ErrorCode.URL_EXPIRED, f"{expired}; no fresh URL: {error}") from error
        if fresh is None or fresh.url is None:
            raise DownloadError(ErrorCode.URL_EXPIRED, f"{expired}; the network gives no fresh URL") from expired
        try:
            return self._downloader.download(fresh.url, expires_at=fresh.expires_at)
        except DownloadError as error:
            if error.code not in _EXPIRED_CODES:
                raise
            raise DownloadError(ErrorCode.URL_EXPIRED, f"{error}, at a fresh URL too") from error

    def _refresh(self, item: Item) -> Media | None:
        """Return the media item as its network shows it now, or ``None`` if it does not show it any more."""
        if not isinstance(self._source, RefreshesUrls):
            return None
        # Make one call for all images of a post, and none after a refusal: the next call would be refused as well.
        with self._lock:
            if self._refusal is not None:
                raise self._refusal
            if item.posted_at not in self._media_by_time:
                try:
                    self._media_by_time[item.posted_at] = self._read(self._source, item)
                except ImagelakeError as error:
                    self._refusal = error
                    raise
            return self._media_by_time[item.posted_at].get(item.media_id)

    def _read(self, source: RefreshesUrls, item: Item) -> dict[str, Media]:
        feed = Feed.of(item.feed)
        request = source.refresh_request(feed, item.posted_at)
        if request is None:
            return {}
        config = self._config
        secret = Secret(f"{config.secrets_prefix}{source.name}", source.manifest.credentials)
        with Api(trusted_origins=config.trusted_origins, contact=config.contact) as api:
            _, page = Session(source, feed, api, secret, config.trusted_origins).read(request)
        return {media.media_id: media for post in page.posts for media in post.media}
