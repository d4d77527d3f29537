"""The budgets of networks that charge for reading: counters in the Bookmarks table.

A page's highest price is added to all counters concerned before the page is read, and what is over is taken off after
it. If the worker dies in between, the whole price stays spent. So no budget is ever passed, even by feeds in parallel.
"""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from imagelake.run.aws import aws_errors, client
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.retries import retry
from imagelake.sources import Feed

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_LOG = logging.getLogger(__name__)
# Feeds in parallel change the same counters, and DynamoDB cancels all but one of such transactions.
_TRIES, _MAX_PAUSE = 10, 3.0
_REFUSED = "ConditionalCheckFailed"
# Reasons that are gone with the next try.
_PASSING = frozenset({"None", "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"})
# More USD than anybody can spend.
_NO_BUDGET = 1e12
# Counters are kept this long after their day or month.
_KEPT = timedelta(days=62)


class Counter(NamedTuple):
    """A budget of one day or month: its key in the table, its size in millionths of a dollar, and its title."""

    key: str
    budget: int
    title: str
    expires_at: int


class Reservation(NamedTuple):
    """An amount that some counters have, in millionths of a dollar."""

    counters: tuple[Counter, ...]
    price: int


class Refusal(NamedTuple):
    """A counter that has no room for a price; ``room_usd`` is the least that all counters have left."""

    counter: Counter
    spent: int
    room_usd: float

    def __str__(self) -> str:
        spent = f"{self.spent / 1e6:.2f} of {self.counter.budget / 1e6:.2f} USD are spent or reserved"
        return f"{self.counter.title} has no room for another page ({spent})"


class Budgets:
    """The budgets of one feed: those of the stack and its own.

    A feed's own counters count always: a run by hand can name the feed without its budgets, and a later run has to know
    what that run spent.
    """

    def __init__(self, table: str, feed: Feed, feed_id: str, per_day: Decimal, per_month: Decimal) -> None:
        self._table = table
        # Most spellings are the usual one, whose id is that of the feed.
        self._own_id = feed_id if feed.budget_id == feed.feed_id else feed.budget_id
        # Budget and title, for the stack and for the feed.
        own_day = feed.budget_usd_per_day or _NO_BUDGET
        own_month = feed.budget_usd_per_month or _NO_BUDGET
        self._day: list[tuple[float | Decimal, str]] = [
            (per_day, "the stack's budget"),
            (own_day, f"the budget of {feed.name}"),
        ]
        self._month: list[tuple[float | Decimal, str]] = [
            (per_month, "the stack's budget"),
            (own_month, f"the budget of {feed.name}"),
        ]

    def reserve(self, usd: float, now: datetime) -> Reservation | Refusal:
        """Add a price to all counters of this day and month, or to none of them if it is too much for one."""
        counters, price = tuple(self._counters(now.astimezone(UTC))), micro_usd(usd)
        reservation = Reservation(counters, price)
        return self._add(counters, price, is_limited=True) or reservation

    def settle(self, reservation: Reservation, usd: float) -> None:
        """Take the rest of a reservation off its counters, now that the price is known; a failure leaves it spent."""
        rest = reservation.price - micro_usd(usd)
        if not rest:
            return
        try:
            self._add(reservation.counters, -rest, is_limited=False)
        except StorageUnavailableError as error:
            # An error would make Fetch read the page again, which the network would bill again.
            _LOG.warning("the rest of a reservation stays spent: %s", error)

    def _counters(self, now: datetime) -> Iterator[Counter]:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        end_of_month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        for period, end, budgets in (
            (f"{now:%Y-%m-%d}", midnight + timedelta(days=1), self._day),
            (f"{now:%Y-%m}", end_of_month, self._month),
        ):
            for (budget, title), suffix in zip(budgets, ("", f"#{self._own_id}"), strict=True):
                if budget:
                    yield Counter(
                        f"budget#{period}{suffix}",
                        micro_usd(budget, rounding=ROUND_FLOOR),
                        f"{title} for {period}",
                        int((end + _KEPT).timestamp()),
                    )

    def _add(self, counters: tuple[Counter, ...], amount: int, *, is_limited: bool) -> Refusal | None:
        """Add an amount to all counters in one transaction."""
        items = [self._update(counter, amount, is_limited) for counter in counters]
        # With one token for all tries, a try that succeeded without an answer is not done again.
        token = str(uuid.uuid4())
        return retry(
            lambda: self._transact(counters, items, token),
            tries=_TRIES,
            on=StorageUnavailableError,
            pause=lambda _, failed: random.uniform(0, min(_MAX_PAUSE, 0.05 * 2**failed)),
        )

    def _transact(
        self, counters: tuple[Counter, ...], items: list[TransactWriteItemTypeDef], token: str
    ) -> Refusal | None:
        with aws_errors(self._table):
            try:
                client("dynamodb").transact_write_items(TransactItems=items, ClientRequestToken=token)
            except ClientError as error:
                reasons = error.response.get("CancellationReasons", [])
                codes = {reason.get("Code", "None") for reason in reasons}
                if _REFUSED in codes:
                    return _refusal(counters, [_spent(reason) for reason in reasons])
                if codes and codes <= _PASSING:
                    raise StorageUnavailableError(
                        f"{error.operation_name} on {self._table}: {sorted(codes)}"
                    ) from error
                raise
        return None

    def _update(self, counter: Counter, amount: int, is_limited: bool) -> TransactWriteItemTypeDef:
        update: TransactWriteItemTypeDef = {
            "Update": {
                "TableName": self._table,
                "Key": {"feed_id": {"S": counter.key}},
                "UpdateExpression": "ADD spent :amount SET expires_at = :end",
                "ExpressionAttributeValues": {":amount": {"N": str(amount)}, ":end": {"N": str(counter.expires_at)}},
            }
        }
        if is_limited:
            # A counter that does not exist yet has room for every price up to its budget.
            new = "attribute_not_exists(spent) OR " if amount <= counter.budget else ""
            update["Update"]["ConditionExpression"] = f"{new}spent <= :most"
            update["Update"]["ExpressionAttributeValues"][":most"] = {"N": str(counter.budget - amount)}  # type: ignore[index]
            update["Update"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        return update


def micro_usd(usd: float | Decimal, rounding: str = ROUND_CEILING) -> int:
    """Return an amount in millionths of a dollar; as a float, 0.1 would be a little more than it is."""
    return int((Decimal(str(usd)) * 1_000_000).to_integral_value(rounding))


def _spent(reason: Mapping[str, Any]) -> int | None:
    """Return the value of a counter that refused, 0 if it does not exist yet; ``None`` for all others."""
    return int(reason.get("Item", {}).get("spent", {}).get("N", 0)) if reason.get("Code") == _REFUSED else None


def _refusal(counters: tuple[Counter, ...], spent: list[int | None]) -> Refusal:
    refused = [(counter, amount) for counter, amount in zip(counters, spent, strict=True) if amount is not None]
    counter, amount = min(refused, key=lambda pair: pair[0].budget - pair[1])
    return Refusal(counter, amount, max(0, counter.budget - amount) / 1e6)
