"""Suppress: what a request names, and later what was found, goes on the list; the time is noted last."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from imagelake.lake import object_keys
from imagelake.lake.suppression import SuppressionList, Suppressions
from imagelake.run.aws import client
from tests.support.erasure_steps import ALICE, BOB, SHA256, call, check, close, copy_of, find, name, prepare, shown
from tests.support.factories import item
from tests.support.fake_lake import SUPPRESSION_KEY, SUPPRESSIONS, Lake
from tests.support.watched_calls import watch


@pytest.fixture(autouse=True)
def stack(lake: Lake) -> None:
    prepare(lake)


def listed() -> SuppressionList:
    return Suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read()


def test_all_names_of_the_request(lake: Lake) -> None:
    erasure = check(
        authors=[name(ALICE), name(ALICE)],
        posts=[{"source": "x", "author_id": "1", "post_id": "2"}],
        media_ids=["x/3"],
        sha256=[SHA256],
    )
    assert call("suppress", erasure=erasure, what="request") == {"entries": 4}
    known = listed()
    assert known.has_author("bluesky", ALICE)
    assert known.has_post("x", "1", "2")
    assert known.has_media("x/3")
    assert known.has_image(SHA256)
    assert len(known.hashes) == 4


def test_ids_of_another_network_that_look_alike_are_not_on_the_list(lake: Lake) -> None:
    call("suppress", erasure=check(authors=[{"source": "x", "author_id": "1"}]), what="request")
    known = listed()
    assert known.has_author("x", "1")
    assert not known.has_author("mastodon", "1")
    assert not known.has_post("x", "1", "1")
    assert not known.has_media("1")


def test_facts_of_an_entry_have_no_names(lake: Lake) -> None:
    erasure = check(authors=[name(ALICE)])
    call("suppress", erasure=erasure, what="request")
    entries = [one for one in client("dynamodb").scan(TableName=SUPPRESSIONS)["Items"] if "reason" in one]
    assert [{key: value["S"] for key, value in one.items() if key not in ("list", "entry")} for one in entries] == [
        {"reason": "author_request", "erasure": erasure["erasure_id"], "since": "2026-04-02T09:00:00+00:00"}
    ]
    assert "alice" not in repr(entries)


def test_time_comes_after_the_version(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    erasure = check(authors=[name(ALICE)])
    calls = watch(monkeypatch, "PutItem", "UpdateItem", "PutObject")
    before = datetime.now(UTC)
    call("suppress", erasure=erasure, what="request")
    assert calls == ["PutItem", "UpdateItem", "PutObject"]
    noted = lake.bucket.get_json(object_keys.erasure_suppressed(erasure["erasure_id"]))["at"]
    assert before <= datetime.fromisoformat(noted) <= datetime.now(UTC)


def test_found_items_and_images_of_a_person(lake: Lake) -> None:
    close(lake, shown("one"), copy_of("one", "two", BOB))
    erasure = check(authors=[name(ALICE)])
    call("suppress", erasure=erasure, what="request")
    find(erasure)
    assert call("suppress", erasure=erasure, what="found") == {"entries": 3}
    known = listed()
    assert all(known.has_media(item(one).media_id) for one in ("one", "two"))
    assert known.has_image(SHA256)
    assert not known.has_author("bluesky", BOB)


def test_image_of_an_erased_post_may_be_shown_by_others(lake: Lake) -> None:
    close(lake, shown("one"), copy_of("one", "two", BOB))
    erasure = check(posts=[name(ALICE, post_id="one")])
    call("suppress", erasure=erasure, what="request")
    find(erasure)
    assert call("suppress", erasure=erasure, what="found") == {"entries": 1}
    known = listed()
    assert known.has_media(item("one").media_id)
    assert not known.has_media(item("two").media_id)
    assert not known.has_image(SHA256)


def test_nothing_found_is_no_error(lake: Lake) -> None:
    erasure = check(authors=[name(ALICE)])
    call("suppress", erasure=erasure, what="request")
    find(erasure)
    assert call("suppress", erasure=erasure, what="found") == {"entries": 0}
