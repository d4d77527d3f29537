"""Calls to a network's API, tried again where the network itself is in problem."""

from __future__ import annotations

import random
from types import TracebackType

from imagelake.run.errors import DownloadError, SourceUnavailableError
from imagelake.run.retries import retry
from imagelake.web.client import GuardedClient, as_feed_error
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url

TRIES = 3
# Longer than this is the state machine's business: it waits for free.
LONGEST_PAUSE = 10.0


class _ServerError(SourceUnavailableError):
    """An answer of 5xx: it is retried, and after the last try the adapter reads it."""

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

    def send(self, request: Request) -> Response:
        """The response, whatever its status: what it means is the adapter's to say, but 5xx is tried again first."""
        try:
            return retry(lambda: self._send_once(request), tries=TRIES, on=SourceUnavailableError, pause=_pause)
        except _ServerError as error:
            return error.response

    def _send_once(self, request: Request) -> Response:
        try:
            answer = self._client.exchange(
                request.method, request.url, params=request.params, headers=request.headers, json=request.json
            )
        except DownloadError as error:
            raise as_feed_error(error) from error
        response = Response(answer.status, answer.headers, answer.body, answer.url)
        if response.status >= 500:
            raise _ServerError(response)
        return response

    @staticmethod
    def address(request: Request) -> str:
        """The address that ``request`` asks for, as it goes over the wire."""
        return str(Url.parse(request.url).with_params(request.params))


def _pause(error: SourceUnavailableError, failed: int) -> float:
    retry_after = error.response.headers.get("retry-after", "") if isinstance(error, _ServerError) else ""
    asked = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else 0.0
    # Full jitter, so that feeds which failed together do not come back together.
    return min(LONGEST_PAUSE, max(asked, random.uniform(0, 2.0**failed)))
