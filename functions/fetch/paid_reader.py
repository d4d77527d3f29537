"""Reading of pages within the budgets: each page is paid in advance."""

from __future__ import annotations

from datetime import UTC, datetime

from fetch.budget import Budgets, Refusal, Reservation
from fetch.window_reader import WindowReader
from imagelake.accounts.session import Session
from imagelake.run.errors import ImagelakeError, RateLimitedError
from imagelake.sources import Bookmark, Feed, Page, Source
from imagelake.sources.contract import Priced
from imagelake.web.messages import Request, Response


class PaidReader:
    """Reads the pages of a feed; for a network without a price, it is the session or the window reader alone."""

    def __init__(self, source: Source, feed: Feed, reader: Session | WindowReader, budgets: Budgets) -> None:
        self._source = source
        self._feed = feed
        self._reader = reader
        self._budgets = budgets

    def read(self, request: Request, bookmark: Bookmark | None, cursor: str | None) -> tuple[Response, Page] | Refusal:
        """Read a page, or a smaller one if a budget has no room for the whole; refuse if it has room for none."""
        if not isinstance(self._source, Priced):
            return self._reader.read(request)
        price, now = self._source.price(request), datetime.now(UTC)
        # Other feeds use the same budgets, so there can be less room with each try.
        while isinstance(reservation := self._budgets.reserve(price, now), Refusal):
            posts = int(reservation.room_usd / (self._source.manifest.post_usd or price) + 1e-6)
            request = self._source.request(self._feed.model_copy(update={"limit": max(1, posts)}), bookmark, cursor)
            smaller = self._source.price(request)
            if smaller >= price:
                return reservation
            price = smaller
        return self._read(request, reservation)

    def ask(self, request: Request) -> Page | None:
        """Read a page without posts; ``None`` if a budget has no room for it."""
        if not isinstance(self._source, Priced):
            return self._reader.read(request)[1]
        reservation = self._budgets.reserve(self._source.price(request), datetime.now(UTC))
        return None if isinstance(reservation, Refusal) else self._read(request, reservation)[1]

    def _read(self, request: Request, reservation: Reservation) -> tuple[Response, Page]:
        try:
            response, page = self._reader.read(request)
        except ImagelakeError as error:
            # If a request was sent, nobody knows if the network bills the page, except after a rate limit.
            if isinstance(error, RateLimitedError) or error.is_before_request:
                self._budgets.settle(reservation, 0.0)
            raise
        self._budgets.settle(reservation, page.cost_usd)
        return response, page
