"""Fetch says which span was requested, how far back it got, and which limit ended it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fetch.app import handler
from fetch.reach import iso
from imagelake.sources import Feed, get_source
from imagelake.web.messages import Response
from tests.support.factories import ENTRY, NOON, RUN, Context, event, post
from tests.support.fake_lake import Lake
from tests.support.fake_network import Network, page
from tests.support.web_server import Answer

EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)


def read(**replaced: Any) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("fetch", **replaced), Context())
    return answer


def test_first_run_that_ends_at_its_limit_says_so_without_a_gap(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), post("two", posted_at=EARLIER), cursor="1"), page(post("three"), cursor="2"))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 2}))
    assert (answer["limit"], answer["stopped_by"], answer["asked_from"]) == ("posts", None, "")
    assert answer["oldest_at"] == "2026-04-01T11:00:00.000000Z"


def test_span_begins_at_the_bookmark(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("new", posted_at=LATER), cursor="1"), page(post("seen")))
    answer = read()
    assert (answer["asked_from"], answer["limit"]) == ("2026-04-01T12:00:00.000000Z", None)
    assert answer["oldest_at"] == "2026-04-01T12:00:00.000000Z"


def test_page_that_is_not_kept_is_a_call_and_no_part_of_the_span(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new"), cursor="1"), page(post("never read", posted_at=EARLIER), cursor="2"))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["pages"], answer["calls"], answer["limit"]) == (1, 2, "posts")
    assert answer["oldest_at"] == "2026-04-01T12:00:00.000000Z"


@pytest.mark.parametrize("more", [{"continues_posts": True}, {"posts": []}])
def test_page_in_no_order_of_time_does_not_move_the_span(lake: Lake, network: Network, more: Any) -> None:
    body = json.loads(page(post("old", posted_at=EARLIER))) | more
    network.put_pages(page(post("new"), cursor="1", is_unfinished=True), json.dumps(body).encode())
    assert read()["oldest_at"] == "2026-04-01T12:00:00.000000Z"


def test_rate_limit_that_ends_the_reading_is_its_limit(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("new"), cursor="1"), Answer(b"", 429, {"reset": "4102444800"}))
    answer = read()
    assert (answer["limit"], answer["stopped_by"]) == ("rate_limit", "rate_limit")


@pytest.mark.parametrize(
    ("feed", "url", "body", "declared"),
    [
        # https://docs.joinmastodon.org/entities/Account/#statuses_count
        ("mastodon:s.example@alice", "https://s.example/api/v1/accounts/lookup?acct=alice",
         {"id": "1", "statuses_count": 31}, 31),
        ("mastodon:s.example@alice", "https://s.example/api/v1/accounts/lookup?acct=alice",
         {"id": "1", "statuses_count": "many"}, None),
        ("mastodon:s.example@alice", "https://s.example/api/v1/accounts/lookup?acct=alice",
         {"id": "1", "statuses_count": -1}, None),
        # https://www.mediawiki.org/wiki/API:Categoryinfo
        ("commons:Cats", "https://commons.wikimedia.org/w/api.php?action=query&titles=Category%3ACats&prop=categoryinfo",
         {"query": {"pages": [{"title": "Category:Cats", "categoryinfo": {"size": 9, "files": 7}}]}}, 7),
        ("commons:Cats", "https://commons.wikimedia.org/w/api.php?action=query&titles=Category%3ACats&prop=categoryinfo",
         {"query": {"pages": [{"title": "Category:Cats"}]}}, None),
    ],
)  # fmt: skip
def test_number_of_posts_that_the_network_declares(feed: str, url: str, body: Any, declared: int | None) -> None:
    defined = Feed.of(feed)
    response = Response(200, {"content-type": "application/json"}, json.dumps(body).encode(), url)
    assert get_source(defined.source).parse(defined, response).declared == declared


def test_declared_number_stays_if_later_pages_have_none(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), cursor="1"), page(post("two")))
    assert read(progress=event("fetch")["progress"] | {"declared": 12})["declared"] == 12


@pytest.mark.parametrize("year", [1, 999, 1000, 1970, 2026, 9999])
def test_time_of_any_year_is_compared_as_a_text(year: int) -> None:
    """Some programs write 0001-01-01 if a post has no date: https://learn.microsoft.com/dotnet/api/system.datetime"""
    time = datetime(year, 1, 1, tzinfo=UTC)
    assert iso(time) == f"{year:04}-01-01T00:00:00.000000Z"
    assert datetime.fromisoformat(iso(time)) == time
