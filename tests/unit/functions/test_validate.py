"""Validate: raw pages become batches that are planned once, and everything left out has a reason."""

from __future__ import annotations

import gzip
import json
from datetime import timedelta
from typing import Any, cast

import pytest

from fetch.bookmarks import FeedPosition
from fetch.pager import Pager
from imagelake.accounts.session import Session
from imagelake.lake import object_keys
from imagelake.lake.suppression import SuppressionList
from imagelake.run.aws import client
from imagelake.run.errors import DamagedObjectError, SourceChangedError
from imagelake.run.models import Batch, FeedEntry, PlannedBatch, Progress
from imagelake.sources import Feed, Page, Reject, Source
from imagelake.web.messages import Request, Response
from tests.support.factories import (
    ENTRY,
    FEED,
    NO_BUDGETS,
    NOON,
    RUN,
    Context,
    event,
    item,
    keep_plan,
    media,
    plan,
    post,
)
from tests.support.fake_lake import BUCKET, Lake
from tests.support.fake_network import Network, page
from tests.support.feed_bodies import FEED as RSS_FEED
from tests.support.feed_bodies import SOURCE as RSS
from tests.support.feed_bodies import item as rss_item
from tests.support.feed_bodies import rss
from tests.support.sent_metrics import sent_metrics
from validate.app import handler
from validate.pages import read_pages

STORED = {"url": "https://api.test/", "status": "200"}

NEXT_RUN = RUN.model_copy(update={"run_id": "daily-2026-04-02", "dt": "2026-04-02"})


def validate(lake: Lake, *pages: bytes, **replaced: Any) -> dict[str, Any]:
    """Store pages as Fetch does, and validate them."""
    run = replaced.get("run", RUN)
    for number, body in enumerate(pages):
        key = object_keys.raw_page(run, FEED.source, ENTRY.feed_id, number)
        lake.bucket.put(key, gzip.compress(body, mtime=0), "application/gzip", STORED)
    progress = event("validate")["progress"] | {"pages": len(pages)}
    answer: dict[str, Any] = handler(event("validate", progress=progress, **replaced), Context())
    return answer


def planned(lake: Lake, answer: dict[str, Any]) -> list[PlannedBatch]:
    """Read the batches of the batch list, as Transform does."""
    batches = [Batch.model_validate(entry) for entry in lake.bucket.get_json(answer["list_key"])]
    plans = [PlannedBatch.model_validate_json(lake.bucket.get(object_keys.planned_batch(batch))) for batch in batches]
    assert [one.batch for one in plans] == batches
    return plans


def names(plans: list[PlannedBatch]) -> list[list[str]]:
    return [[one.post_id for one in plan.items] for plan in plans]


def size(batch_size: int) -> Any:
    return RUN.model_copy(update={"batch_size": batch_size})


def test_plan_has_the_position_of_the_backfill_without_its_cursor(lake: Lake, network: Network) -> None:
    position = {"cursor": "c" * 1_900, "reached_to": "2026-03-01T00:00:00.000000Z", "begun_at": "", "is_at_end": False}
    progress = event("validate")["progress"] | {"pages": 0, "backfill_position": position}
    answer = handler(event("validate", progress=progress), Context())
    assert answer["backfill_position"] == position | {"cursor": ""}


@pytest.mark.parametrize(("backfill", "new_posts"), [(False, 3), (True, 1)])
def test_new_posts_of_a_backfill_have_an_image_that_was_not_known(
    lake: Lake, network: Network, backfill: bool, new_posts: int
) -> None:
    earlier = validate(lake, page(post("one"), post("two")))
    other = RUN.model_copy(update={"run_id": "backfill-1"})
    progress = event("validate")["progress"] | {"pages": 1, "new_posts": 3, "backfill": backfill}
    key = object_keys.raw_page(other, FEED.source, ENTRY.feed_id, 0)
    body = page(post("two"), post("three"), post("one"))
    lake.bucket.put(key, gzip.compress(body, mtime=0), "application/gzip", STORED)
    for _ in range(2):
        # A later try finds the batch of the first one.
        answer = handler(event("validate", run=other, progress=progress), Context())
        assert (answer["posts"], answer["new_posts"], answer["already_known"]) == (3, new_posts, 2)
    assert earlier["posts"] == 2


def test_posts_become_a_batch(lake: Lake, network: Network) -> None:
    answer = validate(lake, page(post("one", text="кот"), cursor="1"), page(post("two")))
    assert answer == {
        "list_key": f"work/lists/{RUN.run_id}/{ENTRY.feed_id}.json",
        "batches": 1,
        "items": 2,
        "resumed_batches": 0,
        "posts": 2,
        "already_known": 0,
        "rejected_posts": 0,
        "suppressed": 0,
        "skipped_media": {},
        "bookmark": {"newest_id": "one", "newest_at": "2026-04-01T12:00:00.000000Z"},
        "stopped_by": None,
        "cost_usd": 0.0,
        "warnings": [],
        "backfill_position": {"cursor": "", "reached_to": "", "begun_at": "", "is_at_end": False},
        "images": 2,
        "pages": 2,
        "calls": 0,
        "new_posts": 0,
        "oldest_at": "",
        "listed_at": "",
        "asked_from": "",
        "asked_to": "",
        "backfill": False,
        "declared": None,
        "limit": None,
    }
    (made,) = planned(lake, answer)
    assert made == plan(item("one", caption="кот"), item("two"))
    assert PlannedBatch.model_validate_json(lake.bucket.get(object_keys.open_batch(made.batch))) == made
    assert lake.mapping() == {}


class OnePage:
    """Stands in for a session: each request has the same response."""

    warnings: tuple[str, ...] = ()
    ends_at = None

    def __init__(self, source: Source, feed: Feed, body: bytes, headers: dict[str, str]) -> None:
        self._source, self._feed, self._body, self._headers = source, feed, body, headers

    def read(self, request: Request) -> tuple[Response, Page]:
        response = Response(200, self._headers, self._body, request.url)
        return response, self._source.parse(self._feed, response)


@pytest.mark.parametrize(
    ("charset", "text"),
    [("windows-1251", "кошка"), ("koi8-r", "кошка"), ("ks_c_5601-1987", "고양이"), ("utf-8", "猫"), (None, "猫")],
)
def test_charset_of_the_header_is_stored_for_validate(lake: Lake, charset: str | None, text: str) -> None:
    """Fetch and Validate read one text, also if only the header states the charset (RFC 7303, section 3.2)."""
    body = rss(rss_item(f"<title>{text}</title>")).encode(charset or "utf-8")
    kind = f"text/xml; charset={charset}" if charset else "text/xml"
    reader = OnePage(RSS, RSS_FEED, body, {"Content-Type": kind, "etag": "x"})
    pager = Pager(RSS, RSS_FEED, "feed", RUN, cast(Session, reader), lake.bucket, SuppressionList(), NO_BUDGETS)
    pager.read(Progress(), FeedPosition(), lambda: 1_000.0)
    _, version = lake.bucket.get_with_version(object_keys.raw_page(RUN, "rss", "feed", 0))
    assert version.metadata == {"url": RSS_FEED.account, "status": "200", "content-type": kind}
    read = read_pages(RSS, RSS_FEED, "feed", RUN, 1, lake.bucket, SuppressionList())
    assert ([post.text for post in read.posts], read.rejects) == ([text], [])


@pytest.mark.parametrize("kind", [f"text/xml; charset=koi8-r; x={'y' * 100}", "text/xml; charset=koi8-r; x=ä"])
def test_type_that_the_metadata_cannot_hold_is_none_for_fetch_and_validate(lake: Lake, kind: str) -> None:
    body = rss(rss_item("<title>猫</title>")).encode()
    (read,) = RSS.parse(RSS_FEED, Response(200, {"content-type": kind}, body, str(RSS_FEED.account))).posts
    assert read.text == "猫"


def test_plans_are_stored_as_json(lake: Lake, network: Network) -> None:
    (made,) = planned(lake, validate(lake, page(post("one"))))
    for key in (object_keys.planned_batch(made.batch), object_keys.open_batch(made.batch)):
        assert client("s3").head_object(Bucket=BUCKET, Key=key)["ContentType"] == "application/json"


def test_nothing_when_there_are_no_pages(lake: Lake, network: Network) -> None:
    answer = validate(lake)
    assert (answer["batches"], answer["items"], lake.bucket.get_json(answer["list_key"])) == (0, 0, [])
    assert lake.bucket.list("") == [answer["list_key"]], "without rejects there is no list of them"


def test_rejects_are_kept_with_a_reason(lake: Lake, network: Network) -> None:
    reject = Reject("bad", "created_at: not a time", {"id": "bad", "text": "\ud800 \u2028\n"})
    answer = validate(lake, page(post("one"), rejects=(reject, Reject(None, "not an object"))))
    assert answer["rejected_posts"] == 2
    assert lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ENTRY.feed_id)) == [
        {"kind": "post", "post_id": "bad", "author_ids": [], "reason": reject.reason, "raw": reject.raw},
        {"kind": "post", "post_id": None, "author_ids": [], "reason": "not an object", "raw": None},
    ]


def test_entries_of_rejects_have_a_limit_together(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validate.pages.MAX_REJECT_BYTES", 100)
    rejects = [Reject(f"{number}", "no", {"text": "x" * 30}) for number in range(3)]
    assert validate(lake, page(rejects=tuple(rejects[:2])), page(rejects=(rejects[2],)))["rejected_posts"] == 3
    lines = lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ENTRY.feed_id))
    assert [(line["reason"], line["raw"]) for line in lines] == [
        ("no", rejects[0].raw), ("no", rejects[1].raw), ("no", None),
    ]  # fmt: skip


def test_metrics_count_planned_items_and_rejected_posts(
    lake: Lake, network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    validate(lake, page(post("one"), post("two"), rejects=(Reject("bad", "created_at: not a time"),)))
    assert sent_metrics(capsys) == {"ItemsPlanned": 2, "PostsRejected": 1}


def test_media_that_are_no_images_are_skipped_with_a_reason(lake: Lake, network: Network) -> None:
    clip, lost = media("clip", kind="video"), media("lost", url=None)
    told = media("told", url=None, skip_reason="copyrighted")
    answer = validate(lake, page(post("one", media("one"), clip, lost), post("two", media("more", kind="video"), told)))
    assert answer["items"] == 1
    assert answer["skipped_media"] == {"video is not an image": 2, "image without a URL": 1, "copyrighted": 1}
    kept = lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ENTRY.feed_id))
    assert [(line["kind"], line["post_id"], line["raw"]["media_id"]) for line in kept] == [
        ("media", "one", clip.media_id),
        ("media", "one", lost.media_id),
        ("media", "two", "bluesky/alice/more/0"),
        ("media", "two", told.media_id),
    ]


SAME_ID = "another image of the post has the same id"


@pytest.mark.parametrize("again", [False, True])
def test_images_of_a_post_with_one_id_are_one_and_the_others_are_skipped(
    lake: Lake, network: Network, again: bool
) -> None:
    """Attachments of Facebook can have one target, and records of a stream have the ids that their producer gives."""
    one = media("one", url="https://cdn.example/1.jpg?sig=1&expires=2")
    others = [one.model_copy(update={"index": index, "url": f"https://cdn.example/{index}.jpg"}) for index in (2, 3)]
    same = one.model_copy(update={"index": 4, "url": "https://cdn.example/1.jpg?sig=9&expires=8"})
    of_the_network = post("a", one, *others, same, media("two"))
    pages = [page(of_the_network, cursor="1"), page(of_the_network)] if again else [page(of_the_network)]
    answer = validate(lake, *pages)
    (made,) = planned(lake, answer)
    assert {item.media_url for item in made.items} == {one.url, media("two").url}
    assert answer["skipped_media"] == {SAME_ID: 2}
    kept = lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ENTRY.feed_id))
    assert [line["raw"]["url"] for line in kept] == [other.url for other in others]


def test_image_of_a_later_page_with_the_id_of_another_one_is_skipped_too(lake: Lake, network: Network) -> None:
    """The rest of an album of Facebook is a post with the same id."""
    one = media("one", url="https://cdn.example/1.jpg?sig=1&expires=2")
    moved = one.model_copy(update={"index": 1, "url": "https://cdn.example/1.jpg?sig=3&expires=4"})
    other = one.model_copy(update={"index": 100, "url": "https://cdn.example/2.jpg?sig=5&expires=6"})
    answer = validate(lake, page(post("a", one), cursor="1"), page(post("a", moved, other)))
    assert (answer["items"], answer["skipped_media"]) == (1, {SAME_ID: 1})


def test_image_that_two_posts_show_is_one_without_a_reason(lake: Lake, network: Network) -> None:
    """An album and a post of Facebook show one photo, each with another URL of it."""
    shown = media("one", url="https://cdn.example/1.jpg")
    answer = validate(lake, page(post("a", shown), post("b", shown.model_copy(update={"url": "https://b.example/1"}))))
    assert (answer["items"], answer["skipped_media"]) == (1, {})


def test_media_item_with_a_skip_reason_is_skipped_even_if_it_has_a_url(lake: Lake, network: Network) -> None:
    answer = validate(lake, page(post("one", media("one", skip_reason="copyrighted"))))
    assert (answer["items"], answer["skipped_media"]) == (0, {"copyrighted": 1})


def test_skipped_media_item_is_kept_with_its_times(lake: Lake, network: Network) -> None:
    clip = media("clip", kind="video", expires_at=NOON)
    validate(lake, page(post("one", clip)))
    (line,) = lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ENTRY.feed_id))
    assert line["raw"] == clip.model_dump(mode="json")
    assert line["author_ids"] == ["did:plc:alice"], "an erasure of the author finds it by that"


def test_posts_of_two_authors_with_the_same_id_are_two_posts(lake: Lake, network: Network) -> None:
    answer = validate(lake, page(post("one"), post("one", media("two"), author_id="did:plc:bob")))
    (made,) = planned(lake, answer)
    assert answer["posts"] == 2
    assert [(one.author_id, one.media_id) for one in made.items] == [
        ("did:plc:alice", media("one").media_id),
        ("did:plc:bob", media("two").media_id),
    ]


def test_post_and_media_that_come_twice_are_planned_once(lake: Lake, network: Network) -> None:
    again = post("quote", media("one"))
    answer = validate(lake, page(post("one"), again, cursor="1"), page(post("one", text="edited")))
    (made,) = planned(lake, answer)
    assert answer["posts"] == 2
    assert [(one.post_id, one.caption) for one in made.items] == [("one", "A cat")]


def test_known_media_are_left_out(lake: Lake, network: Network) -> None:
    theirs = keep_plan(lake, plan(item("one"), feed_id="another"))
    lake.media_index.claim([item("one").media_id], theirs.batch.batch_id)
    answer = validate(lake, page(post("one"), post("two")))
    assert (names(planned(lake, answer)), answer["already_known"]) == ([["two"]], 1)


def test_claimed_media_are_new_when_their_batch_is_not_open(lake: Lake, network: Network) -> None:
    lake.media_index.claim([item("one").media_id], "gone")
    answer = validate(lake, page(post("one"), post("two")))
    assert (names(planned(lake, answer)), answer["already_known"]) == ([["one", "two"]], 0)


def test_removed_feed_has_its_open_batches_only(lake: Lake, network: Network) -> None:
    left = keep_plan(lake, plan(item("held"), feed_id="removed"))
    entry = FeedEntry(feed_id="removed", name="removed", config=None, resume_only=True)
    assert planned(lake, validate(lake, feed=entry)) == [left]


def test_removed_stream_leaves_the_batches_of_today_to_its_windows(lake: Lake, network: Network) -> None:
    entry = FeedEntry(feed_id="removed", name="removed", config=None, resume_only=True)
    for dt in ("2026-03-31", RUN.dt):
        held = plan(item("held"), feed_id="removed", dt=dt)
        keep_plan(lake, held.model_copy(update={"batch": held.batch.model_copy(update={"source": "stream"})}))
    assert [one.batch.dt for one in planned(lake, validate(lake, feed=entry))] == ["2026-03-31"]


def test_known_media_are_looked_up_at_half_the_price(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    get_many, asked = lake.media_index.get_many, []

    def note(self: Any, media_ids: Any, *, consistent: bool) -> Any:
        asked.append(consistent)
        return get_many(media_ids, consistent=consistent)

    monkeypatch.setattr("imagelake.lake.media_index.MediaIndex.get_many", note)
    validate(lake, page(post("one")))
    assert asked == [False]


def test_batches_are_no_larger_than_asked(lake: Lake, network: Network) -> None:
    answer = validate(lake, page(*(post(f"p{number}") for number in range(5))), run=size(2))
    assert names(planned(lake, answer)) == [["p0", "p1"], ["p2", "p3"], ["p4"]]
    assert (answer["batches"], answer["items"]) == (3, 5)


def test_images_that_expire_first_come_first(lake: Lake, network: Network) -> None:
    soon, late = (media(name, expires_at=NOON + timedelta(hours=h)) for name, h in (("soon", 1), ("late", 2)))
    posts = post("never"), post("older", posted_at=NOON - timedelta(days=1)), post("late", late), post("soon", soon)
    answer = validate(lake, page(*posts), run=size(1))
    assert names(planned(lake, answer)) == [["soon"], ["late"], ["older"], ["never"]]


def test_images_that_expire_first_share_a_batch(lake: Lake, network: Network) -> None:
    hours = (4, 1, 3, 2)
    posts = [post(f"p{hour}", media(f"p{hour}", expires_at=NOON + timedelta(hours=hour))) for hour in hours]
    assert names(planned(lake, validate(lake, page(*posts), run=size(2)))) == [["p1", "p2"], ["p3", "p4"]]


def test_batch_whose_first_image_expires_first_comes_first(lake: Lake, network: Network) -> None:
    early, middle, late = (NOON + timedelta(hours=hour) for hour in (1, 2, 3))
    keep_plan(lake, plan(item("early", expires_at=early), item("late", expires_at=late), run_id="of-the-morning"))
    answer = validate(lake, page(post("middle", media("middle", expires_at=middle))))
    assert names(planned(lake, answer)) == [["early", "late"], ["middle"]]


def test_batches_of_earlier_days_come_before_images_that_expire(lake: Lake, network: Network) -> None:
    for day in ("2026-03-30", "2026-03-29"):
        keep_plan(lake, plan(item(day), run_id=f"daily-{day}", dt=day))
    answer = validate(lake, page(post("soon", media("soon", expires_at=NOON))))
    assert names(planned(lake, answer)) == [["2026-03-29"], ["2026-03-30"], ["soon"]]
    assert answer["resumed_batches"] == 2


def test_batch_keeps_the_image_options_of_its_run(lake: Lake, network: Network) -> None:
    run = RUN.model_copy(update={"preset": "quality", "tensor": "uint8"})
    (made,) = planned(lake, validate(lake, page(post("one")), run=run))
    assert (made.preset, made.tensor) == ("quality", "uint8")


def test_open_batches_are_resumed_first_and_unchanged(lake: Lake, network: Network) -> None:
    left = keep_plan(lake, plan(item("held", caption="as it was"), run_id="daily-2026-03-30", dt="2026-03-30"))
    kept = lake.bucket.get(object_keys.open_batch(left.batch))
    answer = validate(lake, page(post("held", text="as it is now"), post("new")))
    assert planned(lake, answer) == [left, plan(item("new"))]
    assert lake.bucket.get(object_keys.open_batch(left.batch)) == kept
    assert (answer["batches"], answer["items"], answer["resumed_batches"], answer["already_known"]) == (2, 2, 1, 1)


def test_open_batches_are_resumed_without_new_posts(lake: Lake, network: Network) -> None:
    left = keep_plan(lake, plan(item("held"), run_id="daily-2026-03-30", dt="2026-03-30"))
    assert planned(lake, validate(lake)) == [left]


def test_open_batches_of_another_feed_are_left_alone(lake: Lake, network: Network) -> None:
    keep_plan(lake, plan(item("held"), feed_id=f"{ENTRY.feed_id}x"))
    assert names(planned(lake, validate(lake, page(post("new"))))) == [["new"]]


def test_same_call_again_gives_the_same_plan(lake: Lake, network: Network) -> None:
    hours = (5, 3, 4, 1, 2)
    posts = [post(f"p{h}", media(f"p{h}", expires_at=NOON + timedelta(hours=h)), posted_at=NOON) for h in hours]
    pages = page(*posts, rejects=(Reject("bad", "misshapen"),))
    first = validate(lake, pages, run=size(2))
    stored = lake.stored()
    assert validate(lake, pages, run=size(2)) == first
    assert lake.stored() == stored


def test_same_call_again_for_a_window_in_a_run_with_another_name(lake: Lake, network: Network) -> None:
    config = {"source": "stream", "account": "posts", "window": "stream-2026-04-01-1"}
    feed = ENTRY.model_copy(update={"config": config})
    first = validate(lake, page(post("one")), feed=feed)
    assert validate(lake, page(post("one")), feed=feed) == first


def test_warnings_of_fetch_are_kept(lake: Lake, network: Network) -> None:
    progress = event("validate")["progress"] | {"pages": 0, "warnings": ["a token ends soon"]}
    assert handler(event("validate", progress=progress), Context())["warnings"] == ["a token ends soon"]


def test_same_call_again_when_it_died_half_way(lake: Lake, network: Network) -> None:
    pages = page(*(post(f"p{number}") for number in range(5)))
    first = validate(lake, pages, run=size(2))
    stored = lake.stored()
    lake.bucket.delete(object_keys.open_batch(planned(lake, first)[1].batch))
    lake.bucket.delete(first["list_key"])
    assert validate(lake, pages, run=size(2)) == first
    assert lake.stored() == stored


def test_next_run_plans_nothing_twice_after_a_dead_run(lake: Lake, network: Network) -> None:
    pages = page(post("one"), post("two"))
    first = planned(lake, validate(lake, pages))
    answer = validate(lake, pages, run=NEXT_RUN)
    assert planned(lake, answer) == first
    assert (answer["resumed_batches"], answer["already_known"]) == (1, 2)
    assert len(lake.bucket.list("open/")) == 1


def test_batch_that_another_run_closed_meanwhile_stays_closed(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = keep_plan(lake, plan(item("held"), run_id="daily-2026-03-30", dt="2026-03-30"))
    get_many = lake.media_index.get_many

    def close_and_get(self: Any, media_ids: Any, *, consistent: bool) -> Any:
        lake.bucket.delete(object_keys.open_batch(left.batch))
        return get_many(media_ids, consistent=consistent)

    monkeypatch.setattr("imagelake.lake.media_index.MediaIndex.get_many", close_and_get)
    answer = validate(lake, page(post("new")))
    assert names(planned(lake, answer)) == [["held"], ["new"]]
    assert lake.bucket.list(object_keys.open_prefix(ENTRY.feed_id)) == [object_keys.open_batch(plan(item("new")).batch)]


def test_batch_that_is_closed_between_listing_and_reading_is_not_open(
    lake: Lake, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = f"{object_keys.open_prefix(ENTRY.feed_id)}gone.json"
    monkeypatch.setattr("imagelake.lake.bucket.Bucket.list", lambda self, prefix: [gone])
    assert validate(lake)["batches"] == 0


def test_error_when_a_stored_page_is_damaged(lake: Lake, network: Network) -> None:
    with pytest.raises(SourceChangedError):
        validate(lake, b"<html>")
    assert lake.bucket.list("open/") == []


@pytest.mark.parametrize("damage", [b"", b"no gzip", gzip.compress(page(post("one")), mtime=0)[:-9]])
def test_stored_page_that_cannot_be_unpacked_is_named(lake: Lake, network: Network, damage: bytes) -> None:
    key = object_keys.raw_page(RUN, FEED.source, ENTRY.feed_id, 0)
    lake.bucket.put(key, damage, "application/gzip", STORED)
    with pytest.raises(DamagedObjectError, match=key):
        handler(event("validate"), Context())


def test_answer_is_json(lake: Lake, network: Network) -> None:
    json.dumps(validate(lake, page(post("one"))))


def test_same_media_of_two_feeds_are_two_batches(lake: Lake, network: Network) -> None:
    (ours,) = planned(lake, validate(lake, page(post("one"))))
    other = ENTRY.model_copy(update={"feed_id": "another"})
    key = object_keys.raw_page(RUN, FEED.source, "another", 0)
    lake.bucket.put(key, gzip.compress(page(post("one"))), "application/gzip", STORED)
    progress = event("validate")["progress"]
    (theirs,) = planned(lake, handler(event("validate", feed=other, progress=progress), Context()))
    assert [one.media_id for one in ours.items] == [one.media_id for one in theirs.items]
    assert ours.batch.batch_id != theirs.batch.batch_id


def test_post_that_comes_again_adds_its_new_media(lake: Lake, network: Network) -> None:
    early = media("late", url=None)
    first, again = post("one", media("a"), early), post("one", media("a"), media("b"), media("late"), text="edited")
    answer = validate(lake, page(first, cursor="1"), page(again))
    (made,) = planned(lake, answer)
    assert sorted(one.media_id for one in made.items) == [f"bluesky/alice/{name}/0" for name in ("a", "b", "late")]
    assert {one.caption for one in made.items} == {"A cat"}
    assert (answer["posts"], answer["skipped_media"]) == (1, {})


def test_many_reasons_to_skip_are_counted_together(lake: Lake, network: Network) -> None:
    skipped = [media(f"m{number}", skip_reason=f"reason {number}") for number in range(30)]
    answer = validate(lake, page(post("one", *skipped)))
    assert (len(answer["skipped_media"]), answer["skipped_media"]["other reasons"]) == (21, 10)
    assert len(lake.bucket.get_lines(object_keys.rejects(RUN, "bluesky", ENTRY.feed_id))) == 30


@pytest.mark.slow
def test_batch_of_long_texts_is_split(lake: Lake, network: Network) -> None:
    long = [post(str(number), text="x" * 9_000_000) for number in range(3)]
    assert sorted(map(len, names(planned(lake, validate(lake, *(page(one, cursor="1") for one in long)))))) == [1, 2]


@pytest.mark.parametrize("end", ["図" * 900, "x" * 600, "9 ", "9\n8"])
def test_item_with_a_long_or_unusual_id_is_planned(lake: Lake, network: Network, end: str) -> None:
    (made,) = planned(lake, validate(lake, page(post("one", media("one", media_id=f"bluesky/{end}")))))
    assert made.items[0].media_id.startswith("bluesky/sha256-")


@pytest.mark.slow
def test_suppressed_posts_of_stored_pages_are_left_out(lake: Lake, network: Network) -> None:
    lake.suppress(("author", "bluesky", "did:plc:bob"), ("media", "bluesky/alice/three/1"))
    rejects = (Reject("r1", "a repost", {"by": "did:plc:bob"}), Reject("r2", "a repost", {"by": "did:plc:carol"}))
    posts = [
        post("one"),
        post("two", author_id="did:plc:bob"),
        post("three", media("three"), media("three", media_id="bluesky/alice/three/1", index=1)),
    ]
    answer = validate(lake, page(*posts, rejects=rejects))
    assert (answer["posts"], answer["rejected_posts"], answer["suppressed"]) == (1, 1, 3)
    assert names(planned(lake, answer)) == [["one"]]
    (key,) = lake.bucket.list("rejects/")
    assert b"bob" not in lake.bucket.get(key)


def test_suppressed_posts_of_fetch_and_validate_are_added(lake: Lake, network: Network) -> None:
    lake.suppress(("author", "bluesky", "did:plc:bob"))
    validate(lake, page(post("two", author_id="did:plc:bob")))
    progress = event("validate")["progress"] | {"pages": 1, "suppressed": 4}
    assert handler(event("validate", progress=progress), Context())["suppressed"] == 5


def test_page_of_which_nothing_is_left_has_no_posts(lake: Lake, network: Network) -> None:
    answer = validate(lake, page(post("one")), b"", page(post("two")))
    assert names(planned(lake, answer)) == [["one", "two"]]
