"""Budgets: what the networks bill is never more than a budget, whoever reads in parallel and whoever is killed."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fetch.paid_reader
from fetch.app import handler
from fetch.bookmarks import FeedPosition
from fetch.budget import Budgets, Refusal, Reservation, micro_usd
from fetch.pager import Pager
from imagelake.lake.suppression import SuppressionList
from imagelake.run.aws import client
from imagelake.run.errors import BadFeedError, ImagelakeError
from imagelake.run.models import Progress, Stop
from imagelake.run.settings import Settings
from imagelake.sources import Feed, Page, get_source, parse_feed
from imagelake.web.messages import Request, Response
from tests.support.factories import ENTRY, NOON, RUN, Context, event, post
from tests.support.fake_lake import BOOKMARKS, Lake, aws_in_memory
from tests.support.fake_network import Network, page
from tests.support.web_server import Answer, WebServer

X = parse_feed("x:cats")
LATE = datetime(2026, 11, 28, 23, 59, 59, tzinfo=UTC)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagelake.run.retries.time.sleep", lambda _: None)


def budgets(per_day: str = "0", per_month: str = "0", feed: Feed = X) -> Budgets:
    return Budgets(BOOKMARKS, feed, feed.feed_id, Decimal(per_day), Decimal(per_month))


def counters() -> dict[str, int]:
    items = client("dynamodb").scan(TableName=BOOKMARKS, ConsistentRead=True)["Items"]
    return {item["feed_id"]["S"]: int(item["spent"]["N"]) for item in items if "spent" in item}


def stack_counters() -> dict[str, int]:
    """The counters without those of the feeds, which always count."""
    return {key: spent for key, spent in counters().items() if key.count("#") == 1}


@pytest.mark.parametrize(
    ("usd", "micro"),
    [(0.005, 5_000), (0.1, 100_000), (0.1 + 0.2, 300_001), (0.0000001, 1), (Decimal("1000000"), 10**12), (0, 0)],
)
def test_amounts_are_whole_and_never_too_small(usd: float, micro: int) -> None:
    assert micro_usd(usd) == micro


def test_page_is_on_the_counters_of_the_day_and_the_month_of_stack_and_feed(lake: Lake) -> None:
    feed = Feed(source="x", account="cats", budget_usd_per_day=2, budget_usd_per_month=20.0)
    spending = budgets("5", "50", feed)
    taken = spending.reserve(0.5, NOON)
    assert isinstance(taken, Reservation)
    names = ("budget#2026-04-01", "budget#2026-04")
    keys = {*names, *(f"{name}#{feed.feed_id}" for name in names)}
    assert counters() == dict.fromkeys(keys, 500_000)
    spending.settle(taken, 0.015)
    assert counters() == dict.fromkeys(keys, 15_000)


def test_counters_expire_long_after_their_period(lake: Lake) -> None:
    budgets("5", "50").reserve(0.5, NOON)
    items = client("dynamodb").scan(TableName=BOOKMARKS)["Items"]
    ends = {item["feed_id"]["S"]: datetime.fromtimestamp(int(item["expires_at"]["N"]), UTC) for item in items}
    day, month = (datetime(2026, *end, tzinfo=UTC) + timedelta(days=62) for end in ((4, 2), (5, 1)))
    assert ends == {
        "budget#2026-04-01": day,
        f"budget#2026-04-01#{X.feed_id}": day,
        "budget#2026-04": month,
        f"budget#2026-04#{X.feed_id}": month,
    }


@pytest.mark.parametrize(
    ("per_day", "per_month", "own", "spent", "title"),
    [
        ("1", "0", {}, 2, "the stack's budget for 2026-04-01"),
        ("9", "1", {}, 2, "the stack's budget for 2026-04"),
        ("9", "9", {"budget_usd_per_day": 0.5}, 1, "the budget of x:cats for 2026-04-01"),
        ("9", "9", {"budget_usd_per_month": 1.4}, 2, "the budget of x:cats for 2026-04"),
        ("0.4", "0", {}, 0, "the stack's budget for 2026-04-01"),
    ],
)
def test_least_budget_decides_and_a_refusal_reserves_nothing(
    lake: Lake, per_day: str, per_month: str, own: dict[str, float], spent: int, title: str
) -> None:
    spending = budgets(per_day, per_month, Feed(source="x", account="cats", **own))
    results = [spending.reserve(0.5, NOON) for _ in range(3)]
    assert [isinstance(result, Reservation) for result in results] == [number < spent for number in range(3)]
    assert isinstance(results[-1], Refusal)
    assert results[-1].counter.title == title
    assert set(counters().values()) == ({spent * 500_000} if spent else set())


def test_days_and_months_are_in_utc_and_the_reservation_is_settled_where_it_was_made(lake: Lake) -> None:
    spending = budgets("1", "10")
    before, after = spending.reserve(0.5, LATE), spending.reserve(0.5, LATE + timedelta(seconds=1))
    berlin = (LATE + timedelta(seconds=2)).astimezone(datetime.now().astimezone().tzinfo)
    spending.reserve(0.25, berlin)
    assert isinstance(before, Reservation)
    spending.settle(before, 0.1)
    assert stack_counters() == {"budget#2026-11-28": 100_000, "budget#2026-11-29": 750_000, "budget#2026-11": 850_000}
    assert isinstance(after, Reservation)


def test_conflicts_of_transactions_are_tried_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html"""
    real, calls = client("dynamodb").transact_write_items, []

    def busy(**request: Any) -> Any:
        calls.append(request["ClientRequestToken"])
        if len(calls) < 4:
            reasons = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            answer = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(cast(Any, answer), "TransactWriteItems")
        return real(**request)

    monkeypatch.setattr(client("dynamodb"), "transact_write_items", busy)
    assert isinstance(budgets("1", "9").reserve(0.5, NOON), Reservation)
    assert len(calls) == 4
    assert len(set(calls)) == 1, "one token, so that a try without an answer is not counted twice"


def test_rest_that_cannot_be_given_back_stays_spent(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    spending = budgets("1")
    taken = spending.reserve(0.5, NOON)

    def down(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "TransactWriteItems")

    with monkeypatch.context() as patch:
        patch.setattr(client("dynamodb"), "transact_write_items", down)
        assert isinstance(taken, Reservation)
        spending.settle(taken, 0.005)
    assert stack_counters() == {"budget#2026-04-01": 500_000}


@pytest.mark.slow
def test_64_threads_never_pass_the_budget(lake: Lake) -> None:
    spending = budgets("1.00")
    with ThreadPoolExecutor(64) as pool:
        taken = list(pool.map(lambda _: spending.reserve(0.05, NOON), range(64)))
    assert sum(isinstance(one, Reservation) for one in taken) == 20
    assert stack_counters() == {"budget#2026-04-01": 1_000_000}


class Meter:
    """A network that bills each post of each page; some of its answers kill the worker that reads them."""

    warnings: tuple[str, ...] = ()
    ends_at = None

    def __init__(self, seed: int, deadly: float) -> None:
        self.billed = 0.0
        self._random = random.Random(seed)
        self._deadly = deadly
        self._lock = threading.Lock()

    def read(self, request: Request) -> tuple[Response, Page]:
        with self._lock:
            if self._random.random() < self._deadly / 2:
                raise SystemExit("killed before the network answered")
            posts = self._random.randint(1, int(request.params["max_results"]))
            self.billed += posts * 0.005
            if self._random.random() < self._deadly:
                raise SystemExit("killed after the network answered")
        read = [post(str(number), posted_at=NOON) for number in range(posts)]
        return Response(200, {}, b"", request.url), Page(
            read, [], "tweets/search/recent?next=1", cost_usd=posts * 0.005
        )


def run_feed(feed: Feed, meter: Meter, lake: Lake, per_day: str, per_month: str = "0") -> Progress | None:
    spending = budgets(per_day, per_month, feed)
    pager = Pager(get_source("x"), feed, feed.feed_id, RUN, cast(Any, meter), lake.bucket, SuppressionList(), spending)
    try:
        return pager.read(Progress(), FeedPosition(), lambda: 300.0)
    except SystemExit:
        return None


@pytest.mark.slow
@pytest.mark.parametrize("deadly", [0.0, 0.2])
def test_four_feeds_in_parallel_with_kills_stay_within_the_budget(lake: Lake, deadly: float) -> None:
    meter = Meter(7, deadly)
    feeds = [Feed(source="x", account=name, budget_usd_per_day=3.0) for name in ("a", "b", "c", "d")]
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda feed: run_feed(feed, meter, lake, "4.00", "5.00"), feeds * 6))
    assert meter.billed <= 4.0 + 1e-9
    assert meter.billed > 0.5, "a test in which nothing is billed proves nothing"
    spent = counters()[f"budget#{datetime.now(UTC):%Y-%m}"]
    assert meter.billed * 1e6 - 1 <= spent <= 4_000_000
    assert any(end is not None and end.stopped_by is Stop.BUDGET for end in ends)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    deadly=st.sampled_from([0.0, 0.1, 0.5]),
    per_day=st.integers(0, 3_000),
    own=st.integers(1, 3_000),
)
def test_networks_never_bill_more_than_a_budget(
    environment: None, clients: None, seed: int, deadly: float, per_day: int, own: int
) -> None:
    with aws_in_memory():
        lake = Lake()
        meter = Meter(seed, deadly)
        feed = Feed(source="x", account="cats", budget_usd_per_month=own / 1000)
        for _ in range(4):
            run_feed(feed, meter, lake, str(Decimal(per_day) / 1000))
        budget = min(filter(None, [per_day, own])) / 1000
        assert meter.billed <= budget + 1e-9


def read(monkeypatch: pytest.MonkeyPatch, config: Any = None, **budget: str) -> dict[str, Any]:
    for name, value in budget.items():
        monkeypatch.setenv(name.upper(), value)
    Settings.load.cache_clear()
    changed = ENTRY.model_copy(update={"config": config}) if config else ENTRY
    answer: dict[str, Any] = handler(event("fetch", feed=changed), Context())
    return answer


def test_feed_stops_before_the_page_that_could_pass_the_budget(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.put_pages(
        page(post("three", posted_at=NOON + timedelta(hours=2)), cursor="1", cost_usd=0.1),
        page(post("two", posted_at=NOON + timedelta(hours=1)), cursor="2", cost_usd=0.2),
        page(post("one"), cost_usd=0.2),
    )
    answer = read(monkeypatch, budget_usd_per_day="0.45")
    assert (answer["status"], answer["stopped_by"], answer["pages"], answer["cost_usd"]) == ("done", "budget", 2, 0.3)
    assert answer["newest_id"] == "three", "the bookmark moves, or the next run would pay for the same posts"
    assert answer["backfill_position"] == {
        "cursor": "2",
        "reached_to": "2026-04-01T13:00:00.000000Z",
        "begun_at": answer["begun_at"],
        "is_at_end": False,
    }
    day = datetime.now(UTC).date()
    assert answer["warnings"] == [
        f"bluesky:alice.example.com: reading stopped because the stack's budget for {day} has no room for another page"
        " (0.30 of 0.45 USD are spent or reserved); a backfill can read the posts that are left"
    ]
    assert stack_counters() == {f"budget#{day}": 300_000}


def test_refused_page_is_given_back_but_a_killed_one_is_not(
    lake: Lake, network: Network, website: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.put_pages(page(post("new"), cursor="1", cost_usd=0.05), Answer(b"", 429))
    assert read(monkeypatch, budget_usd_per_day="1")["status"] == "rate_limited"
    assert list(stack_counters().values()) == [50_000]

    def kill(*_: object) -> None:
        raise SystemExit("killed")

    monkeypatch.setattr(network, "parse", kill)
    with pytest.raises(SystemExit):
        read(monkeypatch)
    assert list(stack_counters().values()) == [250_000]


@pytest.mark.parametrize(
    ("secret", "status", "spent"),
    [
        # Without a usable secret, no request is sent.
        (None, 200, 0),
        ({}, 200, 0),
        ({"token": "t"}, 200, 0),
        ({"bearer_token": ""}, 200, 0),
        # The network has answered, and nobody knows what it bills.
        ({"bearer_token": "t"}, 401, 500_000),
        ({"bearer_token": "t"}, 403, 500_000),
        ({"bearer_token": "t"}, 500, 500_000),
    ],
)
def test_reservation_is_given_back_if_no_request_was_sent(
    lake: Lake, website: WebServer, secrets_manager: Any, secret: dict[str, str] | None, status: int, spent: int
) -> None:
    if secret is not None:
        secrets_manager.create_secret(Name="imagelake/x", SecretString=json.dumps(secret))
    website.put("/2/tweets/search/recent", Answer(b"", status))
    config = {"source": "x", "account": "cats", "server": website.origin}
    feed = ENTRY.model_copy(update={"feed_id": "x-1", "name": "x:cats", "config": config})
    with pytest.raises(ImagelakeError):
        handler(event("fetch", feed=feed), Context())
    assert bool(website.requests) == (spent > 0)
    assert set(counters().values()) == {spent}


@pytest.mark.parametrize("answer", [Answer(b"", 500), Answer(b"", 404), Answer(b"", 403)])
def test_error_after_billed_pages_is_left_to_the_next_call(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch, answer: Answer
) -> None:
    network.put_pages(page(post("new"), cursor="1", cost_usd=0.05), page(post("b"), cursor="2", cost_usd=0.05), answer)
    first = read(monkeypatch, budget_usd_per_day="9")
    assert (first["status"], first["calls"], first["cost_usd"], first["cursor"]) == ("more", 2, 0.1, "2")
    with pytest.raises(ImagelakeError):
        handler(event("fetch", progress=first), Context())


@pytest.mark.slow
def test_smaller_page_is_read_if_the_budget_has_room_for_it(lake: Lake) -> None:
    """A page of X has at least 10 posts in a search: https://docs.x.com/x-api/posts/search-recent-posts"""
    meter = Meter(3, 0.0)
    spending = budgets("0.40")
    reader = fetch.paid_reader.PaidReader(get_source("x"), X, cast(Any, meter), spending)
    request = get_source("x").request(X, None, None)
    assert request.params["max_results"] == "100"
    answer = reader.read(request, None, None)
    assert not isinstance(answer, Refusal)
    assert len(answer[1].posts) <= 80
    for _ in range(20):
        reader.read(request, None, None)
    assert isinstance(reader.read(request, None, None), Refusal)
    assert 0.35 < meter.billed <= 0.4


class FullPages:
    """A network that has as many posts as it is asked for."""

    warnings: tuple[str, ...] = ()
    ends_at = None

    def __init__(self, most: int = 100) -> None:
        self.billed = 0.0
        self._most = most

    def read(self, request: Request) -> tuple[Response, Page]:
        number = min(self._most, int(request.params["max_results"]))
        self.billed += number * 0.005
        read = [post(str(one), posted_at=NOON) for one in range(number)]
        return Response(200, {}, b"", request.url), Page(read, [], None, cost_usd=number * 0.005)


@pytest.mark.parametrize(
    ("stack", "own", "spent", "posts"),
    [
        (("0.40", "0"), {}, 0.005, 79),
        (("0.40", "0"), {"budget_usd_per_day": 0.2}, 0, 40),
        (("0.20", "0"), {"budget_usd_per_day": 0.4}, 0, 40),
        (("0", "0"), {"budget_usd_per_day": 0.4, "budget_usd_per_month": 0.2}, 0, 40),
        (("0.40", "0.45"), {"budget_usd_per_day": 0.3}, 0.2, 40),
        (("9", "0.30"), {"budget_usd_per_day": 0.3, "budget_usd_per_month": 0.1}, 0, 20),
        (("0.45", "9"), {}, 0.4, 10),
    ],
)
def test_least_room_of_all_budgets_decides_how_small_a_page_is(
    lake: Lake, stack: tuple[str, str], own: dict[str, float], spent: float, posts: int
) -> None:
    """A page of 100 posts of X costs 0.50 USD: https://docs.x.com/x-api/getting-started/pricing"""
    before, feed = Feed(source="x", account="dogs"), Feed(source="x", account="cats", **own)
    if spent:
        taken = budgets(*stack, before).reserve(spent, datetime.now(UTC))
        assert isinstance(taken, Reservation)
    reader = fetch.paid_reader.PaidReader(get_source("x"), feed, cast(Any, FullPages()), budgets(*stack, feed))
    answer = reader.read(get_source("x").request(feed, None, None), None, None)
    assert not isinstance(answer, Refusal)
    assert len(answer[1].posts) == posts


def test_other_feed_takes_a_part_of_the_room_before_the_smaller_page(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    spending, others = budgets("0.40"), iter([0.1, 0.1])
    real = Budgets.reserve

    def late(self: Budgets, usd: float, now: datetime) -> Reservation | Refusal:
        answer = real(self, usd, now)
        other = next(others, 0.0)
        if other:
            real(self, other, now)
        return answer

    monkeypatch.setattr(Budgets, "reserve", late)
    reader = fetch.paid_reader.PaidReader(get_source("x"), X, cast(Any, FullPages()), spending)
    answer = reader.read(get_source("x").request(X, None, None), None, None)
    assert not isinstance(answer, Refusal)
    assert len(answer[1].posts) == 40


@pytest.mark.parametrize(
    "own", [{"budget_usd_per_day": 1.0}, {"budget_usd_per_month": 1.0}, {"budget_usd_per_day": 3.0}]
)
def test_budget_of_a_feed_counts_what_a_run_by_hand_reads_without_naming_it(lake: Lake, own: dict[str, float]) -> None:
    listed, by_hand = Feed(source="x", account="cats", **own), Feed(source="x", account="cats")
    assert listed.feed_id == by_hand.feed_id

    def read_page(feed: Feed) -> object:
        reader = fetch.paid_reader.PaidReader(get_source("x"), feed, cast(Any, FullPages()), budgets(feed=feed))
        return reader.read(get_source("x").request(feed, None, None), None, None)

    for _ in range(6):
        assert not isinstance(read_page(by_hand), Refusal)
    assert isinstance(read_page(listed), Refusal)
    assert counters()[f"budget#{datetime.now(UTC):%Y-%m-%d}#{listed.feed_id}"] == 3_000_000


@pytest.mark.parametrize(
    ("listed", "typed"),
    [({"account": "NASA"}, {"account": "nasa"}), ({"account": "nasa"}, {"account": "@NaSa"}),
     ({"hashtag": "Cats"}, {"hashtag": "#cats"}), ({"account": "NASA"}, {"account": "NASA"})],
)  # fmt: skip
def test_spellings_that_a_network_does_not_distinguish_have_one_budget(
    lake: Lake, listed: dict[str, str], typed: dict[str, str]
) -> None:
    """https://help.x.com/en/managing-your-account/change-x-handle: handles do not distinguish capital letters."""
    one, other = (Feed(source="x", budget_usd_per_day=1.0, **names) for names in (listed, typed))
    assert isinstance(budgets(feed=one).reserve(0.8, NOON), Reservation)
    assert isinstance(budgets(feed=other).reserve(0.4, NOON), Refusal)
    third = Feed(source="x", account="esa", budget_usd_per_day=1.0)
    assert isinstance(budgets(feed=third).reserve(0.4, NOON), Reservation)


def test_network_without_a_price_is_not_counted(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**_: Any) -> Any:
        raise AssertionError("DynamoDB was asked to count")

    monkeypatch.setattr(client("dynamodb"), "transact_write_items", never)
    bluesky, feed = get_source("bluesky"), parse_feed("bluesky:bsky.app")
    meter = Meter(1, 0.0)
    request = Request("https://bsky.social", {"max_results": "100"})
    reader = fetch.paid_reader.PaidReader(bluesky, feed, cast(Any, meter), budgets("0.01", feed=feed))
    assert not isinstance(reader.read(request, None, None), Refusal)


@pytest.mark.parametrize("bad", [0, -1, "5", True, float("inf")])
def test_budget_of_a_feed_is_a_positive_amount(bad: Any) -> None:
    with pytest.raises(BadFeedError, match="budget_usd_per_day"):
        parse_feed({"source": "x", "account": "cats", "budget_usd_per_day": bad})


def test_budget_is_a_setting_of_paid_networks() -> None:
    with pytest.raises(BadFeedError, match="budget_usd_per_month is a setting of x feeds only"):
        parse_feed({"source": "bluesky", "account": "bsky.app", "budget_usd_per_month": 5})
