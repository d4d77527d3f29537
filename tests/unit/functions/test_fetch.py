"""Fetch: pages are stored unchanged, and the result says why the reading stopped."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fetch.bookmarks import FeedPosition
from fetch.pager import Pager
from fetch.window_reader import WindowReader
from imagelake.accounts.redaction import redact
from imagelake.accounts.session import Session
from imagelake.lake.suppression import SuppressionList
from imagelake.run.aws import client
from imagelake.run.errors import (
    BadFeedError,
    CredentialsError,
    SourceChangedError,
    SourceUnavailableError,
)
from imagelake.run.models import FeedEntry, Outlook, Progress, Retry
from imagelake.run.settings import Settings
from imagelake.sources import Page, Reject, parse_feed
from imagelake.web.messages import Request, Response
from tests.support.factories import ENTRY, FEED, NO_BUDGETS, RUN, Context, event, post
from tests.support.fake_lake import BOOKMARKS, BUCKET, Lake
from tests.support.fake_network import Network, page
from tests.support.fetching import DEFINITION, EARLIER, LATER, raw_key, read
from tests.support.sent_metrics import sent_metrics
from tests.support.web_server import Answer, WebServer

pytestmark = pytest.mark.usefixtures("pauses")


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


@pytest.mark.slow
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


def test_warnings_of_earlier_calls_are_kept(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one")))
    before = event("fetch")["progress"] | {"warnings": ["a token ends soon"]}
    assert read(progress=before)["warnings"] == ["a token ends soon"]


def test_each_warning_of_the_pages_is_kept_once(lake: Lake, network: Network) -> None:
    network.put_pages(page(post("one"), cursor="1", warnings=["a", "b"]), page(post("two"), warnings=["b"]))
    assert read()["warnings"] == ["a", "b"]


def test_each_warning_of_the_reader_is_kept_once(lake: Lake, network: Network) -> None:
    class Reader(WindowReader):
        warnings = ("a token ends soon", "a token ended")

        def read(self, request: Request) -> tuple[Response, Page]:
            return Response(200, {}, b"", request.url), Page(posts=[], rejects=[], cursor=None)

    reader = Reader(network, FEED, lake.bucket)
    pager = Pager(network, FEED, ENTRY.feed_id, RUN, reader, lake.bucket, SuppressionList(), NO_BUDGETS)
    progress = pager.read(Progress(warnings=["first", "a token ends soon"]), FeedPosition(), lambda: 300.0)
    assert progress.warnings == ["first", "a token ends soon", "a token ended"]


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
