"""Downloads the bytes of one image from a URL that may be hostile, within limits."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.run.retries import retry
from imagelake.web.body import read_body
from imagelake.web.client import GuardedClient
from imagelake.web.errors import (
    BodyCutError,
    ConnectionFailedError,
    HostNotFoundError,
    HttpError,
    HttpTimeoutError,
    TooLargeError,
    TooSlowError,
    UnknownEncodingError,
    UrlRefusedError,
)
from imagelake.web.http1 import Deadline, ResponseStream
from imagelake.web.retry_after import retry_seconds
from imagelake.web.urls import Url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HTTP_ERROR_CODES: Mapping[type[HttpError], ErrorCode] = {
    UrlRefusedError: ErrorCode.URL_REFUSED,
    HostNotFoundError: ErrorCode.HOST_NOT_FOUND,
    ConnectionFailedError: ErrorCode.CONNECTION_FAILED,
    HttpTimeoutError: ErrorCode.TIMED_OUT,
    TooSlowError: ErrorCode.TOO_SLOW,
    TooLargeError: ErrorCode.TOO_LARGE,
    BodyCutError: ErrorCode.BODY_CUT,
    UnknownEncodingError: ErrorCode.HTTP_ERROR,
}
_STATUS_CODES: Mapping[int, ErrorCode] = {
    401: ErrorCode.FORBIDDEN,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    410: ErrorCode.NOT_FOUND,
    429: ErrorCode.RATE_LIMITED,
}
_RETRIED_CODES = frozenset(
    {ErrorCode.HOST_NOT_FOUND, ErrorCode.CONNECTION_FAILED, ErrorCode.BODY_CUT, ErrorCode.SERVER_ERROR}
)
# Directives of X-Robots-Tag that forbid our use, and directives with a value after a colon. The text before any other
# colon is the name of a robot.
_REFUSING_DIRECTIVES = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_VALUED_DIRECTIVES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


@dataclass(frozen=True)
class Limits:
    """The limits of one download; the defaults suit social networks.

    ``total_seconds`` covers all tries and redirects. After ``grace_seconds`` a body must come in at
    ``min_bytes_per_second`` or more. ``per_host`` is the number of downloads at a time from one host.
    """

    max_bytes: int = 25_000_000
    connect_seconds: float = 5.0
    read_seconds: float = 10.0
    total_seconds: float = 30.0
    min_bytes_per_second: float = 4096.0
    grace_seconds: float = 5.0
    max_redirects: int = 3
    max_tries: int = 3
    backoff_seconds: float = 0.5
    max_retry_after_seconds: float = 5.0
    per_host: int = 8


class _StatusError(DownloadError):
    """A status other than success; ``retry_after`` is the number of seconds that the server asks to wait."""

    def __init__(self, code: ErrorCode, message: str, retry_after: float | None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class Downloader:
    """Downloads images for many threads at once; see ``GuardedClient`` for ``trusted_origins`` and ``contact``.

    ``allowed_hosts`` include their subdomains; ``None`` allows any public host.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        trusted_origins: frozenset[str] = frozenset(),
        contact: str = "",
        allowed_hosts: frozenset[str] | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._allowed_hosts = allowed_hosts
        self._client = GuardedClient(contact=contact, trusted_origins=trusted_origins)
        self._lock = threading.Lock()
        self._slots: WeakValueDictionary[str, threading.Semaphore] = WeakValueDictionary()

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.close()

    def download(self, url: str, *, expires_at: datetime | None = None) -> bytes:
        """Return the bytes of the image; raises only ``DownloadError``, whose message never holds path or query.

        A URL whose ``expires_at`` (aware) has passed is not requested.
        """
        with _http_errors():
            target = self._client.check(url, allowed_hosts=self._allowed_hosts)
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise DownloadError(ErrorCode.URL_EXPIRED, f"the URL on {target.host} expired at {expires_at.isoformat()}")
        deadline = Deadline(self._limits.total_seconds)
        return retry(
            lambda: self._follow(target, deadline),
            tries=self._limits.max_tries,
            on=DownloadError,
            pause=lambda error, failed: self._pause(error, failed, deadline),
        )

    def _follow(self, target: Url, deadline: Deadline) -> bytes:
        first = target.host
        with _http_errors():
            for _ in range(self._limits.max_redirects + 1):
                result = self._get(target, deadline)
                if isinstance(result, bytes):
                    return result
                target = result
        message = f"{first} redirects more than {self._limits.max_redirects} times"
        raise DownloadError(ErrorCode.TOO_MANY_REDIRECTS, message)

    def _get(self, target: Url, deadline: Deadline) -> bytes | Url:
        """Return the image, or the URL that the server redirects to."""
        host, limits = target.host, self._limits
        with (
            self._slot(host, deadline),
            self._client.open(
                "GET",
                target,
                deadline=deadline,
                connect=limits.connect_seconds,
                read=limits.read_seconds,
                headers={"Accept": "image/*"},
            ) as response,
        ):
            if response.status in _REDIRECTS and "location" in response.headers:
                return self._client.check(response.headers["location"], base=target, allowed_hosts=self._allowed_hosts)
            if response.status not in (200, 203):
                raise _status_error(host, response)
            if _refuses_robots(response):
                raise DownloadError(ErrorCode.ROBOTS_REFUSED, f"{host} forbids this use by X-Robots-Tag")
            return read_body(
                response, limits.max_bytes, min_rate=limits.min_bytes_per_second, grace=limits.grace_seconds
            )

    @contextmanager
    def _slot(self, host: str, deadline: Deadline) -> Iterator[None]:
        """Hold one of the host's slots; the wait for it does not use up the deadline, because the limit is our own."""
        with self._lock:
            slot = self._slots.setdefault(host, threading.Semaphore(self._limits.per_host))
        started = time.monotonic()
        with slot:
            deadline.extend(time.monotonic() - started)
            yield

    def _pause(self, error: DownloadError, failed: int, deadline: Deadline) -> float | None:
        """Return the seconds to wait before a retry, or ``None`` if it cannot help or would come too late."""
        wait = error.retry_after if isinstance(error, _StatusError) else None
        is_retried = error.code in _RETRIED_CODES or (error.code is ErrorCode.RATE_LIMITED and wait is not None)
        if not is_retried or (wait or 0.0) > self._limits.max_retry_after_seconds:
            return None
        backoff = self._limits.backoff_seconds * 2.0 ** (failed - 1) * random.uniform(0.5, 1.0)
        seconds = max(backoff, wait or 0.0)
        return seconds if seconds < deadline.remaining() else None


@contextmanager
def _http_errors() -> Iterator[None]:
    """Raise the client's errors as ``DownloadError`` with an image's error code."""
    try:
        yield
    except HttpError as error:
        raise DownloadError(_HTTP_ERROR_CODES[type(error)], str(error)) from error


def _status_error(host: str, response: ResponseStream) -> _StatusError:
    status = response.status
    code = _STATUS_CODES.get(status, ErrorCode.SERVER_ERROR if status >= 500 else ErrorCode.HTTP_ERROR)
    wait = retry_seconds(response.headers.get("retry-after"), response.headers.get("date"))
    return _StatusError(code, f"{host} answered {status}", wait)


def _refuses_robots(response: ResponseStream) -> bool:
    """Return whether X-Robots-Tag has a refusing directive for every robot or for ours."""
    for line in response.headers.each("x-robots-tag"):
        robot = "*"
        for part in line.lower().split(","):
            name, colon, rest = (text.strip() for text in part.partition(":"))
            if colon and name not in _VALUED_DIRECTIVES:
                robot, directive = name, rest
            else:
                directive = name
            if robot in ("*", "imagelake") and directive in _REFUSING_DIRECTIVES:
                return True
    return False
