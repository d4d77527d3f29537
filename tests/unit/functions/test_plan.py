"""A run that plans: nothing is fetched, and the report says what a run would read and cost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

import check_input.app
import fetch.app
import report.app
from imagelake.lake import object_keys
from imagelake.run.aws import client
from imagelake.run.errors import BadFeedError, BadInputError
from imagelake.run.models import FeedEntry, Outlook
from imagelake.run.settings import Settings
from imagelake.sources import get_source, parse_feed
from imagelake.sources.contract import Counted
from imagelake.web.messages import Response
from report.estimates import IMAGES_PER_POST
from tests.support.factories import OTHER_ENTRY, RUN, Context, event, failed
from tests.support.fake_bus import Bus
from tests.support.fake_lake import BOOKMARKS, Lake
from tests.support.sent_metrics import sent_metrics
from tests.support.web_server import Answer, WebServer

PLAN = RUN.model_copy(update={"plan": True, "by_hand": True})


def entry(config: Any) -> FeedEntry:
    feed = parse_feed(config)
    return FeedEntry(feed_id=feed.feed_id, name=feed.name, config=config)


def look(config: Any) -> dict[str, Any]:
    answer: dict[str, Any] = fetch.app.handler(event("fetch", run=PLAN, feed=entry(config)), Context())
    return answer


def facts(**outlook: Any) -> dict[str, Any]:
    return Outlook(**outlook).model_dump()


def planned(config: Any, **outlook: Any) -> dict[str, Any]:
    return {"feed": entry(config).model_dump(), "status": "planned", "outlook": facts(**outlook)}


def tell(*results: dict[str, Any], **run: Any) -> dict[str, Any]:
    changed = PLAN.model_copy(update=run)
    answer: dict[str, Any] = report.app.handler(event("report", run=changed, results=list(results)), Context())
    return answer


def plan_of(lake: Lake) -> dict[str, Any]:
    found: dict[str, Any] = lake.bucket.get_json(object_keys.run_plan(RUN.run_id))
    return found


# ---- The input -------------------------------------------------------------------------------------------------------


def test_plan_is_a_field_of_the_input_and_publishes_nothing(lake: Lake, bus: Bus) -> None:
    request = event("check_input", input={"feeds": ["bluesky:bsky.app"], "plan": True})
    assert check_input.app.handler(request, Context())["run"]["plan"] is True
    assert bus.entries == []


@pytest.mark.parametrize("bad", [1, "true", None, {}])
def test_plan_is_true_or_false(lake: Lake, bad: Any) -> None:
    request = event("check_input", input={"feeds": ["bluesky:bsky.app"], "plan": bad})
    with pytest.raises(BadInputError, match="plan"):
        check_input.app.handler(request, Context())


def test_retry_cannot_be_planned(lake: Lake) -> None:
    given = {"feeds": ["bluesky:bsky.app"], "plan": True, "retry": {"run_id": "daily-2026-03-31"}}
    with pytest.raises(BadInputError, match="plan: a run that retries reads no posts"):
        check_input.app.handler(event("check_input", input=given), Context())


# ---- The question ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feed", "path", "body", "number"),
    [
        # https://docs.bsky.app/docs/api/app-bsky-actor-get-profile
        ("bluesky:bsky.app", "/xrpc/app.bsky.actor.getProfile?actor=bsky.app", {"postsCount": 741}, 741),
        # https://docs.joinmastodon.org/methods/accounts/#lookup
        ("mastodon:m.example@a", "/api/v1/accounts/lookup?acct=a", {"id": "1", "statuses_count": 8}, 8),
        # https://www.mediawiki.org/wiki/API:Categoryinfo
        (
            "commons:Cats",
            "/w/api.php?titles=Category:Cats",
            {"query": {"pages": [{"title": "Category:Cats", "categoryinfo": {"files": 52}}]}},
            52,
        ),
        # https://docs.x.com/x-api/posts/counts/introduction
        ("x:NASA", "/2/tweets/counts/recent?query=from:NASA", {"data": [], "meta": {"total_tweet_count": 9}}, 9),
        ("x:#cats", "/2/tweets/counts/recent?query=cats", {"data": [], "meta": {"total_tweet_count": "9"}}, None),
        ("bluesky:bsky.app", "/xrpc/app.bsky.actor.getProfile?actor=bsky.app", {"postsCount": -1}, None),
    ],
)
def test_network_states_a_number_without_posts(feed: str, path: str, body: Any, number: int | None) -> None:
    parsed = parse_feed(feed)
    source = get_source(parsed.source)
    assert isinstance(source, Counted)
    request = source.count_request(parsed, None)
    assert request is not None
    assert request.url.partition("//")[2].partition("/")[2] == path.partition("?")[0].removeprefix("/")
    url = f"{request.url}?{urlencode(request.params)}"
    page = source.parse(parsed, Response(200, {"content-type": "application/json"}, json.dumps(body).encode(), url))
    assert (page.posts, page.rejects, page.declared) == ([], [], number)


def test_only_x_is_asked_for_posts_since_the_bookmark(lake: Lake, website: WebServer, secrets_manager: Any) -> None:
    secrets_manager.create_secret(Name="imagelake/x", SecretString='{"bearer_token": "token"}')
    feed = {"source": "x", "account": "NASA", "server": website.origin}
    lake.put_bookmark(entry(feed).feed_id, "42", "2026-04-01T12:00:00.000000Z")
    website.put("/2/tweets/counts/recent", json.dumps({"data": [], "meta": {"total_tweet_count": 7}}).encode())
    answer = look(feed)
    assert (answer["status"], answer["pages"]) == ("planned", 0)
    assert answer["outlook"] == facts(posts=7, has_bookmark=True, usd=0.005)
    (asked,) = website.asked
    assert "since_id=42" in asked
    for other in ("bluesky:bsky.app", "mastodon:m.example@a", "commons:Cats"):
        lake.put_bookmark(entry(other).feed_id, "42", "2026-04-01T12:00:00.000000Z")
        assert look(other)["outlook"] == facts(has_bookmark=True)


def test_plan_writes_nothing_and_takes_no_lease(lake: Lake, website: WebServer) -> None:
    feed = {"source": "bluesky", "account": "bsky.app", "server": website.origin}
    website.put("/xrpc/app.bsky.actor.getProfile", b'{"postsCount": 35}')
    before = lake.stored()
    assert look(feed)["outlook"]["posts"] == 35
    assert len(website.asked) == 1
    assert lake.stored() == before
    assert client("dynamodb").scan(TableName=BOOKMARKS)["Items"] == []


def test_question_is_within_the_budget(
    lake: Lake, website: WebServer, secrets_manager: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets_manager.create_secret(Name="imagelake/x", SecretString='{"bearer_token": "token"}')
    monkeypatch.setenv("BUDGET_USD_PER_DAY", "0.007")
    Settings.load.cache_clear()
    feed = {"source": "x", "account": "NASA", "server": website.origin}
    website.put("/2/tweets/counts/recent", json.dumps({"meta": {"total_tweet_count": 7}}).encode())
    assert look(feed)["outlook"]["posts"] == 7
    assert look(feed)["outlook"] == facts()
    assert len(website.asked) == 1
    items = client("dynamodb").scan(TableName=BOOKMARKS)["Items"]
    spent = {item["feed_id"]["S"]: item["spent"]["N"] for item in items}
    assert spent[f"budget#{datetime.now(UTC).date()}"] == "5000"


def entries(*days: str, images: int = 1) -> bytes:
    """A JSON Feed with one entry a day; see https://www.jsonfeed.org/version/1.1/."""
    items = [
        {
            "id": day,
            "date_published": f"{day}T10:00:00Z",
            "attachments": [
                {"url": f"https://m.example/{day}-{n}.jpg", "mime_type": "image/jpeg"} for n in range(images)
            ],
        }
        for day in days
    ]
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "A site", "items": items}).encode()


@pytest.mark.parametrize(
    ("days", "images", "since", "bookmark", "expected"),
    [
        (["2026-03-31", "2026-03-30", "2026-03-29"], 1, None, None, (3, 0, 3)),
        (["2026-03-31", "2026-03-30"], 2, None, None, (2, 0, 4)),
        ([], 1, None, None, (0, 0, 0)),
        (["2026-03-31", "2026-03-30", "2026-03-29"], 2, None, "2026-03-30", (1, 2, 2)),
        (["2026-03-31"], 1, None, "2026-03-31", (0, 1, 0)),
        (["2026-03-31", "2026-03-30", "2026-03-29"], 1, "2026-03-30", "2026-03-31", (2, 1, 2)),
    ],
)
def test_entries_of_a_site_are_counted_and_not_stored(
    lake: Lake, website: WebServer, days: list[str], images: int, since: str | None, bookmark: str | None,
    expected: tuple[int, int, int],
) -> None:  # fmt: skip
    feed = {"source": "rss", "account": website.put("/feed.json", entries(*days, images=images))}
    if bookmark:
        lake.put_bookmark(entry(feed).feed_id, "{}", f"{bookmark}T10:00:00.000000Z")
    before = lake.stored()
    outlook = look({**feed, "since": since} if since else feed)["outlook"]
    assert (outlook["posts"], outlook["known_posts"], outlook["images"]) == expected
    assert lake.stored() == before
    tell({"feed": entry(feed).model_dump(), "status": "planned", "outlook": outlook})
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["known_posts"], found["images"], found["pages"]) == (*expected, 1)


def test_older_pages_of_a_site_are_a_guess(lake: Lake, website: WebServer) -> None:
    body = json.loads(entries("2026-03-31")) | {"next_url": f"{website.origin}/2.json"}
    feed = {"source": "rss", "account": website.put("/feed.json", json.dumps(body).encode())}
    assert look(feed)["outlook"] == facts()


def test_x_counts_only_the_posts_since_the_day(lake: Lake, website: WebServer, secrets_manager: Any) -> None:
    """X refuses a ``start_time`` of more than 7 days ago: https://docs.x.com/x-api/posts/counts/introduction."""
    secrets_manager.create_secret(Name="imagelake/x", SecretString='{"bearer_token": "token"}')
    website.put("/2/tweets/counts/recent", json.dumps({"meta": {"total_tweet_count": 7}}).encode())
    feed = {"source": "x", "account": "NASA", "server": website.origin}
    lake.put_bookmark(entry(feed).feed_id, "42", "2026-04-01T12:00:00.000000Z")
    today = datetime.now(UTC).date()
    for ago in (1, 3, 6):
        since = f"{today - timedelta(days=ago)}"
        assert look({**feed, "since": since})["outlook"]["posts"] == 7
        assert parse_qs(urlsplit(website.asked[-1]).query)["start_time"] == [f"{since}T00:00:00Z"]
    for ago in (8, 400):
        look({**feed, "since": f"{today - timedelta(days=ago)}"})
        assert "start_time" not in website.asked[-1]
    assert not any("since_id" in asked for asked in website.asked)


def test_backfill_that_is_done_has_nothing_to_read(lake: Lake) -> None:
    feed = {"source": "bluesky", "account": "bsky.app", "since": "2026-01-01"}
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    position: dict[str, Any] = {
        "backfill_cursor": {"S": ""},
        "backfill_reached_to": {"S": "2025-12-31T00:00:00.000000Z"},
    }
    position |= {"backfill_begun_at": {"S": now}, "backfill_is_at_end": {"BOOL": False}}
    item = {"feed_id": {"S": entry(feed).feed_id}, "newest_id": {"S": "1"}, "newest_at": {"S": now}, **position}
    client("dynamodb").put_item(TableName=BOOKMARKS, Item=item)
    outlook = look(feed)["outlook"]
    tell({"feed": entry(feed).model_dump(), "status": "planned", "outlook": outlook})
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["pages"], found["images"]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("feed", "path"), [("bluesky", "/xrpc/app.bsky.actor.getProfile"), ("mastodon", "/api/v1/accounts/lookup")]
)
def test_network_that_does_not_answer_is_named_at_once(
    lake: Lake, website: WebServer, feed: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of Fetch would be retried by the state machine for 94 s."""
    monkeypatch.setattr("imagelake.accounts.api._pause", lambda error, failed: 0.0)
    website.put(path, Answer(b"", 503))
    config = {"source": feed, "account": "bsky.app", "server": website.origin}
    result = look(config)
    assert result["status"] == "planned"
    answer = tell({"feed": entry(config).model_dump(), "status": "planned", "outlook": result["outlook"]})
    assert (answer["outcome"], answer["subject"][-8:]) == ("partial", "1 failed")
    (found,) = plan_of(lake)["feeds"]
    assert found["estimate"] is None
    assert found["problem"]["error"] == "SourceUnavailableError"
    assert f"{parse_feed(config).name}: " in found["problem"]["message"]


def test_problem_of_a_plan_has_the_name_in_place_of_the_id(lake: Lake) -> None:
    feed = entry("bluesky:bsky.app")
    cause = json.dumps({"errorMessage": f"{feed.feed_id}: public.api.bsky.app has no IP address"})
    tell(failed(feed=feed, cause=cause))
    (found,) = plan_of(lake)["feeds"]
    assert found["problem"]["message"] == "bluesky:bsky.app: public.api.bsky.app has no IP address"


def test_wrong_feed_fails_in_a_plan_too(lake: Lake) -> None:
    with pytest.raises(BadFeedError):
        look({"source": "facebook", "hashtag": "cats"})


# ---- The report ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "outlook", "posts", "pages", "usd", "basis"),
    [
        ("bluesky:bsky.app", {"posts": 741}, 741, 8, 0, "Bluesky was asked for all posts, also those without images"),
        (
            "bluesky:bsky.app",
            {"posts": 9_741},
            1_000,
            10,
            0,
            "Bluesky was asked for all posts, also those without images",
        ),
        ("bluesky:bsky.app", {}, 1_000, 10, 0, "a guess: as many posts as the limit"),
        ("bluesky:bsky.app", {"has_bookmark": True}, 100, 3, 0, "a guess: one page"),
        ("x:NASA", {"posts": 7, "has_bookmark": True}, 7, 1, 0.035, "X was asked for the new posts"),
        ({"source": "x", "account": "NASA", "cost_cap_usd": 0.2}, {"posts": 70}, 40, 1, 0.2, ""),
        # A search of X has pages of 10 to 100 posts, and a run does not cut the last one.
        ({"source": "x", "hashtag": "cats", "limit": 5}, {"posts": 400}, 10, 1, 0.05, "X was asked"),
        ({"source": "x", "hashtag": "cats", "limit": 105}, {"posts": 400}, 200, 2, 1.0, "X was asked"),
        ({"source": "x", "hashtag": "cats", "limit": 150}, {"posts": 400}, 200, 2, 1.0, "X was asked"),
        ({"source": "x", "hashtag": "cats", "limit": 150}, {"posts": 170}, 170, 2, 0.85, "X was asked"),
        ({"source": "x", "account": "NASA", "cost_cap_usd": 0.75}, {"posts": 400}, 100, 1, 0.5, ""),
        ({"source": "x", "account": "NASA", "form": "timeline", "cost_cap_usd": 0.04}, {}, 6, 1, 0.04, "a guess"),
        ({"source": "bluesky", "account": "a.example", "limit": 150}, {"posts": 400}, 200, 2, 0, "Bluesky was asked"),
        # The lookup of a handle costs 0.010 USD.
        ({"source": "x", "account": "NASA", "form": "timeline", "limit": 200}, {}, 200, 2, 1.01, "a guess"),
        ({"source": "x", "account": "12345", "form": "timeline", "limit": 200}, {}, 200, 2, 1.0, "a guess"),
        ({"source": "bluesky", "account": "a.example", "since": "2025-01-01", "limit": 30}, {}, 30, 1, 0, "a guess"),
        ("stream:posts", {}, 0, 1, 0, "the consumer of the stream"),
    ],
)
def test_estimate_of_a_feed(
    lake: Lake, config: Any, outlook: dict[str, Any], posts: int, pages: int, usd: float, basis: str
) -> None:
    tell(planned(config, **outlook))
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["pages"], found["network_usd"]) == (posts, pages, pytest.approx(usd))
    assert found["images"] == round(posts * IMAGES_PER_POST)
    assert found["basis"].startswith(basis)
    assert found["aws_usd"] > 0
    assert found["minutes"] > 0


def test_usual_number_is_that_of_the_weekday(lake: Lake) -> None:
    """2026-04-01 is a Wednesday."""
    wednesdays = {"2026-03-25": 30, "2026-03-18": 40, "2026-03-11": 500}
    key = object_keys.timeline(entry("bluesky:bsky.app").feed_id)
    lake.bucket.put_json(key, {"days": {**wednesdays, "2026-03-24": 1, "2026-03-23": 3}})
    tell(planned("bluesky:bsky.app", has_bookmark=True))
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["basis"]) == (40, "the usual number of this weekday in the last 3 weeks")
    lake.bucket.put_json(key, {"days": {"2026-03-24": 1, "2026-03-23": 3, "2026-03-22": 9}})
    tell(planned("bluesky:bsky.app", has_bookmark=True))
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["basis"]) == (3, "the usual number of the last 3 days")


@pytest.mark.parametrize(
    ("until", "started_at", "posts", "basis"),
    [
        ("2026-03-31 05:00:00", "2026-04-01T05:00:00Z", 240, "in the last 2 weeks"),
        ("2026-03-31 05:00:00", "2026-04-01T06:00:00Z", 240 * 25 / 24, "in the last 2 weeks"),
        ("2026-04-01 05:00:00", "2026-04-01T06:00:00Z", 10, "in the last 2 weeks, for the 1.0 h that no run has read"),
        ("2026-04-01 00:00:00", "2026-04-01T06:00:00Z", 60, "in the last 2 weeks, for the 6.0 h that no run has read"),
        (
            "2026-03-29 05:00:00",
            "2026-04-01T05:00:00Z",
            720,
            "in the last 2 weeks, for the 72.0 h that no run has read",
        ),
    ],
)
def test_usual_number_is_for_the_time_since_the_last_run(
    lake: Lake, until: str, started_at: str, posts: float, basis: str
) -> None:
    """The feed has 10 posts an hour. The day of the plan has a part of its posts so far."""
    days = {"2026-04-01": 50, "2026-03-25": 240, "2026-03-18": 240}
    lake.bucket.put_json(
        object_keys.timeline(entry("bluesky:bsky.app").feed_id), {"days": days, "until": until, "run_id": "earlier"}
    )
    tell(planned("bluesky:bsky.app", has_bookmark=True), started_at=started_at)
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["basis"].endswith(basis)) == (posts, True)


@pytest.mark.parametrize(
    ("config", "earlier", "now", "posts", "known", "images", "pages"),
    [
        # A first run that read 33 posts with 36 images, and a plan one minute later.
        ("bluesky:a.example", {}, "2026-03-31T05:01:00Z", 0, 33, 0, 1),
        # A day later: one post a day.
        ("bluesky:a.example", {}, "2026-04-01T05:00:00Z", 1, 33, 1, 1),
        ("bluesky:a.example", {}, "2026-04-10T05:00:00Z", 10, 33, 11, 1),
        ("bluesky:a.example", {"posts": 3_300, "images": 6_600}, "2026-04-01T05:00:00Z", 100, 200, 200, 3),
        # The limit is a limit for posts that are read again, too.
        ({"source": "bluesky", "account": "a.example", "limit": 20}, {}, "2026-03-31T05:01:00Z", 0, 19, 0, 1),
        # The second run on the day of the first one says nothing about a whole day.
        ("bluesky:a.example", {"days": {"2026-03-31": 0}}, "2026-04-03T05:00:00Z", 3, 33, 3, 1),
        # A run stopped at its limit, so the next one begins at the same bookmark, ten days earlier.
        (
            "bluesky:a.example",
            {
                "bookmark_at": "2026-03-21 05:00:00",
                "gaps": [{"start": "2026-03-21 05:00:00", "end": "2026-03-26 05:00:00", "reason": "posts"}],
            },
            "2026-03-31T05:00:00Z",
            12,
            33,
            13,
            1,
        ),
    ],
)
def test_plan_after_a_run_expects_what_came_since(
    lake: Lake, config: Any, earlier: dict[str, Any], now: str, posts: int, known: int, images: int, pages: int
) -> None:
    """The first run was on 2026-03-31 at 5 o'clock, and its 33 posts are of 33 days."""
    timeline = {"begin": "2026-02-26 05:00:00", "until": "2026-03-31 05:00:00", "posts": 33, "images": 36, **earlier}
    lake.bucket.put_json(object_keys.timeline(entry(config).feed_id), timeline)
    tell(planned(config, has_bookmark=True), started_at=now, dt=now[:10])
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["known_posts"], found["images"], found["pages"]) == (posts, known, images, pages)


@pytest.mark.parametrize(
    ("config", "outlook", "posts", "basis"),
    [
        # Half of the time back to that day is read.
        ({"source": "x", "account": "NASA"}, {"posts": 60, "reached_to": "2026-03-30T00:00:00Z"}, 30, "X was asked"),
        ({"source": "x", "account": "NASA"}, {"posts": 60}, 60, "X was asked for the posts since that day"),
        ({"source": "bluesky", "account": "a.example"}, {"posts": 741}, 40, "the posts per day so far"),
        ({"source": "bluesky", "account": "a.example"}, {"posts": 7}, 7, "the posts per day so far"),
        (
            {"source": "bluesky", "account": "a.example"},
            {"posts": 741, "reached_to": "2026-03-29T00:00:00Z"},
            10,
            "the posts per day so far",
        ),
    ],
)
def test_plan_of_a_backfill_counts_back_to_its_day(
    lake: Lake, config: dict[str, Any], outlook: dict[str, Any], posts: int, basis: str
) -> None:
    """Ten posts come each day, and the backfill goes back four days."""
    config = {**config, "since": "2026-03-28"}
    timeline = {"begin": "2026-03-31 00:00:00", "until": "2026-04-01 00:00:00", "posts": 10, "images": 10}
    lake.bucket.put_json(object_keys.timeline(entry(config).feed_id), timeline)
    tell(planned(config, **outlook), started_at="2026-04-01T00:00:00Z")
    found = plan_of(lake)["feeds"][0]["estimate"]
    assert (found["posts"], found["basis"][: len(basis)]) == (posts, basis)


def test_plan_is_told_to_whoever_asked_and_stores_its_report_only(
    lake: Lake, bus: Bus, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = tell(planned("bluesky:bsky.app", posts=741), planned("x:NASA", posts=100, usd=0.005))
    assert (answer["outcome"], answer["notify"], answer["error"]) == ("ok", True, None)
    assert answer["subject"] == "Imagelake 2026-04-01 plan: 841 new posts, 925 images, 0.51 USD"
    assert "nothing was fetched" in answer["message"]
    assert "x:NASA: 100 new posts on 1 page, 110 images; 0.50 USD to the network" in answer["message"]
    assert "The questions to the networks cost 0.005 USD." in answer["message"]
    assert lake.bucket.list("") == [object_keys.run_plan(RUN.run_id)]
    assert plan_of(lake)["totals"]["network_usd"] == 0.5
    assert bus.entries == []
    assert sent_metrics(capsys) == {}, "a plan is no good run"


def test_feed_that_cannot_be_read_is_named(lake: Lake) -> None:
    answer = tell(planned("bluesky:bsky.app", posts=7), failed(feed=OTHER_ENTRY), by_hand=False)
    assert (answer["outcome"], answer["notify"]) == ("partial", True)
    assert answer["subject"].endswith(", 1 failed")
    line = "mastodon:x.example#cats: it cannot be read: SourceUnavailableError: x.example did not answer"
    assert line in answer["message"]
