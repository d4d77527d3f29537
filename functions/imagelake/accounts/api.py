"""Calls to a network's API, with retries while the network does not answer or answers 5xx."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import TracebackType

from imagelake.run.errors import BadFeedError, SourceChangedError, SourceUnavailableError
from imagelake.run.retries import retry
from imagelake.web.client import GuardedClient
from imagelake.web.errors import HttpError, TooLargeError, UnknownEncodingError, UrlRefusedError
from imagelake.web.messages import Request, Response
from imagelake.web.retry_after import retry_seconds

TRIES = 3
# A longer wait is left to the state machine, where waiting costs nothing.
LONGEST_PAUSE = 10.0


class _ServerError(SourceUnavailableError):
    """The network answered 5xx; after the last try the adapter reads the response."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"the network answered {response.status}")
        self.response = response


class Api:
    """Sends requests; raises only ``BadFeedError``, ``SourceChangedError`` and ``SourceUnavailableError``."""

    def __init__(self, *, trusted_origins: frozenset[str], contact: str) -> None:
        self._client = GuardedClient(trusted_origins=trusted_origins, contact=contact)

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def send(self, request: Request, is_final: Callable[[Response], bool] = lambda _: False) -> Response:
        """Send a request and return the response with any status; the status 5xx is retried first.

        ``is_final`` tells if a response with 5xx is one that another try cannot change.
        """
        try:
            return retry(
                lambda: self._send_once(request, is_final), tries=TRIES, on=SourceUnavailableError, pause=_pause
            )
        except _ServerError as error:
            return error.response

    def _send_once(self, request: Request, is_final: Callable[[Response], bool]) -> Response:
        try:
            response = self._client.exchange(
                request.method, request.url, params=request.params, headers=request.headers, json=request.json
            )
        except HttpError as error:
            raise as_feed_error(error) from error
        if response.status >= 500 and not is_final(response):
            raise _ServerError(response)
        return response


def _pause(error: SourceUnavailableError, failed: int) -> float:
    headers = error.response.headers if isinstance(error, _ServerError) else {}
    wait = retry_seconds(headers.get("retry-after"), headers.get("date"))
    # The pause is random, so that feeds that failed at the same time do not retry at the same time.
    return min(LONGEST_PAUSE, max(wait or 0.0, random.uniform(0, 2.0**failed)))


def as_feed_error(error: HttpError) -> BadFeedError | SourceChangedError | SourceUnavailableError:
    """Return the error of the feed for a failed call; the caller raises it ``from error``."""
    match error:
        case UrlRefusedError():
            return BadFeedError(str(error))
        case TooLargeError() | UnknownEncodingError():
            return SourceChangedError(str(error))
        case _:
            return SourceUnavailableError(str(error))
