"""Calls to a network's API, tried again where the network itself is in problem."""

from __future__ import annotations

import random
import time
from types import TracebackType

from imagelake.run.errors import DownloadError, SourceUnavailableError
from imagelake.web.client import GuardedClient, as_feed_error
from imagelake.web.messages import Request, Response
from imagelake.web.urls import Url

TRIES = 3
# Longer than this is the state machine's business: it waits for free.
LONGEST_PAUSE = 10.0


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
        for tries_left in reversed(range(TRIES)):
            try:
                answer = self._client.exchange(
                    request.method, request.url, params=request.params, headers=request.headers, json=request.json
                )
            except DownloadError as error:
                failure = as_feed_error(error)
                if not isinstance(failure, SourceUnavailableError) or not tries_left:
                    raise failure from error
                retry_after = ""
            else:
                if answer.status < 500 or not tries_left:
                    return Response(answer.status, answer.headers, answer.body, answer.url)
                retry_after = answer.headers.get("retry-after", "")
            time.sleep(_pause(retry_after, tries_left))
        raise AssertionError("the last try returns or raises")

    @staticmethod
    def address(request: Request) -> str:
        """The address that ``request`` asks for, as it goes over the wire."""
        return str(Url.parse(request.url).with_params(request.params))


def _pause(retry_after: str, tries_left: int) -> float:
    asked = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 6 else 0.0
    # Full jitter, so that feeds which failed together do not come back together.
    return min(LONGEST_PAUSE, max(asked, random.uniform(0, 2.0 ** (TRIES - tries_left))))
