"""Erase Pages: single posts leave the pages, rejects and stream records of a day, and everything else stays."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any, cast

import pytest

import erase_pages.raw_pages
from erase_pages.app import handler
from fetch.bookmarks import FeedPosition
from fetch.pager import Pager
from imagelake.lake import object_keys
from imagelake.lake.erased_objects import ErasedObjects
from imagelake.lake.suppression import SuppressionList, Suppressions
from imagelake.run.errors import SourceChangedError
from imagelake.run.models import Progress
from imagelake.run.posts import Post
from imagelake.sources import Feed, Page, Reject, Source, get_source, raw_pages
from imagelake.web.messages import Request, Response
from tests.support import feed_bodies
from tests.support.erasures import ERASURE_ID, Killed, killed_at, request_erasure, restore, saved, versions
from tests.support.factories import NO_BUDGETS, RUN, Context, event
from tests.support.fake_lake import SUPPRESSION_KEY, SUPPRESSIONS, Lake
from tests.support.listings import DID, LISTINGS, Entry
from tests.support.page_erasures import (
    ACCOUNT_URL,
    ALICE,
    BOB,
    CATS,
    SEARCH,
    X_URL,
    definition_key,
    erase,
    name,
    page_key,
    put_page,
    read_page,
    search,
    view,
)

# ---- Raw pages -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_example_event(lake: Lake) -> None:
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert handler(event("erase_pages"), cast(Any, Context())) == {"changed": 0, "erased": 0}


@pytest.mark.slow
@pytest.mark.parametrize("text", LISTINGS)
def test_one_post_leaves_the_pages_of_every_network(lake: Lake, text: str) -> None:
    feed = Feed.of(text)
    listing = LISTINGS[text](feed, [Entry(place) for place in range(1, 4)])
    source = get_source(feed.source)

    class Reader:
        warnings = ()

        def read(self, request: Request) -> tuple[Response, Page]:
            response = listing.answer(request)
            return response, source.parse(feed, response)

    def fetch() -> int:
        pager = Pager(source, feed, feed.feed_id, RUN, cast(Any, Reader()), lake.bucket, SuppressionList(), NO_BUDGETS)
        return pager.read(Progress(), FeedPosition(), lambda: 300.0).pages

    pages = range(fetch())
    before = [read_page(lake, feed, number) for number in pages]
    posts = [post for _, page in before if page for post in page.posts]
    request_erasure(lake, posts=[name(source.name, posts[1].author_id, post_id=posts[1].post_id)])
    fetch()
    assert erase(source.name) == {"changed": 1, "erased": 1}
    after = [read_page(lake, feed, number) for number in pages]
    assert [post for _, page in after if page for post in page.posts] == [posts[0], posts[2]]
    assert sum(removed(json.loads(one), json.loads(two)) for (one, _), (two, _) in zip(before, after, strict=True)) == 1
    (note,) = ErasedObjects(lake.bucket, ERASURE_ID).notes()
    assert len(versions()[note.key]) == 1, "older versions are deleted"
    assert erase(source.name) == {"changed": 0, "erased": 0}


def removed(before: Any, after: Any) -> int:
    """Count the elements that a list inside a value of JSON has lost; everything else is equal."""
    if isinstance(before, list) and before != after:
        left = [one for one in before if one in after]
        assert left == after
        return len(before) - len(after)
    if isinstance(before, dict):
        assert before.keys() == after.keys()
        return sum(removed(before[key], after[key]) for key in before)
    assert before == after
    return 0


def tweet(post_id: str, author: str = "783214") -> dict[str, Any]:
    return {"id": post_id, "author_id": author, "text": f"text of {post_id}", "created_at": "2026-04-01T09:00:00Z",
            "attachments": {"media_keys": [f"3_{post_id}"]}}  # fmt: skip


def tweets(*posts: dict[str, Any]) -> bytes:
    media = [{"media_key": f"3_{post['id']}", "type": "photo", "alt_text": f"alt of {post['id']}"} for post in posts]
    users = [{"id": post["author_id"], "name": f"name of {post['author_id']}"} for post in posts]
    return json.dumps({"data": posts, "includes": {"media": media, "users": users}, "meta": {}}).encode()


def test_page_of_x_loses_what_only_the_post_refers_to(lake: Lake) -> None:
    """Media and authors are beside the posts: https://docs.x.com/x-api/fundamentals/expansions"""
    feed = Feed.of("x:#cats")
    put_page(lake, feed, Response(200, {}, tweets(tweet("1001"), tweet("1002", "8")), X_URL))
    request_erasure(lake, authors=[name("x", "8")])
    assert erase("x") == {"changed": 1, "erased": 1}
    assert json.loads(read_page(lake, feed)[0]) == json.loads(tweets(tweet("1001")))


def test_page_of_a_stream(lake: Lake) -> None:
    feed = Feed.of({"source": "stream", "account": "posts", "window": "w-1"})
    put_page(lake, feed, Response(200, {}, json.dumps([record("ann"), record("bob")]).encode(), "stage:w-1"))
    request_erasure(lake, posts=[name("stream", "bob", post_id="1")])
    assert erase("stream") == {"changed": 1, "erased": 1}
    assert json.loads(read_page(lake, feed)[0]) == [record("ann")]


def test_post_of_xml_is_removed_from_the_text(lake: Lake) -> None:
    feed = feed_bodies.FEED
    items = [feed_bodies.item(f"<title>{one}</title><author>{one}</author>", guid=one) for one in ("ann", "bob")]
    put_page(lake, feed, feed_bodies.response(feed_bodies.rss(*items)))
    request_erasure(lake, authors=[name("rss", "site.example/bob")])
    assert erase("rss")["erased"] == 1
    body, page = read_page(lake, feed)
    assert page is not None
    assert [post.post_id for post in page.posts] == ["ann"]
    assert b"bob" not in body


def test_all_posts_of_an_author_go_also_those_without_an_image_and_reposts(lake: Lake) -> None:
    image = {"$type": "app.bsky.embed.images#view", "images": [{"fullsize": "https://cdn.bsky.app/a", "alt": "secret"}]}
    quote = view("3quote", record={"text": "a quotation of somebody"})
    pages = [search(view("3a", BOB, embed=image), view("3b"), view("3c", BOB)), search(quote, view("bad", BOB, uri=7))]
    for number, response in enumerate(pages):
        put_page(lake, CATS, response, number)
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert erase("bluesky") == {"changed": 2, "erased": 3}
    for number, left in enumerate((["3b"], ["3quote"])):
        body, page = read_page(lake, CATS, number)
        assert page is not None
        assert [post.post_id.rpartition("/")[2] for post in page.posts] == left
        assert BOB.encode() not in body


def test_repost_by_the_account_of_a_feed_goes_and_the_feed_is_not_that_of_the_author(lake: Lake) -> None:
    reposted = {"post": view("3r", BOB), "reason": {"$type": "app.bsky.feed.defs#reasonRepost", "by": {"did": DID}}}
    feed = ALICE
    body = json.dumps({"feed": [reposted, {"post": view("3a")}]}).encode()
    put_page(lake, feed, Response(200, {}, body, ACCOUNT_URL))
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert erase("bluesky") == {"changed": 1, "erased": 1}
    left, page = read_page(lake, feed)
    assert page is not None
    assert (len(page.posts), page.rejects, BOB.encode() in left) == (1, [], False)
    assert lake.bucket.get_with_version(page_key(feed))[1].metadata["url"] == ACCOUNT_URL
    assert not listed_feed(feed)


def listed_feed(feed: Feed) -> bool:
    return Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read().has_feed(feed.feed_id)


def test_pages_of_others_stay_byte_for_byte_in_all_versions(lake: Lake) -> None:
    other = CATS.model_copy(update={"hashtag": "dogs"})
    put_page(lake, CATS, search(view("3a", BOB)))
    put_page(lake, other, search(view("3b")))
    put_page(lake, other, search(), 1)
    next_day = RUN.model_copy(update={"dt": "2026-04-02"})
    put_page(lake, CATS, search(view("3a", BOB)), run=next_day)
    request_erasure(lake, authors=[name("bluesky", BOB), name("x", DID)])
    before = versions()
    assert erase("bluesky") == {"changed": 1, "erased": 1}
    after = versions()
    assert read_page(lake, CATS) == (b"", None)
    assert {key for key in before if before[key] != after[key]} == {page_key(CATS)}


def test_feed_of_the_author_loses_its_name_everywhere(lake: Lake) -> None:
    """A lookup and an empty page name the account in their URL only; the definition of the feed names it too."""
    feed = Feed.of("x:CatCafe")
    lookup = Response(
        200, {}, b'{"data": {"id": "783214", "username": "CatCafe"}}', "https://api.x.com/2/users/by/username/CatCafe"
    )
    empty = Response(200, {}, b'{"meta": {"result_count": 0}}', X_URL)
    other_day = RUN.model_copy(update={"run_id": "next"})
    put_page(lake, feed, lookup)
    put_page(lake, feed, Response(200, {}, tweets(tweet("1001")), X_URL), 1)
    put_page(lake, feed, empty, 2)
    put_page(lake, feed, empty, run=other_day)
    request_erasure(lake, authors=[name("x", "783214")])
    erase("x")
    assert listed_feed(feed)
    erase("x")
    assert [read_page(lake, feed, number)[1] for number in range(3)] == [None] * 3
    assert read_page(lake, feed, run=other_day)[1] is None
    assert [key for key in versions("raw/") if key.endswith("/" + feed.feed_id + ".json")] == []


@pytest.mark.slow
@pytest.mark.parametrize("entry", [{"post": {"record": {"text": "own words"}}}, {"text": "own words"}, ["own words"]])
def test_entries_that_are_no_posts_leave_the_feed_of_the_author(lake: Lake, entry: Any) -> None:
    """An entry of Instagram's own listing has no author: it is in the feed of the account that lists it.

    https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference/ig-user/media
    """
    put_page(lake, ALICE, Response(200, {}, json.dumps({"feed": [{"post": view("3a")}, entry]}).encode(), ACCOUNT_URL))
    put_page(lake, CATS, search(view("3b", BOB)))
    line = {"kind": "post", "post_id": None, "reason": "no post", "raw": entry, "author_ids": []}
    for feed in (ALICE, CATS):
        lake.bucket.put_lines(object_keys.rejects(RUN, "bluesky", feed.feed_id), [line])
    request_erasure(lake, authors=[name("bluesky", DID)])
    assert erase("bluesky") == {"changed": 3, "erased": 3}
    assert read_page(lake, ALICE) == (b"", None)
    assert not lake.bucket.exists(definition_key(ALICE))
    assert lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ALICE.feed_id)) == []
    assert lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", CATS.feed_id)) == [line]


def test_single_post_leaves_the_name_of_its_feed(lake: Lake) -> None:
    feed = ALICE
    body = json.dumps({"feed": [{"post": view("3a")}, {"post": view("3b")}]}).encode()
    put_page(lake, feed, Response(200, {}, body, ACCOUNT_URL))
    request_erasure(lake, posts=[name("bluesky", DID, post_id=f"at://{DID}/app.bsky.feed.post/3a")])
    assert erase("bluesky") == {"changed": 1, "erased": 1}
    assert lake.bucket.get_with_version(page_key(feed))[1].metadata["url"] == ACCOUNT_URL
    assert not listed_feed(feed)


def test_category_with_files_of_one_person_keeps_its_name(lake: Lake) -> None:
    feed = Feed.of("commons:Cats")
    listing = LISTINGS["commons:Cats"](feed, [Entry(1)])
    put_page(lake, feed, listing.answer(get_source("commons").request(feed, None, "gcmdir=older")))
    request_erasure(lake, authors=[name("commons", "Ann")])
    assert erase("commons") == {"changed": 1, "erased": 1}
    assert lake.bucket.exists(definition_key(feed))
    assert not listed_feed(feed)


def test_url_with_the_id_of_an_author_is_dropped(lake: Lake) -> None:
    response = Response(200, {}, search(view("3a")).body, f"{SEARCH}&author={BOB}&limit=1")
    put_page(lake, CATS, response)
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert erase("bluesky") == {"changed": 1, "erased": 0}
    body, version = lake.bucket.get_with_version(page_key(CATS))
    assert (gzip.decompress(body), version.metadata["url"]) == (response.body, "")


# ---- Pages that cannot be parsed -------------------------------------------------------------------------------------


def reasons(lake: Lake) -> list[str]:
    return [note.reason for note in ErasedObjects(lake.bucket, ERASURE_ID).notes()]


@pytest.mark.parametrize(
    "body",
    [
        f'{{"posts": 7, "by": "{BOB}"}}'.encode(),
        f'{{"posts": 7, "uri": "at:\\/\\/{BOB}\\/app.bsky.feed.post\\/3a"}}'.encode(),
        f"<html>{BOB}</html>".encode(),
        f"<html>{BOB}</html>".encode("utf-16"),
    ],
)
def test_page_that_cannot_be_parsed_goes_if_it_names_the_author(lake: Lake, body: bytes) -> None:
    put_page(lake, CATS, Response(200, {}, body, SEARCH))
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert erase("bluesky") == {"changed": 1, "erased": 0}
    assert read_page(lake, CATS) == (b"", None)
    assert reasons(lake) == ["it cannot be parsed"]


@pytest.mark.parametrize("body", [b'{"posts": 7}', f'{{"by": "{BOB}x"}}'.encode(), b"<html>"])
def test_page_that_cannot_be_parsed_stays_if_it_names_nobody(lake: Lake, body: bytes) -> None:
    put_page(lake, CATS, Response(200, {}, body, SEARCH))
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert erase("bluesky") == {"changed": 0, "erased": 0}


def test_page_without_the_definition_of_its_feed_goes_if_it_names_the_author(lake: Lake) -> None:
    put_page(lake, CATS, search(view("3a", BOB), view("3b")))
    put_page(lake, CATS, search(view("3c")), 1)
    lake.bucket.delete(definition_key(CATS))
    request_erasure(lake, posts=[name("bluesky", BOB, post_id=f"at://{BOB}/app.bsky.feed.post/3a")])
    assert erase("bluesky") == {"changed": 1, "erased": 0}
    assert reasons(lake) == ["it cannot be parsed"]


def test_object_that_cannot_be_unpacked_goes(lake: Lake) -> None:
    put_page(lake, CATS, search(view("3a")))
    lake.bucket.put(page_key(CATS), b"no gzip", "application/gzip", {"url": SEARCH, "status": "200"})
    request_erasure(lake, authors=[name("bluesky", BOB)])
    assert erase("bluesky") == {"changed": 1, "erased": 0}
    assert reasons(lake) == ["it cannot be unpacked"]


@pytest.mark.parametrize("error", [SourceChangedError("another post would change"), KeyError("posts")])
def test_page_from_which_a_post_cannot_be_removed_goes(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    put_page(lake, CATS, search(view("3a", BOB), view("3b")))
    request_erasure(lake, authors=[name("bluesky", BOB)])
    monkeypatch.setattr(raw_pages, "remove_suppressed", fail)
    assert erase("bluesky") == {"changed": 1, "erased": 1}
    assert read_page(lake, CATS) == (b"", None)
    assert reasons(lake) == ["its other posts would change"]


# ---- Rejects ---------------------------------------------------------------------------------------------------------


def put_rejects(lake: Lake, source: str, *lines: Any, feed_id: str = "feed") -> str:
    key = object_keys.rejects(RUN, source, feed_id)
    lake.bucket.put_lines(key, list(lines))
    return key


def line(post_id: str | None, raw: Any, *author_ids: str, kind: str = "post") -> dict[str, Any]:
    return {"kind": kind, "post_id": post_id, "author_ids": author_ids, "reason": "no reason", "raw": raw}


BOBS_URI = f"at://{BOB}/app.bsky.feed.post/3a"
BOBS = [
    line(BOBS_URI, {"post": {"author": {"did": BOB}}}),
    line("3", {"reason": {"by": {"did": BOB}}}),
    line(BOBS_URI, None),
    line("3", {"media_id": "bluesky/x/3/0", "alt_text": "secret"}, BOB, kind="media"),
    line(None, BOB),
]
ANNS = [
    line(f"at://{DID}/app.bsky.feed.post/3a", {"post": {"author": {"did": DID}}, "text": f"about {BOB}"}),
    line("3", {"media_id": "bluesky/x/4/0"}, DID, kind="media"),
    line(None, [1, None, {"a": "\ud800"}]),
    line(None, None),
]


def test_lines_of_rejects_of_an_author_go_and_all_others_stay(lake: Lake) -> None:
    request_erasure(lake, authors=[name("bluesky", BOB)])
    key = put_rejects(lake, "bluesky", *(one for pair in zip(BOBS, [*ANNS, None], strict=True) for one in pair if one))
    other = put_rejects(lake, "x", *BOBS)
    assert erase("bluesky") == {"changed": 1, "erased": 5}
    kept = lake.bucket.get(key)
    assert put_rejects(lake, "bluesky", *ANNS, feed_id="same") != key
    assert kept == lake.bucket.get(object_keys.rejects(RUN, "bluesky", "same"))
    assert len(versions()[key]) == 1
    assert len(lake.bucket.get_lines(other)) == 5


@pytest.mark.parametrize(
    ("erased", "gone"),
    [
        ({"posts": [name("bluesky", BOB, post_id="3")]}, [1, 3]),
        ({"posts": [name("bluesky", BOB, post_id=BOBS_URI)]}, [0, 2]),
        ({"media_ids": ["bluesky/x/3/0"]}, [3]),
        ({"posts": [name("bluesky", DID, post_id="3")]}, []),
    ],
)
def test_lines_of_rejects_by_post_and_by_media_item(lake: Lake, erased: dict[str, Any], gone: list[int]) -> None:
    request_erasure(lake, **erased)
    key = put_rejects(lake, "bluesky", *BOBS)
    assert erase("bluesky")["erased"] == len(gone)
    assert len(lake.bucket.get_lines(key)) == 5 - len(gone)


def test_rejects_of_mastodon_are_found_by_the_full_handle(lake: Lake) -> None:
    request_erasure(lake, authors=[name("mastodon", "bob@server.example")])
    put_rejects(lake, "mastodon", line("1", {"account": {"acct": "Bob"}}, "bob@server.example"))
    assert erase("mastodon") == {"changed": 1, "erased": 1}


def test_line_that_is_no_json_goes_if_it_names_the_author(lake: Lake) -> None:
    request_erasure(lake, authors=[name("bluesky", BOB)])
    key = object_keys.rejects(RUN, "bluesky", "feed")
    lake.bucket.put(key, f'{{"by": "{BOB}\n{{"by"\n[7]\n'.encode(), "text/plain")
    assert erase("bluesky") == {"changed": 1, "erased": 1}
    assert lake.bucket.get(key) == b'{"by"\n[7]\n'


def test_record_with_damaged_base64_goes_if_it_names_the_author(lake: Lake) -> None:
    request_erasure(lake, authors=[name("bluesky", BOB)])
    lines = [line(None, {"data_base64": "a", "by": by}, kind="record") for by in (BOB, DID)]
    put_rejects(lake, "bluesky", *lines)
    assert erase("bluesky") == {"changed": 1, "erased": 1}


# ---- The stream ------------------------------------------------------------------------------------------------------


def record(author: str, post_id: str = "1") -> dict[str, Any]:
    post = {"post_id": post_id, "author_id": author, "posted_at": "2026-04-01T12:00:00Z", "media": []}
    return {"schema": "imagelake.post/1", "post": post}


RAW = {"schema": "imagelake.raw/1", "source": "mastodon", "raw": {"account": {"acct": "b"}}}


def encoded(data: Any) -> str:
    return base64.b64encode(data if isinstance(data, bytes) else json.dumps(data).encode()).decode()


def test_window_loses_the_records_of_an_author_and_stays_a_list(lake: Lake) -> None:
    request_erasure(lake, authors=[name("stream", "bob")])
    keys = [object_keys.staged_window(f"stream-{RUN.dt}-{number}") for number in range(3)]
    other_day = object_keys.staged_window("stream-2026-04-02-0")
    for key, authors in zip([*keys, other_day], (["bob", "ann"], ["bob"], ["ann"], ["bob"]), strict=True):
        lake.bucket.put_json(key, [record(author) for author in authors])
    assert erase("stream") == {"changed": 2, "erased": 2}
    assert [lake.bucket.get_json(key) for key in keys] == [[record("ann")], [], [record("ann")]]
    assert lake.bucket.get_json(other_day) == [record("bob")]
    assert erase("bluesky") == {"changed": 0, "erased": 0}


@pytest.mark.parametrize(
    ("data", "erased"),
    [
        (record("bob") | {"more": 1}, 1),
        (record("ann") | {"more": 1}, 0),
        (b'{"author_id": "bob"', 1),
        (b"\xff\xfe about bobby", 0),
        (RAW | {"server": "S.example"}, 1),
        (RAW | {"server": "t.example"}, 0),
        (RAW | {"server": "no server"}, 0),
    ],
)  # fmt: skip
def test_rejected_records(lake: Lake, data: Any, erased: int) -> None:
    request_erasure(lake, authors=[name("stream", "bob"), name("stream", "b@s.example")])
    raw = {"sequence_number": "4", "partition_key": "p", "arrived_at": 1.0, "data_base64": encoded(data)}
    key = f"rejects/source=stream/dt={RUN.dt}/window.jsonl"
    lake.bucket.put_lines(key, [{"kind": "record", "post_id": None, "reason": "no reason", "raw": raw}])
    assert erase("stream")["erased"] == erased


@pytest.mark.parametrize("as_text", [True, False])
def test_discarded_records(lake: Lake, as_text: bool) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html has the form and the keys."""
    request_erasure(lake, authors=[name("stream", "bob")])

    def note(*data: Any) -> dict[str, Any]:
        records = [{"kinesis": {"sequenceNumber": str(n), "data": encoded(one)}} for n, one in enumerate(data)]
        payload = {"Records": records}
        return {"requestContext": {"condition": "RetryAttemptsExhausted"},
                "payload": json.dumps(payload) if as_text else payload}  # fmt: skip

    folder = "aws/lambda/mapping/shardId-0/2026/04/01/2026-04-01T01.02.03-"
    both, alone, others, next_day = f"{folder}1", f"{folder}2", f"{folder}3", folder.replace("/04/01/", "/04/02/")
    for key in (both, next_day):
        lake.bucket.put_json(key, note(record("ann"), record("bob"), b"of bob", b"of ann"))
    lake.bucket.put_json(alone, note(record("bob")))
    lake.bucket.put_json(others, note(record("ann")))
    lake.bucket.put(f"{folder}4", b"no JSON about bob", "text/plain")
    lake.bucket.put(f"{folder}5", b"no JSON about ann", "text/plain")
    assert erase("stream") == {"changed": 3, "erased": 3}
    left = lake.bucket.get_json(both)
    payload = json.loads(left["payload"]) if as_text else left["payload"]
    assert [one["kinesis"]["sequenceNumber"] for one in payload["Records"]] == ["0", "3"]
    assert lake.bucket.list("aws/") == [both, others, f"{folder}5", next_day]


# ---- Killed, twice, at once ------------------------------------------------------------------------------------------


def fill(lake: Lake) -> None:
    """Store what the tests below erase: two pages, the feed of an author, and rejects."""
    request_erasure(lake, authors=[name("bluesky", BOB)])
    for _ in range(2):
        put_page(lake, CATS, search(view("3a", BOB), view("3b")))
    account = Feed.of("bluesky:bob.example")
    put_page(lake, account, Response(200, {}, json.dumps({"feed": [{"post": view("3c", BOB)}]}).encode(), SEARCH))
    put_rejects(lake, "bluesky", *BOBS, *ANNS)


def notes(lake: Lake) -> Any:
    found = ErasedObjects(lake.bucket, ERASURE_ID).notes()
    return sorted((one.key, one.items, one.sha256_before, one.sha256_after, len(one.versions)) for one in found)


@pytest.mark.full
@pytest.mark.exhaustive
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_call(lake: Lake, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    check_killed(lake, monkeypatch, after, step=1)


@pytest.mark.slow
def test_killed_at_some_calls(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    check_killed(lake, monkeypatch, after=True, step=9)


def check_killed(lake: Lake, monkeypatch: pytest.MonkeyPatch, after: bool, step: int) -> None:
    fill(lake)
    state = saved()
    restore(state)
    with killed_at(monkeypatch, 10_000, after=after) as made:
        erase("bluesky")
    calls, expected = len(made), (versions(), notes(lake))
    for stored in versions("raw/").values():
        assert [
            body for body, _ in stored if BOB.encode() in (gzip.decompress(body) if body[:1] == b"\x1f" else body)
        ] == []
    for number in range(0, calls, step):
        restore(state)
        with pytest.raises(Killed), killed_at(monkeypatch, number, after=after):
            erase("bluesky")
        erase("bluesky")
        assert (versions(), notes(lake)) == expected, number


def test_two_erasures_of_one_page_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    put_page(lake, CATS, search(view("3a", BOB), view("3b"), view("3c")))
    request_erasure(lake, authors=[name("bluesky", BOB)])
    real, others = raw_pages.remove_suppressed, ["second"]

    def remove(source: Source, feed: Feed, response: Response, page: Page, listed: Any) -> tuple[Response, list[Any]]:
        if others:
            other = others.pop()
            request_erasure(lake, other, posts=[name("bluesky", DID, post_id=f"at://{DID}/app.bsky.feed.post/3b")])
            assert erase("bluesky", other)["erased"] == 2
        return real(source, feed, response, page, listed)

    monkeypatch.setattr(raw_pages, "remove_suppressed", remove)
    erase("bluesky")
    page = read_page(lake, CATS)[1]
    assert page is not None
    assert [post.post_id for post in page.posts] == [f"at://{DID}/app.bsky.feed.post/3c"]
    assert len(versions()[page_key(CATS)]) == 1


def test_entries_have_different_ids_in_the_note() -> None:
    post = {"post_id": "1", "author_id": "ann", "posted_at": "2026-04-01T12:00:00Z"}
    entries: list[Post | Reject] = [Post.model_validate(post), Post.model_validate(post | {"author_id": "bob"}),
                                    Reject(None, "a"), Reject(None, "b", "\ud800")]  # fmt: skip
    assert len(set(erase_pages.raw_pages._ids(entries))) == 4
