"""Fetch: pages are stored unchanged, and the result says why the reading stopped."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

import fetch.pager
from fetch.app import handler
from fetch.bookmarks import FeedPosition
from fetch.pager import MAX_BYTES, Pager
from fetch.window_reader import WindowReader
from imagelake.accounts.redaction import redact
from imagelake.accounts.session import Session
from imagelake.lake import object_keys
from imagelake.lake.suppression import SuppressionList
from imagelake.run.aws import client
from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    RateLimitedError,
    SourceChangedError,
    SourceUnavailableError,
    StorageUnavailableError,
)
from imagelake.run.models import FeedEntry, Outlook, Progress, Retry
from imagelake.run.settings import Settings
from imagelake.sources import Page, Reject, parse_feed
from imagelake.web.messages import Request, Response
from tests.support.factories import ENTRY, FEED, NO_BUDGETS, NOON, RUN, Context, event, post
from tests.support.fake_lake import BOOKMARKS, BUCKET, Lake
from tests.support.fake_network import Network, page
from tests.support.sent_metrics import sent_metrics
from tests.support.web_server import Answer, WebServer

EARLIER, LATER = NOON - timedelta(hours=1), NOON + timedelta(hours=1)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that it would have slept between tries."""
    pauses: list[float] = []
    monkeypatch.setattr("imagelake.run.retries.time.sleep", pauses.append)
    return pauses


def read(context: Context | None = None, **replaced: Any) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("fetch", **replaced), context or Context())
    assert Progress.model_validate(json.loads(json.dumps(answer))).model_dump() == answer
    return answer


def raw_key(number: int) -> str:
    return object_keys.raw_page(RUN, "bluesky", ENTRY.feed_id, number)


DEFINITION = object_keys.feed_definition("bluesky", RUN.dt, RUN.run_id, ENTRY.feed_id)


def until(last: datetime) -> dict[str, str]:
    return {"reset": str(last.timestamp())}


def test_listing_when_it_ends(lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetch.pager.now", lambda: LATER)
    network.put_pages(page(post("new", posted_at=LATER), post("mid"), cursor="1"), page(post("old", posted_at=EARLIER)))
    assert read() == {
        "status": "done",
        "outlook": Outlook().model_dump(),
        "cursor": None,
        "pages": 2,
        "posts": 3,
        "calls": 2,
        "new_posts": 3,
        "read_again": 0,
        "suppressed": 0,
        "is_at_end": False,
        "page_bytes": sum(len(gzip.decompress(lake.bucket.get(raw_key(number)))) for number in range(2)),
        "waits": 0,
        "retry_at": None,
        "newest_id": "new",
        "newest_at": "2026-04-01T13:00:00.000000Z",
        "oldest_at": "2026-04-01T11:00:00.000000Z",
        "asked_from": "",
        "asked_to": "",
        "backfill": False,
        "declared": None,
        "limit": None,
        "stopped_by": None,
        "cost_usd": 0.0,
        "reached_to": "2026-04-01T11:00:00.000000Z",
        "begun_at": "2026-04-01T13:00:00.000000Z",
        "listed_at": "2026-04-01T13:00:00.000000Z",
        "backfill_position": {"cursor": "", "reached_to": "", "begun_at": "", "is_at_end": False},
        "warnings": [],
    }
    assert lake.bucket.list("") == [raw_key(0), raw_key(1), DEFINITION]


def test_definition_of_the_feed_is_beside_its_pages(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one")))
    read()
    assert parse_feed(lake.bucket.get_json(DEFINITION)) == FEED


def test_retry_reads_no_page_and_takes_the_lease(lake: Lake, network: Network, website: WebServer) -> None:
    network.put_pages(page(post("new")))
    lake.put_bookmark(ENTRY.feed_id, "old", "2026-03-31T12:00:00.000000Z")
    answer = read(run=RUN.model_copy(update={"retry": Retry(run_id="daily-2026-03-31")}))
    assert (answer["status"], answer["pages"], answer["newest_at"]) == ("done", 0, "")
    assert website.asked == []
    assert lake.bucket.list("") == []
    left = client("dynamodb").get_item(TableName=BOOKMARKS, Key={"feed_id": {"S": ENTRY.feed_id}})["Item"]
    assert (left["newest_id"]["S"], left["lease_arn"]["S"]) == ("old", RUN.execution_arn)


def test_removed_feed_reads_no_page_and_takes_the_lease(lake: Lake, network: Network, website: WebServer) -> None:
    entry = FeedEntry(feed_id="removed", name="removed", config=None, resume_only=True)
    assert read(feed=entry)["status"] == "done"
    assert website.asked == []
    left = client("dynamodb").get_item(TableName=BOOKMARKS, Key={"feed_id": {"S": "removed"}})["Item"]
    assert left["lease_arn"]["S"] == RUN.execution_arn


def test_page_is_stored_unchanged_except_for_tokens(lake: Lake, network: Network, website: WebServer) -> None:
    body = page(post("one", text="кот"), next="https://x.test/?access_token=s3cret&after=1")
    network.put_pages(body)
    read()
    kept, version = lake.bucket.get_with_version(raw_key(0))
    assert kept[4:8] == bytes(4), "the gzip header holds no time"
    assert gzip.decompress(kept) == body.replace(b"s3cret", b"REDACTED")
    assert version.metadata == {"url": f"{website.origin}/page/0?access_token=REDACTED", "status": "200"}
    assert client("s3").head_object(Bucket=BUCKET, Key=raw_key(0))["ContentType"] == "application/gzip"


def test_same_call_again_leaves_the_same_objects(lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetch.pager.now", lambda: LATER)
    network.put_pages(page(post("one"), cursor="1"), page(post("two")))
    first, stored = read(), lake.stored()
    assert read() == first
    assert lake.stored() == stored


def test_next_call_continues_after_the_last_page(lake: Lake, network: Network, website: WebServer) -> None:
    network.put_pages(page(post("new"), cursor="1"), page(post("old", posted_at=EARLIER)))
    times = iter([300, 10])
    first = read(Context(seconds=lambda: next(times)))
    assert (first["status"], first["cursor"], first["pages"], first["posts"]) == ("more", "1", 1, 1)
    second = read(progress=first)
    assert (second["status"], second["cursor"], second["pages"], second["posts"]) == ("done", None, 2, 2)
    assert second["newest_id"] == "new"
    assert [path.partition("?")[0] for path in website.asked] == ["/page/0", "/page/1"]


@pytest.mark.parametrize(("seconds", "pages"), [(120, 0), (120.1, 1)])
def test_page_is_read_only_if_there_is_time_for_it(lake: Lake, network: Network, seconds: float, pages: int) -> None:
    network.put_pages(page(post("one")))
    assert read(Context(seconds=lambda: seconds))["pages"] == pages


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


@pytest.mark.parametrize(("overlap", "pages"), [(0, 2), (1, 2), (2, 3), (3, 4), (9, 5)])
def test_overlap_is_read_behind_the_bookmark(lake: Lake, network: Network, overlap: int, pages: int) -> None:
    network.overlap = overlap
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    new, *old = (
        page(post("new", posted_at=LATER), cursor="1"),
        *(page(post(f"old {number}", posted_at=EARLIER), cursor=f"{number + 1}") for number in range(1, 4)),
    )
    network.put_pages(new, *old, page(post("oldest", posted_at=EARLIER)))
    answer = read()
    assert (answer["pages"], answer["read_again"], answer["newest_id"]) == (pages, pages - 1, "new")


def test_listing_from_the_bookmark_that_ends_without_a_new_post_says_so(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each run would read the same known posts and end as if there were no others."""
    monkeypatch.setattr(fetch.pager, "MAX_PAGES", 2)
    network.newest_first = False
    cursors = iter("123")
    monkeypatch.setattr(network, "parse", lambda *_: Page([post("known")], [], next(cursors), positions=[]))
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(b"", b"")
    answer = read()
    assert (answer["pages"], answer["stopped_by"], answer["newest_at"]) == (2, "pages", "")


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


def test_listing_that_repeats_itself_ends_without_new_posts(lake: Lake, network: Network, website: WebServer) -> None:
    website.put("/page/0", page(post("one"), cursor="same"))
    website.put("/page/same", page(post("two"), cursor="same"), page(post("three"), cursor="same"))
    answer = read()
    assert (answer["status"], answer["stopped_by"], answer["posts"]) == ("done", None, 4)
    assert [path.partition("?")[0] for path in website.asked] == ["/page/0"] + ["/page/same"] * 3


def test_page_of_rejects_does_not_end_a_listing_with_one_cursor(
    lake: Lake, website: WebServer, network: Network
) -> None:
    website.put("/page/0", page(post("one"), cursor="same"))
    rejected = page(rejects=(Reject("two", "no author"),), cursor="same")
    website.put("/page/same", rejected, page(post("three"), cursor="same"))
    answer = read()
    assert (answer["status"], answer["stopped_by"], answer["posts"]) == ("done", None, 3)
    assert len(website.asked) == 4


@pytest.mark.parametrize("cursor", [None, "0"])
def test_listing_without_posts_that_leads_to_itself_ends(lake: Lake, network: Network, cursor: str | None) -> None:
    network.put_pages(page(cursor="0"))
    answer = read(progress=event("fetch")["progress"] | {"cursor": cursor})
    assert (answer["status"], answer["pages"]) == ("done", 2 if cursor is None else 1)


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


def test_bookmark_stays_if_a_rate_limit_ends_a_reading_that_was_billed(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    last = until(datetime.now(UTC) + timedelta(hours=7))
    network.put_pages(page(post("new"), cursor="1", cost_usd=0.005), Answer(b"", 429, last))
    answer = read()
    assert (answer["stopped_by"], answer["newest_id"], answer["newest_at"]) == ("rate_limit", "", "")


def test_bookmark_moves_if_the_posts_were_billed(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-01-01T12:00:00.000000Z")
    network.put_pages(page(post("new"), cursor="1", cost_usd=0.005), page(post("never read")))
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["stopped_by"], answer["newest_id"]) == ("posts", "new")


def test_limit_that_is_used_up_is_waited_for_before_it_refuses(
    lake: Lake, network: Network, website: WebServer
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    network.put_pages(Answer(page(post("one"), cursor="1"), headers={"left": "0", **until(end)}), page(post("two")))
    answer = read()
    assert (answer["status"], answer["pages"], answer["cursor"], len(website.asked)) == ("rate_limited", 1, "1", 1)
    assert answer["retry_at"] == (end + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert read(progress=answer)["status"] == "done"


@pytest.mark.parametrize(("left", "names_end"), [("1", True), ("0", False)])
def test_limit_that_is_not_used_up_or_names_no_end_is_not_waited_for(
    lake: Lake, network: Network, left: str, names_end: bool
) -> None:
    end = until(datetime.now(UTC) + timedelta(minutes=5)) if names_end else {}
    network.put_pages(Answer(page(post("one"), cursor="1"), headers={"left": left, **end}), page(post("two")))
    answer = read()
    assert (answer["status"], answer["pages"], answer["waits"]) == ("done", 2, 0)


def test_limit_that_is_used_up_on_the_last_page_does_not_matter(lake: Lake, network: Network) -> None:
    end = until(datetime.now(UTC) + timedelta(minutes=5))
    network.put_pages(Answer(page(post("one")), headers={"left": "0", **end}))
    assert read()["status"] == "done"


def test_warnings_of_earlier_calls_are_kept(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one")))
    before = event("fetch")["progress"] | {"warnings": ["a token ends soon"]}
    assert read(progress=before)["warnings"] == ["a token ends soon"]


def test_each_warning_of_the_pages_is_kept_once(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), cursor="1", warnings=["a", "b"]), page(post("two"), warnings=["b"]))
    assert read()["warnings"] == ["a", "b"]


def test_budget_of_posts_does_not_end_inside_a_post(lake: Lake, network: Network) -> None:
    network.put_pages(
        page(post("one"), cursor="1", is_unfinished=True),
        page(post("one"), cursor="2", is_unfinished=True, continues_posts=True),
        page(post("one"), cursor="3", continues_posts=True),
        page(post("never read")),
    )
    answer = read(run=RUN.model_copy(update={"posts_per_feed": 1}))
    assert (answer["pages"], answer["posts"]) == (3, 1)


def test_known_page_does_not_end_the_reading_inside_a_post(lake: Lake, network: Network) -> None:
    """Another post of that page can be new."""
    lake.put_bookmark(ENTRY.feed_id, "seen", "2027-01-01T12:00:00.000000Z")
    network.put_pages(page(post("one"), cursor="1", is_unfinished=True), page(post("one"), continues_posts=True))
    assert read()["pages"] == 2


def test_known_page_with_an_unfinished_post_ends_the_reading_behind_that_post(lake: Lake, network: Network) -> None:
    """The first run has not read the posts behind that page, so they would become new rows."""
    lake.put_bookmark(ENTRY.feed_id, "seen", "2027-01-01T12:00:00.000000Z")
    network.put_pages(
        page(post("one"), cursor="1", is_unfinished=True),
        page(post("one"), cursor="2", is_unfinished=True, continues_posts=True),
        page(post("one"), cursor="3", continues_posts=True),
        page(post("never read")),
    )
    answer = read()
    assert (answer["status"], answer["pages"], answer["posts"], answer["read_again"]) == ("done", 3, 1, 1)


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


def test_each_warning_of_the_reader_is_kept_once(lake: Lake, network: Network) -> None:
    class Reader(WindowReader):
        warnings = ("a token ends soon", "a token ended")

        def read(self, request: Request) -> tuple[Response, Page]:
            return Response(200, {}, b"", request.url), Page(posts=[], rejects=[], cursor=None)

    reader = Reader(network, FEED, lake.bucket)
    pager = Pager(network, FEED, ENTRY.feed_id, RUN, reader, lake.bucket, SuppressionList(), NO_BUDGETS)
    progress = pager.read(Progress(warnings=["first", "a token ends soon"]), FeedPosition(), lambda: 300.0)
    assert progress.warnings == ["first", "a token ends soon", "a token ended"]


def test_bookmark_when_a_page_is_wholly_known(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(
        page(post("new", posted_at=LATER), post("seen"), cursor="1"),
        page(post("old", posted_at=EARLIER), cursor="2"),
        page(post("oldest", posted_at=EARLIER)),
    )
    answer = read()
    assert (answer["status"], answer["stopped_by"], answer["pages"], answer["newest_id"]) == ("done", None, 2, "new")


def test_bookmark_when_the_newest_post_of_a_page_is_the_one_it_names(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("seen"), cursor="1"), page(post("old", posted_at=EARLIER)))
    assert read()["pages"] == 1


def test_page_without_posts_does_not_end_the_reading(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(cursor="1"), page(post("new", posted_at=LATER)))
    answer = read()
    assert (answer["pages"], answer["newest_id"]) == (2, "new")


def test_newest_post_is_the_first_of_those_at_the_same_time(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("first"), cursor="1"), page(post("second")))
    assert read()["newest_id"] == "first"


def test_time_of_the_newest_post_is_in_utc(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one", posted_at=NOON.astimezone(timezone(timedelta(hours=2))))))
    assert read()["newest_at"] == "2026-04-01T12:00:00.000000Z"


def test_bookmark_when_the_listing_starts_there_itself(lake: Lake, network: Network) -> None:
    network.newest_first = False
    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("late", posted_at=EARLIER), cursor="1"), page(post("new", posted_at=LATER)))
    assert read()["pages"] == 2


def test_bookmark_is_the_one_that_was_written_last(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_item = client("dynamodb").get_item

    def stale(*, ConsistentRead: bool = False, **key: Any) -> Any:  # noqa: N803
        return get_item(**key) if ConsistentRead else {}

    lake.put_bookmark(ENTRY.feed_id, "seen", "2026-04-01T12:00:00.000000Z")
    network.put_pages(page(post("seen"), cursor="1"), page(post("old", posted_at=EARLIER)))
    monkeypatch.setattr(client("dynamodb"), "get_item", stale)
    assert read()["pages"] == 1


def test_error_is_transient_when_the_bookmark_cannot_be_read(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "GetItem")

    monkeypatch.setattr(client("dynamodb"), "get_item", throttled)
    with pytest.raises(StorageUnavailableError, match=BOOKMARKS):
        read()


def test_metrics_count_the_pages_and_posts_of_this_call(
    lake: Lake, network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    network.put_pages(page(post("one"), post("two"), post("three"), cursor="1"), page(post("four")))
    read(progress=event("fetch")["progress"] | {"pages": 7, "posts": 40})
    assert sent_metrics(capsys) == {"PagesFetched": 2, "PostsFetched": 4}


def test_metric_of_a_token_is_the_number_of_days_until_it_expires(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Session, "ends_at", datetime.now(UTC) + timedelta(hours=36))
    network.put_pages(page(post("one")))
    read()
    assert sent_metrics(capsys)["TokenExpiresInDays"] == pytest.approx(1.5, abs=0.01)


def test_bookmark_without_a_time(lake: Lake, network: Network) -> None:
    lake.put_bookmark(ENTRY.feed_id, "", "")
    network.put_pages(page(post("one"), cursor="1"), page(post("two")))
    assert read()["pages"] == 2


def test_rate_limit_when_its_end_is_known(lake: Lake, network: Network) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    network.put_pages(page(post("one"), cursor="1"), Answer(b"", 429, until(end)))
    answer = read()
    assert (answer["status"], answer["pages"], answer["cursor"], answer["waits"]) == ("rate_limited", 1, "1", 1)
    assert answer["retry_at"] == (end + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    network.put_pages(b"", page(post("two")))
    again = read(progress=answer)
    assert (again["status"], again["pages"], again["retry_at"], again["stopped_by"]) == ("done", 2, None, None)


def test_rate_limit_when_its_end_is_not_known(lake: Lake, network: Network) -> None:
    network.put_pages(Answer(b"", 429))
    retry_at = datetime.fromisoformat(read()["retry_at"])
    assert timedelta(minutes=4.5) < retry_at - datetime.now(UTC) < timedelta(minutes=6)


def test_rate_limit_when_its_end_is_in_another_time_zone(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)

    def limited(*_: Any) -> None:
        raise RateLimitedError("slow down", end.astimezone(timezone(timedelta(hours=2))))

    monkeypatch.setattr(network, "parse", limited)
    assert read()["retry_at"] == (end + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_rate_limit_is_not_tried_again_at_once(lake: Lake, network: Network, website: WebServer) -> None:
    network.put_pages(Answer(b"", 429))
    read()
    assert len(website.asked) == 1


def test_rate_limit_just_short_and_rare_enough_is_waited_for(lake: Lake, network: Network) -> None:
    network.put_pages(Answer(b"", 429, until(datetime.now(UTC) + timedelta(hours=5, minutes=59))))
    answer = read(progress=event("fetch")["progress"] | {"waits": 2})
    assert (answer["status"], answer["waits"], answer["stopped_by"]) == ("rate_limited", 3, None)


@pytest.mark.parametrize(("waits", "hours"), [(3, 1), (0, 6.1)])
def test_rate_limit_that_is_too_long_or_too_frequent(lake: Lake, network: Network, waits: int, hours: float) -> None:
    network.put_pages(Answer(b"", 429, until(datetime.now(UTC) + timedelta(hours=hours))))
    before = event("fetch")["progress"] | {"waits": waits}
    with pytest.raises(RateLimitedError, match="slow down"):
        read(progress=before)
    some = read(progress=before | {"pages": 1, "posts": 4, "newest_id": "one", "newest_at": "2026-04-01"})
    assert (some["status"], some["stopped_by"], some["posts"], some["waits"]) == ("done", "rate_limit", 4, waits)


@pytest.mark.parametrize("newest_first", [True, False])
def test_first_run_that_a_rate_limit_ends_leaves_no_bookmark(lake: Lake, network: Network, newest_first: bool) -> None:
    network.newest_first = newest_first
    network.put_pages(Answer(b"", 429, until(datetime.now(UTC) + timedelta(hours=7))))
    read_so_far = {"pages": 1, "posts": 1, "cursor": "0", "newest_id": "one", "newest_at": "2026-04-01"}
    answer = read(progress=event("fetch")["progress"] | read_so_far)
    assert (answer["status"], answer["stopped_by"], answer["newest_at"]) == ("done", "rate_limit", "")


def test_server_error_is_tried_again(lake: Lake, network: Network, website: WebServer, pauses: list[float]) -> None:
    website.put("/page/0", Answer(b"", 503, {"Retry-After": "4"}), Answer(b"", 500), page(post("one")))
    assert read()["posts"] == 1
    assert len(website.asked) == 3
    assert pauses[0] == 4
    assert 0 <= pauses[1] <= 4


def test_server_error_when_it_stays(lake: Lake, network: Network, website: WebServer, pauses: list[float]) -> None:
    network.put_pages(Answer(b"", 502, {"Retry-After": "86400"}))
    with pytest.raises(SourceUnavailableError, match="502"):
        read()
    assert len(website.asked) == 3
    assert pauses == [10, 10]
    assert lake.bucket.list("") == []


def test_no_answer_is_tried_again(lake: Lake, network: Network, website: WebServer, pauses: list[float]) -> None:
    # The server announces ten bytes, sends none and closes the connection.
    website.put("/page/0", Answer(b"", headers={"Content-Length": "10", "Connection": "close"}), page(post("one")))
    assert read()["posts"] == 1
    assert len(pauses) == 1


def test_error_when_the_answer_is_no_page(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), cursor="1"), b"<html>")
    with pytest.raises(SourceChangedError):
        read()


def test_error_when_the_feed_is_bad(lake: Lake) -> None:
    with pytest.raises(BadFeedError, match=f"^{ENTRY.feed_id}: it is not of the form"):
        read(feed=ENTRY.model_copy(update={"config": "nonsense"}))
    with pytest.raises(BadFeedError, match="no network named 'myspace'"):
        read(feed=ENTRY.model_copy(update={"config": "myspace:tom"}))


def test_error_names_the_secret_of_the_network(lake: Lake, secrets_manager: Any) -> None:
    with pytest.raises(CredentialsError, match="imagelake/x"):
        read(feed=ENTRY.model_copy(update={"config": "x:cats"}))


def test_error_when_the_server_is_not_public(lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_ORIGINS", "")
    Settings.load.cache_clear()
    with pytest.raises(BadFeedError, match="refused before connecting"):
        read()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://x.test/?access_token=abc&next=1", "https://x.test/?access_token=REDACTED&next=1"),
        (r"https:\/\/x.test\/?access_token=abc\u0026next=1", r"https:\/\/x.test\/?access_token=REDACTED\u0026next=1"),
        (r'"<a href=\"https://x.test/?access_token=abc\">"', r'"<a href=\"https://x.test/?access_token=REDACTED\">"'),
        ('{"access_token": "abc", "n": 1}', '{"access_token": "REDACTED", "n": 1}'),
        ("a%3Faccess_token%3Dabc%26next%3D1", "a%3Faccess_token%3DREDACTED"),
        ("client_secret=a&refresh_token=b&appsecret_proof=c", None),
        ("the access_token is a secret", "the access_token is a secret"),
    ],
)
def test_redact(text: str, kept: str | None) -> None:
    expected = kept or "client_secret=REDACTED&refresh_token=REDACTED&appsecret_proof=REDACTED"
    assert redact(text.encode()).decode() == expected


def test_page_is_still_json_when_a_post_links_with_a_token(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one", text='<a href="https://x.test/?access_token=abc">"hi"</a>\n')))
    read()
    kept = json.loads(gzip.decompress(lake.bucket.get(raw_key(0))))
    assert kept["posts"][0]["text"] == '<a href="https://x.test/?access_token=REDACTED">"hi"</a>\n'


@pytest.mark.parametrize("cursor", ["x" * 1_901, "図" * 700])
def test_cursor_that_is_too_long_is_an_error(lake: Lake, network: Network, cursor: str) -> None:
    network.put_pages(page(post("new"), cursor=cursor), page(post("old")))
    with pytest.raises(SourceChangedError, match="the next page's cursor has more than 1,900 bytes"):
        read()


def test_feed_whose_url_is_too_long_is_an_error(lake: Lake, website: WebServer) -> None:
    # Each of these letters has nine characters in a URL.
    entry = FeedEntry(feed_id="rss-x", name="rss", config=f"rss:{website.origin}/{'図' * 400}")
    with pytest.raises(BadFeedError, match=r"the URL of a page has 3,\d\d\d characters, more than 1,900"):
        read(feed=entry)


BOB = ("author", "bluesky", "did:plc:bob")


def stored_posts(lake: Lake, number: int) -> list[str]:
    return [one["post_id"] for one in json.loads(gzip.decompress(lake.bucket.get(raw_key(number))))["posts"]]


def test_suppressed_posts_are_not_stored(lake: Lake, network: Network) -> None:
    lake.suppress(BOB, ("post", "bluesky", "did:plc:alice", "three"))
    gone = [post("two", author_id="did:plc:bob", posted_at=LATER), post("three")]
    rejects = (Reject("r1", "a repost", {"by": "did:plc:bob"}), Reject("r2", "a repost", {"by": "did:plc:carol"}))
    network.put_pages(page(post("one"), *gone, rejects=rejects))
    answer = read()
    # Their number, and the bookmark, are those of the page as it came.
    assert (answer["posts"], answer["suppressed"], answer["newest_id"]) == (3, 3, "two")
    assert stored_posts(lake, 0) == ["one"]
    body = gzip.decompress(lake.bucket.get(raw_key(0)))
    assert b"did:plc:bob" not in body
    assert b"did:plc:carol" in body


@pytest.mark.parametrize("name", [("feed", ENTRY.feed_id), ("author", "bluesky", "did:plc:bob"), None])
def test_position_of_a_backfill_names_no_suppressed_author(
    lake: Lake, network: Network, name: tuple[str, ...] | None
) -> None:
    """Cursors of Facebook have ids of posts and authors; nobody knows what those of other networks have."""
    lake.suppress(*filter(None, [name]))
    config = {"source": "bluesky", "account": "alice.example.com", "limit": 1}
    cursor = "after=at%3A%2F%2Fdid%3Aplc%3Abob%2Fapp.bsky.feed.post%2F1"
    network.put_pages(page(post("new", posted_at=LATER), post("old"), cursor=cursor), page(post("older")))
    position = read(feed=ENTRY.model_copy(update={"config": config}))["backfill_position"]
    assert position["cursor"] == ("" if name else cursor)
    assert position["reached_to"]


@pytest.mark.parametrize("is_listed", [True, False])
def test_run_that_reads_nothing_stores_no_cursor_of_a_suppressed_author(lake: Lake, is_listed: bool) -> None:
    removed = FeedEntry(feed_id="facebook-1", name="removed", config=None, resume_only=True)
    lake.put_bookmark("facebook-1", "17", "2026-04-01T00:00:00.000000Z")
    client("dynamodb").update_item(
        TableName=BOOKMARKS,
        Key={"feed_id": {"S": "facebook-1"}},
        UpdateExpression="SET backfill_cursor = :c, backfill_reached_to = :t, backfill_is_at_end = :e",
        ExpressionAttributeValues={":c": {"S": "album=12_3+12+1+100+5+x"}, ":t": {"S": ""}, ":e": {"BOOL": False}},
    )
    lake.suppress(("author", "facebook", "12" if is_listed else "13"))
    assert bool(read(feed=removed)["backfill_position"]["cursor"]) is not is_listed


def test_page_of_suppressed_posts_alone_has_no_body_and_no_url(lake: Lake, network: Network) -> None:
    lake.suppress(BOB)
    network.put_pages(page(post("two", author_id="did:plc:bob"), cursor="1"), page(post("one")))
    answer = read()
    assert (answer["pages"], answer["suppressed"]) == (2, 1)
    body, version = lake.bucket.get_with_version(raw_key(0))
    assert (gzip.decompress(body), version.metadata) == (b"", {"url": "", "status": "200"})
    assert stored_posts(lake, 1) == ["one"]
    assert lake.bucket.exists(DEFINITION)


def test_feed_of_which_nothing_is_stored_has_no_definition(lake: Lake, network: Network) -> None:
    lake.suppress(BOB)
    network.put_pages(page(post("two", author_id="did:plc:bob")))
    read()
    assert lake.bucket.list("raw/") == [raw_key(0)]


def test_page_without_entries_is_not_stored_if_anybody_is_suppressed(lake: Lake, network: Network) -> None:
    """The page of a lookup describes an account, whose id may be in it in another form than in a post."""
    network.put_pages(page(cursor="1"), page(post("one")))
    read()
    assert gzip.decompress(lake.bucket.get(raw_key(0))) != b""
    lake.suppress(BOB)
    assert read()["suppressed"] == 0
    assert gzip.decompress(lake.bucket.get(raw_key(0))) == b""


@pytest.mark.parametrize("body", [page(post("one"), post("two", author_id="did:plc:bob")), page(), b"no page"])
def test_page_is_not_stored_if_the_posts_cannot_be_removed(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    lake.suppress(BOB)
    monkeypatch.setattr(network, "without", lambda *_: body)
    network.put_pages(page(post("one"), post("two", author_id="did:plc:bob")))
    with pytest.raises(SourceChangedError):
        read()
    assert lake.bucket.list("raw/") == []


@pytest.mark.parametrize(
    ("post_id", "expected"),
    [
        ("at://did:plc:bob/app.bsky.feed.post/1", "erased"),
        # Only Facebook's ids have the author in front of an underscore.
        ("did:plc:bob_17", "did:plc:bob_17"),
        ("at://did:plc:bobby/app.bsky.feed.post/1", "at://did:plc:bobby/app.bsky.feed.post/1"),
        ("17", "17"),
    ],
)
def test_bookmark_has_no_id_of_a_suppressed_author(lake: Lake, network: Network, post_id: str, expected: str) -> None:
    """https://atproto.com/specs/at-uri-scheme has the form of Bluesky's ids, which begin with that of the author."""
    lake.suppress(BOB)
    network.put_pages(page(post(post_id, author_id="did:plc:bob", posted_at=LATER), post("one")))
    answer = read()
    assert (answer["newest_id"], answer["newest_at"][:16]) == (expected, LATER.isoformat()[:16])


def test_pages_of_a_suppressed_feed_have_no_body_no_url_and_no_definition(lake: Lake, network: Network) -> None:
    """The URL and the definition name the account."""
    lake.suppress(BOB, ("feed", ENTRY.feed_id))
    repost = Reject("r2", "a repost", {"by": "did:plc:carol"})
    network.put_pages(page(post("two", author_id="did:plc:bob"), rejects=(repost,), cursor="1"), page(post("one")))
    read()
    for number in range(2):
        body, version = lake.bucket.get_with_version(raw_key(number))
        assert (gzip.decompress(body), version.metadata) == (b"", {"url": "", "status": "200"})
    assert not lake.bucket.exists(DEFINITION)
