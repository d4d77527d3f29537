"""Ids of erased people: found where they are in other ids, and not mistaken for words, hosts and items of others."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

import erase_reports.app
import suppress.app
from erase_reports.names import without_ids
from imagelake.lake import object_keys
from imagelake.lake.erasure_found import FoundItem, FoundObjects
from imagelake.lake.suppression import SuppressionList, Suppressions, hash_of
from imagelake.run.erasure_models import Erasure
from imagelake.run.models import FeedEntry
from imagelake.run.posts import authors_in
from imagelake.sources import Feed, Reject, get_source
from imagelake.web.messages import Response
from report.app import handler as report
from tests.support.erasures import ERASURE_ID, request_erasure
from tests.support.factories import RUN, Context, event, failed, up_to_date
from tests.support.fake_lake import SUPPRESSION_KEY, SUPPRESSIONS, Lake
from tests.support.page_erasures import ALICE, BOB, CATS, X_URL, definition_key, erase, name, put_page, read_page, view

JSON = {"content-type": "application/json"}
BLOG = Feed.of("rss:https://blog.example/feed.xml")
BLOG_XML = b"""<?xml version="1.0"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel>
<title>b</title><link>https://blog.example/</link>
<item><guid>https://blog.example/1</guid>
<pubDate>Wed, 01 Apr 2026 10:00:00 GMT</pubDate><description>nobody</description></item>
<item><guid>https://blog.example/2</guid><dc:creator>Carol</dc:creator>
<pubDate>Wed, 01 Apr 2026 11:00:00 GMT</pubDate>
<description>carol</description><enclosure url="/c.jpg" type="image/jpeg" length="1"/></item></channel></rss>"""


def listing(*names: tuple[str, ...]) -> SuppressionList:
    return SuppressionList(b"key", frozenset(hash_of(b"key", *one) for one in names))


def erase_report() -> None:
    example = event("erase_reports", report={"run_id": RUN.run_id, "dt": RUN.dt})
    erase_reports.app.handler(example, cast(Any, Context()))


@pytest.mark.parametrize(
    ("source", "post_id", "authors"),
    [
        # https://atproto.com/specs/at-uri-scheme: the authority is the account.
        ("bluesky", f"at://{BOB}/app.bsky.feed.post/1", (BOB,)),
        ("stream", f"at://{BOB}/app.bsky.feed.post/1", (BOB,)),
        ("bluesky", "at://", ("",)),
        # https://developers.facebook.com/docs/graph-api/reference/page-post/: {page-id}_{post-id}
        ("facebook", "123_456", ("123",)),
        ("facebook", "123", ()),
        ("x", "123_456", ()),
        ("rss", "https://blog.example/1", ()),
        ("rss", "tag_of_a_blog", ()),
    ],
)
def test_authors_in_ids_of_posts(source: str, post_id: str, authors: tuple[str, ...]) -> None:
    assert authors_in(source, post_id) == authors


@pytest.mark.slow
@pytest.mark.parametrize("feed", [ALICE, CATS])
def test_rejected_post_without_an_author_leaves_the_page(lake: Lake, feed: Feed) -> None:
    """Its URI has the DID of its author."""
    request_erasure(lake, authors=[name("bluesky", BOB)])
    lost = {"uri": f"at://{BOB}/app.bsky.feed.post/2", "record": {"text": "lost words"}}
    posts = [view("1"), lost]
    body = {"posts": posts} if feed is CATS else {"feed": [{"post": post} for post in posts]}
    put_page(lake, feed, Response(200, JSON, json.dumps(body).encode(), "https://public.api.bsky.app/"))
    erase("bluesky")
    left, page = read_page(lake, feed)
    assert b"lost words" not in left
    assert page is not None
    assert (len(page.posts), page.rejects) == (1, [])


@pytest.mark.parametrize(
    ("source", "post_id", "raw"),
    [
        ("bluesky", f"at://{BOB}/x/1", None),
        ("facebook", "1234567_1", {"id": "1234567_1"}),
        ("commons", "7", {"imageinfo": [{"user": "failed"}]}),
        ("x", "7", {"author_id": "12"}),
        ("instagram", "7", {"username": "bob"}),
        ("facebook", "7", {"from": {"id": "4", "name": "Mark"}}),
    ],
)
def test_rejects_are_found_by_their_author(source: str, post_id: str, raw: Any) -> None:
    ids = {"bluesky": BOB, "facebook": "1234567", "commons": "failed", "x": "12", "instagram": "bob"}
    author = "4" if post_id == "7" and source == "facebook" else ids[source]
    assert listing(("author", source, author)).covers(source, Reject(post_id, "", raw))
    assert not listing(("author", source, f"{author}5")).covers(source, Reject(post_id, "", raw))


@pytest.mark.parametrize("author", ["failed", "404", "image", "7"])
def test_words_of_a_reject_are_no_authors(author: str) -> None:
    raw = {"user": "Carol", "size": 404, "mime": "failed", "kind": ["image", 7], "deep": {"width": "404"}}
    assert not listing(("author", "commons", author)).covers("commons", Reject("7", "", raw))


def test_rejected_record_of_a_stream_is_found_by_its_uri() -> None:
    record = {"schema": "imagelake.raw/1", "source": "bluesky", "raw": {"post": {"uri": f"at://{BOB}/x/1"}}}
    page = get_source("stream").parse(
        Feed(source="stream", account="stream"), Response(200, {}, json.dumps([record]).encode(), "stage:")
    )
    assert [one.author_ids for one in page.rejects] == [(BOB,)]


# ---- A host is the author of the posts without a name ----------------------------------------------------------------


def test_other_authors_of_a_host_keep_their_data(lake: Lake) -> None:
    request_erasure(lake, authors=[name("rss", "blog.example")])
    response = Response(200, {"content-type": "application/rss+xml"}, BLOG_XML, "https://blog.example/feed.xml")
    put_page(lake, BLOG, response)
    carol = get_source("rss").parse(BLOG, response).posts[1]
    rejects, failures = object_keys.rejects(RUN, "rss", BLOG.feed_id), object_keys.failures(RUN.run_id, BLOG.feed_id)
    line = {"kind": "media", "post_id": carol.post_id, "author_ids": [carol.author_id], "reason": "video", "raw": {}}
    lake.bucket.put_lines(rejects, [line])
    lake.bucket.put_lines(failures, [{"media_id": "rss/x", "feed": BLOG.name, "post_id": carol.post_id}])
    erase("rss")
    erase_report()
    assert (len(lake.bucket.get_lines(rejects)), len(lake.bucket.get_lines(failures))) == (1, 1)
    page = read_page(lake, BLOG)[1]
    assert page is not None
    assert page.posts == [carol]


@pytest.mark.slow
@pytest.mark.parametrize("author", ["blog.example", "failed", "404", "ok", "up_to_date", "SourceUnavailableError"])
def test_report_keeps_its_own_words(lake: Lake, author: str) -> None:
    """``./imagelake retry`` reads the definitions of the feeds."""
    sources = ("rss", "commons")
    request_erasure(lake, authors=[name(source, author) for source in sources])
    blog = FeedEntry(feed_id=BLOG.feed_id, name=BLOG.name, config=BLOG.name)
    cats = Feed.of("commons:Category:Cats")
    files = FeedEntry(feed_id=cats.feed_id, name=cats.name, config={"source": "commons", "account": "Category:Cats"})
    warnings = [f"{BLOG.name}: 3 posts are older than the bookmark"]
    results = [up_to_date(blog, warnings=warnings), failed(feed=files, cause='{"errorMessage": "it answered 404"}')]
    report(event("report", results=results), cast(Any, Context()))
    before = [lake.bucket.get(make(RUN.run_id)) for make in (object_keys.run_summary, object_keys.html_report)]
    erase_report()
    after = [lake.bucket.get(make(RUN.run_id)) for make in (object_keys.run_summary, object_keys.html_report)]
    assert after == before


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it answered 404 and failed", "it answered 404 and failed"),
        ("https://blog.example/feed.xml: it is late", "https://blog.example/feed.xml: it is late"),
        ("123456_7 and 123456", "erased_7 and erased"),
        ("author 1234567890123456789.", "author erased."),
    ],
)
def test_words_in_messages(text: str, expected: str) -> None:
    ids = ("404", "failed", "blog.example", "123456", "1234567890123456789")
    assert without_ids(text, {"facebook"}, listing(*(("author", "facebook", one) for one in ids))) == expected


# ---- Media items that two posts show ---------------------------------------------------------------------------------


def tweet(post_id: str, author: str, *keys: str) -> dict[str, Any]:
    media = {"media_keys": list(keys)}
    at = "2026-04-01T10:00:00.000Z"
    return {"id": post_id, "author_id": author, "text": f"words of {author}", "created_at": at, "attachments": media}


def of_execution() -> Erasure:
    return Erasure.model_validate(event("suppress")["erasure"])


@pytest.mark.parametrize(("with_copies", "left"), [(False, 1), (True, 0)])
def test_item_of_an_erased_post_blocks_no_other_post(lake: Lake, with_copies: bool, left: int) -> None:
    """X lets people attach media of others: https://docs.x.com/x-api/fundamentals/data-dictionary"""
    request_erasure(lake, posts=[name("x", "1001", post_id="11")])
    erasure = of_execution()
    assert erasure.erasure_id == ERASURE_ID
    found = FoundObjects(lake.bucket, ERASURE_ID, erasure.execution_arn)
    items = {"x/3_1": FoundItem(key="lake/images/a.parquet", with_copies=with_copies)}
    found.write(found.read().model_copy(update={"items": items}))
    suppress.app.handler({"erasure": erasure.model_dump(mode="json"), "what": "found"}, cast(Any, Context()))
    users = [{"id": one, "username": f"u{one}", "name": one} for one in ("1001", "1002")]
    media = [
        {"media_key": key, "type": "photo", "url": f"https://pbs.twimg.com/media/{key}.jpg"} for key in ("3_1", "3_2")
    ]
    body = {
        "data": [tweet("11", "1001", "3_1"), tweet("12", "1002", "3_1", "3_2")],
        "includes": {"users": users, "media": media},
        "meta": {"newest_id": "12", "result_count": 2},
    }
    feed = Feed.of("x:#cats")
    put_page(lake, feed, Response(200, JSON, json.dumps(body).encode(), X_URL))
    erase("x")
    page = read_page(lake, feed)[1]
    assert (len(page.posts) if page else 0) == left
    assert Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read().has_media("x/3_1")


# ---- An account whose posts went first -------------------------------------------------------------------------------


@pytest.mark.parametrize("posts", [1, 2])
def test_account_is_known_after_its_posts_were_erased_one_by_one(lake: Lake, posts: int) -> None:
    feed = Feed.of("bluesky:bob.example")
    views = [{"post": view(str(number), BOB)} for number in range(posts)]
    put_page(lake, feed, Response(200, JSON, json.dumps({"feed": views}).encode(), "https://public.api.bsky.app/"))
    for number in range(posts):
        post_id = f"at://{BOB}/app.bsky.feed.post/{number}"
        request_erasure(lake, posts=[name("bluesky", BOB, post_id=post_id)])
        erase("bluesky")
    assert lake.bucket.exists(definition_key(feed))
    request_erasure(lake, authors=[name("bluesky", BOB)])
    erase("bluesky")
    assert not lake.bucket.exists(definition_key(feed))
    assert Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read().has_feed(feed.feed_id)


@pytest.mark.parametrize("text", ["bluesky:bob.example", "bluesky:#cats"])
def test_feed_of_two_authors_is_no_account_of_one(lake: Lake, text: str) -> None:
    feed = Feed.of(text)
    views = [view("1", BOB), view("2")]
    body = {"feed": [{"post": one} for one in views]} if feed.account else {"posts": views}
    put_page(lake, feed, Response(200, JSON, json.dumps(body).encode(), "https://public.api.bsky.app/"))
    request_erasure(lake, posts=[name("bluesky", BOB, post_id=f"at://{BOB}/app.bsky.feed.post/1")])
    erase("bluesky")
    request_erasure(lake, authors=[name("bluesky", BOB)])
    erase("bluesky")
    assert lake.bucket.exists(definition_key(feed))
    assert not Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read().has_feed(feed.feed_id)
