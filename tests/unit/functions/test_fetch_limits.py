"""Fetch: the limits of posts, pages, bytes and cost that end the reading."""

from __future__ import annotations

import pytest

import fetch.pager
from fetch.pager import MAX_BYTES
from imagelake.sources import Reject
from tests.support.factories import ENTRY, RUN, event, post
from tests.support.fake_lake import Lake
from tests.support.fake_network import Network, page
from tests.support.fetching import DEFINITION, EARLIER, LATER, raw_key, read
from tests.support.web_server import WebServer

pytestmark = pytest.mark.usefixtures("pauses")


def test_budget_of_posts(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), post("two"), cursor="1"), page(post("three"), cursor="2"))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 3}))
    assert (answer["status"], answer["posts"]) == ("done", 3)
    assert answer["stopped_by"] is None, "a first run that ends at its limit was asked for no more"
    assert answer["newest_id"] == "one"


@pytest.mark.parametrize(("newest_first", "stopped_by"), [(True, "posts"), (False, None)])
def test_bookmark_stays_when_the_budget_leaves_a_gap(
    lake: Lake, network: Network, newest_first: bool, stopped_by: str | None
) -> None:
    network.newest_first = newest_first
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new"), cursor="1"), page(post("never read"), cursor="2"))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["status"], answer["stopped_by"]) == ("done", stopped_by)
    assert bool(answer["newest_at"]) is not newest_first


def test_budget_that_is_just_reached_leaves_no_gap(lake: Lake, network: Network) -> None:
    """The next page shows it: only known posts follow."""
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("new", posted_at=LATER), cursor="1"), page(post("seen"), cursor="2"))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["status"], answer["stopped_by"], answer["newest_id"]) == ("done", None, "new")
    assert (answer["new_posts"], answer["read_again"]) == (1, 1)


def test_page_beyond_the_budget_is_not_kept(lake: Lake, network: Network, website: WebServer) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new"), cursor="1"), page(cursor="2"), page(post("never read"), cursor="3"))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["stopped_by"], answer["posts"], answer["pages"], len(website.asked)) == ("posts", 1, 2, 3)
    assert lake.bucket.list("") == [raw_key(0), raw_key(1), DEFINITION]


def test_budget_of_the_feed_when_it_is_smaller(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), post("two"), cursor="1"), page(post("three")))
    config = {"source": "bluesky", "account": "alice.example.com", "limit": 1}
    answer = read(feed=ENTRY.model_copy(update={"config": config}))
    assert (answer["status"], answer["pages"]) == ("done", 1)


def test_budget_of_the_run_when_that_of_the_feed_is_larger(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), post("two"), cursor="1"), page(post("three")))
    config = {"source": "bluesky", "account": "alice.example.com", "limit": 3}
    answer = read(feed=ENTRY.model_copy(update={"config": config}), run=RUN.model_copy(update={"posts_per_feed": 2}))
    assert (answer["status"], answer["pages"]) == ("done", 1)


def test_budget_when_the_listing_ends_on_it(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one")))
    assert read(run=RUN.model_copy(update={"posts_per_feed": 1}))["stopped_by"] is None


def test_bookmark_moves_when_the_listing_ends_on_the_budget(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new")))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["stopped_by"], answer["newest_id"]) == (None, "new")


def test_budget_of_pages_is_2000(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new"), cursor="1"), page(post("never read")))
    so_far = event("fetch")["progress"] | {"cursor": "0"}
    assert read(progress=so_far | {"pages": 1998})["stopped_by"] is None
    assert read(progress=so_far | {"pages": 1999})["stopped_by"] == "pages"


@pytest.mark.parametrize("bookmark", [True, False])
def test_budget_of_bytes_ends_a_feed_of_rejects(lake: Lake, network: Network, bookmark: bool) -> None:
    """Rejects do not count as posts, so 2,000 pages of them were read, and Validate held them all in memory."""
    if bookmark:
        lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(*(page(rejects=(Reject(f"bad{number}", "no"),), cursor=f"{number}") for number in (1, 2)))
    so_far = event("fetch")["progress"] | {"cursor": "0"}
    answer = read(progress=so_far | {"page_bytes": MAX_BYTES - 1})
    assert (answer["status"], answer["stopped_by"], answer["pages"], answer["newest_at"]) == ("done", "bytes", 1, "")


def test_budget_of_pages_ends_an_endless_listing(lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.pager, "MAX_PAGES", 3)
    network.put_pages(page(cursor="1"), page(cursor="0"))
    answer = read()
    assert (answer["status"], answer["pages"], answer["posts"]) == ("done", 3, 0)
    assert answer["newest_at"] == ""


@pytest.mark.parametrize(("cap", "pages"), [(0.2, 1), (0.39, 1), (0.4, 2), (5, 3)])
def test_cost_cap_ends_the_reading_before_the_page_that_could_pass_it(
    lake: Lake, network: Network, cap: float, pages: int
) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(
        page(post("three"), cursor="1", cost_usd=0.2),
        page(post("two"), cursor="2", cost_usd=0.2),
        page(post("one"), cost_usd=0.005),
    )
    config = {"source": "x", "account": "cats", "cost_cap_usd": cap}
    answer = read(feed=ENTRY.model_copy(update={"config": config}))
    assert (answer["status"], answer["pages"]) == ("done", pages)
    assert answer["stopped_by"] == (None if pages == 3 else "cost")
    assert answer["cost_usd"] == [0.2, 0.4, 0.405][pages - 1]
    assert answer["newest_id"], "what was paid for is not read again"


def test_cost_has_no_rounding_errors(lake: Lake, network: Network) -> None:
    network.put_pages(
        page(post("three"), cursor="1", cost_usd=0.1),
        page(post("two"), cursor="2", cost_usd=0.2),
        page(post("one")),
    )
    config = {"source": "x", "account": "cats", "cost_cap_usd": 0.3}
    answer = read(feed=ENTRY.model_copy(update={"config": config}))
    assert (answer["pages"], answer["cost_usd"], answer["stopped_by"]) == (2, 0.3, "cost")


def test_cost_counts_small_parts_of_a_cent(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), cost_usd=0.000125))
    assert read()["cost_usd"] == 0.000125


def test_bookmark_moves_if_the_posts_were_billed(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new"), cursor="1", cost_usd=0.005), page(post("never read")))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["stopped_by"], answer["newest_id"]) == ("posts", "new")


def test_budget_of_posts_does_not_end_inside_a_post(lake: Lake, network: Network) -> None:
    network.put_pages(
        page(post("one"), cursor="1", is_unfinished=True),
        page(post("one"), cursor="2", is_unfinished=True, continues_posts=True),
        page(post("one"), cursor="3", continues_posts=True),
        page(post("never read")),
    )
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["pages"], answer["posts"]) == (3, 1)


def test_rest_of_a_new_post_is_kept_when_the_limit_is_reached(lake: Lake, network: Network) -> None:
    """A page is left out if it only shows that there are more new posts; the rest of a post shows no new one."""
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(
        page(post("one", posted_at=LATER), cursor="1", is_unfinished=True),
        page(post("one", posted_at=LATER), cursor="2", is_unfinished=True, continues_posts=True),
        page(post("one", posted_at=LATER), cursor="3", continues_posts=True),
        page(post("two", posted_at=LATER)),
    )
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["stopped_by"], answer["pages"], answer["posts"], answer["new_posts"]) == ("posts", 3, 1, 1)


def test_known_page_with_an_unfinished_post_is_read_to_its_end_when_the_limit_is_reached(
    lake: Lake, network: Network
) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(
        page(post("one", posted_at=LATER), cursor="1"),
        page(post("old", posted_at=EARLIER), cursor="2", is_unfinished=True),
        page(post("old", posted_at=EARLIER), cursor="3", continues_posts=True),
        page(post("never read", posted_at=EARLIER)),
    )
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["stopped_by"], answer["pages"], answer["new_posts"]) == (None, 3, 1)
