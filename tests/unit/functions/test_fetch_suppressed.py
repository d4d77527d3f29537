"""Fetch: nothing of suppressed people is stored."""

from __future__ import annotations

import gzip
import json

import pytest

from imagelake.run.aws import client
from imagelake.run.errors import SourceChangedError
from imagelake.run.models import FeedEntry
from imagelake.sources import Reject
from tests.support.factories import ENTRY, post
from tests.support.fake_lake import BOOKMARKS, Lake
from tests.support.fake_network import Network, page
from tests.support.fetching import DEFINITION, LATER, raw_key, read

pytestmark = pytest.mark.usefixtures("pauses")


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
