"""Fetches the bytes of one picture from a URL that may be hostile, within limits."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from weakref import WeakValueDictionary

from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.run.retries import retry
from imagelake.web.client import GuardedClient, read_body
from imagelake.web.http1 import Deadline, Headers, Response
from imagelake.web.urls import Url

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRIED = frozenset(
    {ErrorCode.HOST_NOT_FOUND, ErrorCode.CONNECTION_FAILED, ErrorCode.BODY_CUT, ErrorCode.SERVER_ERROR}
)
# X-Robots-Tag directives that take a value after a colon; before any other colon stands the name of a robot.
_VALUED_DIRECTIVES = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})


@dataclass(frozen=True)
class Limits:
    """What one download may take; the defaults suit social networks.

    ``total_seconds`` spans all tries and redirects. A body that after ``grace_seconds`` comes in below
    ``min_bytes_per_second`` is dropped. ``allowed_hosts`` also allow their subdomains; ``None`` is any public host.
    An answer with one of ``robots_tags`` in X-Robots-Tag is refused; an empty set ignores the header.
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
    allowed_hosts: frozenset[str] | None = None
    robots_tags: frozenset[str] = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})


@dataclass(frozen=True)
class Download:
    """The bytes, what the server calls them (never to be trusted), and the URL after redirects."""

    body: bytes
    content_type_hint: str | None
    url: str


class _StatusError(DownloadError):
    """An answer other than the picture; ``retry_after`` is the wait it asks for, in seconds."""

    def __init__(self, code: ErrorCode, message: str, retry_after: float | None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


class Downloader:
    """Downloads pictures for many threads at once, ``per_host`` at a time from any one host.

    ``allowed_hosts`` takes the place of those in ``limits``. For the rest see ``GuardedClient``.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        trusted_origins: frozenset[str] = frozenset(),
        contact: str = "",
        allowed_hosts: frozenset[str] | None = None,
        per_host: int = 8,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        limits = limits or Limits()
        self._limits = limits if allowed_hosts is None else replace(limits, allowed_hosts=allowed_hosts)
        self._client = GuardedClient(contact=contact, trusted_origins=trusted_origins, ssl_context=ssl_context)
        self._per_host = per_host
        self._lock = threading.Lock()
        self._slots: WeakValueDictionary[str, threading.Semaphore] = WeakValueDictionary()

    def __enter__(self) -> Downloader:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.close()

    def download(
        self,
        url: str,
        limits: Limits | None = None,
        *,
        expires_at: datetime | None = None,
        now: datetime | None = None,
    ) -> Download:
        """The picture at ``url``; raises nothing but ``DownloadError``, whose message never holds path or query.

        ``limits`` are those of the downloader unless given. A URL whose ``expires_at`` (aware) is not after ``now``,
        by default the present, is not asked for.
        """
        limits = limits or self._limits
        target = self._client.check(url, allowed_hosts=limits.allowed_hosts)
        if expires_at is not None and expires_at <= (now or datetime.now(UTC)):
            raise DownloadError(ErrorCode.URL_EXPIRED, f"the URL on {target.host} lapsed at {expires_at.isoformat()}")
        deadline = Deadline(limits.total_seconds)
        return retry(
            lambda: self._follow(target, limits, deadline),
            tries=limits.max_tries,
            on=DownloadError,
            pause=lambda error, failed: _pause(error, failed, limits, deadline),
        )

    def _follow(self, target: Url, limits: Limits, deadline: Deadline) -> Download:
        first = target.host
        for _ in range(limits.max_redirects + 1):
            result = self._get(target, limits, deadline)
            if isinstance(result, Download):
                return result
            target = self._client.check(result, base=target, allowed_hosts=limits.allowed_hosts)
        raise DownloadError(ErrorCode.TOO_MANY_REDIRECTS, f"{first} redirects more than {limits.max_redirects} times")

    def _get(self, target: Url, limits: Limits, deadline: Deadline) -> Download | str:
        """The picture, or the Location to go to."""
        host = target.host
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
                return response.headers["location"]
            if response.status not in (200, 203):
                raise _status_error(host, response)
            if _asks_robots_to_stay_out(response, limits.robots_tags):
                raise DownloadError(ErrorCode.ROBOTS_REFUSED, f"{host} refuses such use by X-Robots-Tag")
            body = read_body(
                response, limits.max_bytes, min_rate=limits.min_bytes_per_second, grace=limits.grace_seconds
            )
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        return Download(body, content_type or None, str(target))

    @contextmanager
    def _slot(self, host: str, deadline: Deadline) -> Iterator[None]:
        """Hold one of the host's places; the wait for it is ours, so it does not count against the deadline."""
        with self._lock:
            slot = self._slots.setdefault(host, threading.Semaphore(self._per_host))
        asked = time.monotonic()
        with slot:
            deadline.extend(time.monotonic() - asked)
            yield


@cache
def _public_downloader() -> Downloader:
    return Downloader()


def download(url: str, limits: Limits | None = None) -> Download:
    """``Downloader.download`` over a shared client that trusts no origin and names no contact."""
    return _public_downloader().download(url, limits)


def _pause(error: DownloadError, failed: int, limits: Limits, deadline: Deadline) -> float | None:
    """The seconds to wait before the next try, or ``None`` if a retry cannot help or comes too late."""
    asked = error.retry_after if isinstance(error, _StatusError) else None
    is_retried = error.code in _RETRIED or (error.code is ErrorCode.RATE_LIMITED and asked is not None)
    if not is_retried or (asked or 0) > limits.max_retry_after_seconds:
        return None
    backoff = limits.backoff_seconds * 2.0 ** (failed - 1) * random.uniform(0.5, 1.0)
    seconds = max(backoff, asked or 0)
    return seconds if seconds < deadline.remaining() else None


def _status_error(host: str, response: Response) -> _StatusError:
    status = response.status
    codes = {
        401: ErrorCode.FORBIDDEN,
        403: ErrorCode.FORBIDDEN,
        404: ErrorCode.NOT_FOUND,
        410: ErrorCode.NOT_FOUND,
        429: ErrorCode.RATE_LIMITED,
    }
    code = codes.get(status, ErrorCode.SERVER_ERROR if status >= 500 else ErrorCode.HTTP_ERROR)
    return _StatusError(code, f"{host} answered {status}", _retry_after(response.headers))


def _retry_after(headers: Headers) -> float | None:
    """Seconds; a date is taken relative to the server's own clock."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return None
    return max(float(wait.total_seconds()), 0.0)


def _asks_robots_to_stay_out(response: Response, refused: frozenset[str]) -> bool:
    """Whether a directive for every robot, or for ours, is in ``refused``."""
    for line in response.headers.each("x-robots-tag"):
        robot = "*"
        for part in line.lower().split(","):
            name, colon, rest = (text.strip() for text in part.partition(":"))
            if colon and name not in _VALUED_DIRECTIVES:
                robot, directive = name, rest
            else:
                directive = name
            if robot in ("*", "imagelake") and directive in refused:
                return True
    return False
