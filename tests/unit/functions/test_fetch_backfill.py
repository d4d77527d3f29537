"""Backfill: older posts are read from a position of their own, over several runs, and the bookmark stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fetch.backfill import is_done
from fetch.reach import iso
from imagelake.run.errors import BadFeedError, SourceChangedError
from imagelake.run.models import BackfillPosition, Stop
from imagelake.sources import SOURCES, parse_feed
from imagelake.web.messages import Request, Response
from report.timeline import Gap
from tests.support.listings import BEGIN, LISTINGS, Entry, Listing, Reading

# One post an hour, the newest ones last.
HOUR = 3_600


class XListing(Listing):
    """https://docs.x.com/x-api/posts/search-recent-posts"""

    def page(self, path: str, query: Any) -> tuple[dict[str, str], Any]:
        newer = [entry for entry in self.newest_first if entry.name > query.get("since_id", "")]
        begin = int(query.get("next_token", 0))
        entries = newer[begin : begin + int(query["max_results"])]
        end = begin + len(entries)
        data = [{"id": entry.name, "created_at": entry.time, "author_id": "1", "text": ""} for entry in entries]
        more = {"next_token": str(end)} if end < len(newer) else {}
        return {}, {"data": data, "meta": {"result_count": len(entries), **more}}


ALL = {**LISTINGS, "x:cats": XListing}


def listing_of(name: str, posts: int = 130) -> Listing:
    kind: type[Listing] = ALL[name]
    return kind(parse_feed(name), [Entry(number * HOUR) for number in range(posts)])


def names(listing: Listing, first: int, last: int) -> set[str]:
    return {entry.name for entry in sorted(listing.entries)[first:last]}


def day(number: int) -> str:
    return (BEGIN + timedelta(hours=number)).date().isoformat()


@pytest.mark.parametrize("name", ALL)
def test_posts_behind_the_limit_of_the_first_run_are_read(name: str) -> None:
    listing = listing_of(name)
    reading = Reading(listing, limit=20)
    first = reading.run()
    bookmark, asked = reading.bookmark, len(listing.requests)
    assert 20 <= len(first) < 130
    assert reading.backfill.cursor or name.startswith("instagram:#")

    read = set(first)
    for _ in range(30):
        found = reading.run("2025-12-01")
        read |= found
        assert reading.bookmark == bookmark
        if reading.progress.stopped_by is None:
            break
        assert reading.progress.stopped_by is Stop.POSTS
        assert len(found) >= 20, "each run brings as many posts as its limit"
    assert read == names(listing, 0, 130)
    assert reading.backfill.is_at_end
    assert len(listing.requests) - asked < 40, "no page is read twice"

    calls = len(listing.requests)
    assert reading.run("2025-12-01") == set()
    assert len(listing.requests) == calls, "a backfill that is done asks for nothing"


@pytest.mark.parametrize("name", ALL)
def test_backfill_ends_at_its_day_and_goes_on_to_an_earlier_one(name: str) -> None:
    listing = listing_of(name, 24 * 15)
    reading = Reading(listing, limit=10)
    reading.run()
    bookmark = reading.bookmark
    reading._limit = 1_000
    since = day(24 * 9)
    read = reading.known | reading.run(since)
    if name.startswith("mastodon"):
        return  # its listing is in the order of ids, and the times of this sample are in no order
    assert names(listing, 24 * 9, 24 * 15) <= read
    assert len(read) < 24 * 15, "it does not read the whole listing"
    assert reading.progress.stopped_by is None
    assert is_done(reading.backfill, since)
    assert reading.bookmark == bookmark
    assert not reading.backfill.is_at_end
    assert reading.run(since) == set()
    reading.run(day(24 * 3))
    assert names(listing, 24 * 3, 24 * 15) <= reading.known


@pytest.mark.parametrize("name", ALL)
def test_run_that_is_killed_before_the_commit_loses_nothing(name: str) -> None:
    listing = listing_of(name)
    reading = Reading(listing, limit=20)
    reading.run()
    position = reading.backfill
    lost = reading.run("2025-12-01", is_killed=True)
    assert reading.backfill == position
    assert reading.run("2025-12-01") == lost
    while reading.progress.stopped_by:
        reading.run("2025-12-01")
    assert reading.known == names(listing, 0, 130)


@pytest.mark.parametrize("name", ALL)
def test_scheduled_run_in_between_is_not_disturbed_and_disturbs_nothing(name: str) -> None:
    listing, untouched = listing_of(name), listing_of(name)
    reading, scheduled = Reading(listing, limit=20), Reading(untouched, limit=20)
    reading.run(), scheduled.run()
    for number in range(4):
        reading.run("2025-12-01")
        position = reading.backfill
        for one in (listing, untouched):
            one.entries += [Entry((200 + number) * HOUR)]
        assert reading.run() >= {Entry((200 + number) * HOUR).name}
        scheduled.run()
        assert reading.bookmark == scheduled.bookmark
        assert reading.backfill == position
    while reading.progress.stopped_by or not is_done(reading.backfill, "2025-12-01"):
        reading.run("2025-12-01")
    assert reading.known == {entry.name for entry in listing.entries}


# What a network answers to a cursor that has expired.
EXPIRED = {
    # https://docs.bsky.app/docs/api/app-bsky-feed-get-author-feed: InvalidRequest
    "bluesky:alice.example": (400, '{"error": "InvalidRequest", "message": "Malformed cursor"}'),
    # https://developers.facebook.com/docs/graph-api/results: cursors can become invalid
    "facebook:NASA": (400, '{"error": {"code": 100, "type": "OAuthException", "message": "Invalid cursor"}}'),
    "instagram:me": (400, '{"error": {"code": 100, "type": "OAuthException", "message": "Invalid cursor"}}'),
    # The page of an archive that its site has removed.
    "rss:https://example.org/": (404, "gone"),
    # https://www.mediawiki.org/wiki/API:Continue
    "commons:Cats": (200, '{"error": {"code": "badcontinue", "info": "Invalid continue param."}}'),
    # https://docs.x.com/x-api/fundamentals/response-codes-and-errors
    "x:cats": (400, '{"title": "Invalid Request", "errors": [{"parameters": {"next_token": ["x"]}}], "type": "x"}'),
}


@pytest.mark.parametrize("name", EXPIRED)
def test_expired_cursor_begins_at_the_newest_post_and_known_posts_use_up_no_limit(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = listing_of(name)
    reading = Reading(listing, limit=20)
    reading.run()
    reading.run("2025-12-01")
    known, status, body = set(reading.known), *EXPIRED[name]
    answer = listing.answer
    refused: list[Request] = []

    def expired(request: Request) -> Response:
        right = answer(request)
        if not refused:
            refused.append(request)
            return Response(status, {"content-type": "application/json"}, body.encode(), right.url)
        return right

    monkeypatch.setattr(listing, "answer", expired)
    new = reading.run("2025-12-01")
    # The position is that of a page's newest post, so one page may be counted twice.
    assert new
    assert new.isdisjoint(known)
    (warning,) = reading.progress.warnings
    assert "the backfill begins again at the newest post, because its cursor is refused" in warning
    while reading.progress.stopped_by:
        reading.run("2025-12-01")
    assert reading.known == names(listing, 0, 130)


def test_other_page_that_is_refused_fails_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = listing_of("bluesky:alice.example", 300)
    reading = Reading(listing, limit=150)
    answer = listing.answer

    def broken(request: Request) -> Response:
        right = answer(request)
        return right if len(listing.requests) < 2 else Response(200, {}, b"{", right.url)

    monkeypatch.setattr(listing, "answer", broken)
    with pytest.raises(SourceChangedError):
        reading.run("2025-12-01")
    with pytest.raises(SourceChangedError):
        reading.run("2025-12-01")


def test_first_backfill_of_a_feed_without_a_bookmark_leaves_it_without_one() -> None:
    reading = Reading(listing_of("bluesky:alice.example"), limit=20)
    assert len(reading.run("2025-12-01")) == 20
    assert reading.bookmark is None
    reading.run()
    assert reading.bookmark is not None


def test_end_of_the_listing_before_the_day_is_a_warning_that_says_how_far_it_got() -> None:
    reading = Reading(listing_of("x:cats"), limit=1_000)
    reading.run("2025-06-01")
    (warning,) = reading.progress.warnings
    assert warning == (
        "x:cats: the backfill ends before 2025-06-01: the network lists no post before 2026-01-01 (it lists:"
        " a search: 7 days)"
    )
    reading.run("2025-06-01")
    assert reading.progress.warnings == [], "it is said once"


@pytest.mark.parametrize("name", ["rss:https://example.org/", "bluesky:alice.example"])
@pytest.mark.parametrize("since", ["2026-01-01", "2026-01-02", "2026-01-05"])
def test_one_page_with_all_posts_reaches_the_day(name: str, since: str) -> None:
    """A feed of a site has one page; its newest post is not how far back it was read."""
    reading = Reading(listing_of(name, 24 * 4))
    reading.run(since)
    # The first post is that of the first second of 2026.
    assert reading.progress.oldest_at < f"{since}T00:00:01"
    assert bool(reading.progress.warnings) == (since == "2026-01-01")
    if reading.progress.warnings:
        assert "no post before 2026-01-01" in reading.progress.warnings[0]


def test_gap_of_a_paid_network_is_where_the_backfill_begins() -> None:
    """The bookmark of a paid network moves on at a limit, or the network would bill the same posts again."""
    listing = listing_of("x:cats", 40)
    reading = Reading(listing, limit=100)
    reading.run()
    listing.entries += [Entry((100 + number) * HOUR) for number in range(60)]
    reading._limit = 10
    assert len(reading.run()) == 10
    assert reading.progress.stopped_by is Stop.POSTS
    while reading.progress.stopped_by:
        reading.run("2025-12-01")
    assert reading.known == {entry.name for entry in listing.entries}


def test_backfill_says_which_span_it_reads() -> None:
    reading = Reading(listing_of("bluesky:alice.example"), limit=20)
    reading.run()
    begin = reading.backfill.reached_to
    reading.run("2025-12-01")
    asked = (reading.progress.asked_from, reading.progress.asked_to, reading.progress.limit)
    assert asked == ("2025-12-01T00:00:00.000000Z", begin, Stop.POSTS)
    assert reading.progress.oldest_at < begin
    while reading.progress.stopped_by:
        reading.run("2025-12-01")
    assert reading.progress.limit is None


def test_stream_has_no_backfill() -> None:
    with pytest.raises(BadFeedError, match="since: a feed of the network stream has no since"):
        parse_feed({"source": "stream", "account": "posts", "since": "2025-01-01"})


@pytest.mark.parametrize(
    "bad",
    [
        "2025-1-1",
        "2025-02-30",
        "yesterday",
        "",
        "2025-01-01T00:00:00Z",
        20250101,
        "1969-12-31",
        "0999-01-01",
        "0001-01-01",
    ],
)
def test_since_is_a_day(bad: Any) -> None:
    with pytest.raises(BadFeedError, match="since"):
        parse_feed({"source": "bluesky", "account": "bsky.app", "since": bad})


@pytest.mark.parametrize("year", [1, 33, 999, 1000, 2026])
def test_times_have_a_year_of_four_digits_and_can_be_read_again(year: int) -> None:
    """RSS feeds have entries with such dates. strftime of the C library writes 999 with three digits."""
    time = datetime(year, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert iso(time) == f"{year:04}-02-03T04:05:06.000007Z"
    assert datetime.fromisoformat(iso(time)) == time
    gap = Gap(start=time, end=time, reason="posts")
    assert Gap.model_validate(gap.model_dump(mode="json")).start == time.replace(microsecond=0)
    assert gap.model_dump(mode="json")["start"] == f"{year:04}-02-03 04:05:06"


def test_since_leads_to_the_same_feed() -> None:
    config = {"source": "bluesky", "account": "bsky.app"}
    assert parse_feed({**config, "since": "2025-01-01"}).feed_id == parse_feed(config).feed_id


def test_every_network_with_a_listing_is_tested() -> None:
    assert {name.partition(":")[0] for name in ALL} == SOURCES.keys() - {"stream"}
    assert {name.partition(":")[0] for name in EXPIRED} == SOURCES.keys() - {"stream", "mastodon"}


@pytest.mark.parametrize(
    ("position", "since", "done"),
    [
        (BackfillPosition(), "2025-01-01", False),
        (BackfillPosition(reached_to="2025-01-01T00:00:00.000000Z"), "2025-01-01", False),
        (BackfillPosition(reached_to="2024-12-31T23:59:59.999999Z"), "2025-01-01", True),
        (BackfillPosition(is_at_end=True), "2025-01-01", True),
    ],
)
def test_backfill_is_done_when_it_has_reached_its_day(position: BackfillPosition, since: str, done: bool) -> None:
    assert is_done(position, since) is done
