"""Erase Images: raw images, hashes and entries go, in an order that a killed erasure can go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from fetch.bookmarks import read_position
from imagelake.lake import hash_log_cache, object_keys
from imagelake.lake.erasure_found import FoundObjects
from imagelake.lake.hash_log import Entry, HashLog
from imagelake.lake.hash_log_cache import HashLogCache
from imagelake.lake.hash_log_snapshot import HashLogSnapshot
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import Row, Status
from imagelake.lake.suppression import suppressions
from imagelake.run.aws import client
from imagelake.run.errors import StorageUnavailableError
from imagelake.run.models import PlannedBatch
from tests.support.erasure_steps import (
    ALICE,
    BOB,
    CAROL,
    SHA256,
    Erasure,
    call,
    check,
    close,
    copy_of,
    erase,
    erase_rows,
    find,
    name,
    own_images,
    planned_of,
    prepare,
    shown,
    versions,
)
from tests.support.factories import decide, item, keep_plan, keep_rows
from tests.support.fake_lake import BOOKMARKS, BUCKET, IMAGE_HASHES, SUPPRESSION_KEY, SUPPRESSIONS, Lake
from tests.support.private_parts import calls_of_aws
from transform.duplicates import mark_duplicates

OTHER = "cd" * 32
RAW, OTHER_RAW = object_keys.raw_image(SHA256), object_keys.raw_image(OTHER)
OLD_DAY = "2026-01-01"
LONG_AGO = 1_500_000_000


@pytest.fixture(autouse=True)
def stack(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(lake)
    # AWS in memory breaks if it lists versions while another thread deletes one.
    monkeypatch.setattr("erase_images.erasing.THREADS", 1)
    monkeypatch.setattr("imagelake.lake.erased_objects.THREADS", 1)


def media_id(name: str) -> str:
    return item(name).media_id


def log_hashes(lake: Lake, planned: PlannedBatch, *names: str, seq: int = 1) -> list[list[int]]:
    """Add the hashes of originals to the hash log, as Transform does."""
    hashes = np.random.default_rng(seq).integers(1, 1 << 63, (len(names), 14), np.uint64)
    entry = Entry(seq, planned.batch.work_id, OLD_DAY, hashes)
    assert lake.image_hashes.append(entry, [media_id(one) for one in names])
    return [[int(one) for one in row] for row in hashes]


def logged(lake: Lake) -> dict[str, list[int]]:
    """The hashes in the log by name; those of erased originals have a number instead."""
    found = {}
    for entry in lake.image_hashes.read(0, consistent=True):
        for position, (one, row) in enumerate(zip(lake.image_hashes.names(entry.seq), entry.hashes, strict=True)):
            found[one or f"{entry.seq}/{position}"] = [int(value) for value in row]
    return found


class TestPerson:
    @pytest.mark.slow
    def test_nothing_of_it_is_left(self, lake: Lake) -> None:
        lake.bucket.put(RAW, b"an older version", "image/jpeg")
        first = close(lake, shown("one"), shown("bob", BOB, OTHER))
        close(lake, copy_of("one", "two", BOB), dt="2026-04-02")
        (_, kept) = log_hashes(lake, first, "one", "bob")
        assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
        assert list(lake.mapping()) == [media_id("bob")]
        assert list(lake.owners()) == [OTHER]
        assert versions("raw/images/") == [OTHER_RAW]
        assert logged(lake) == {"1/0": [0] * 14, media_id("bob"): kept}

    @pytest.mark.slow
    def test_claims_of_an_open_batch(self, lake: Lake) -> None:
        rows = [shown("one"), shown("bob", BOB, OTHER)]
        keep_rows(lake, planned_of(*rows, dt="2026-04-05"), *rows)
        own_images(lake, *rows)
        assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
        assert list(lake.mapping()) == [media_id("bob")]
        assert versions("raw/images/") == [OTHER_RAW]

    @pytest.mark.slow
    def test_item_that_was_erased_before_it_was_mapped(self, lake: Lake) -> None:
        close(lake, shown("one"))
        lake.media_index.complete(
            [lake.mapping()[media_id("one")] | {"media_id": media_id("old"), "status": Status.ERASED}]
        )
        assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
        assert lake.mapping() == {}

    @pytest.mark.slow
    def test_image_on_the_list_whose_author_is_not_keeps_its_entry(self, lake: Lake) -> None:
        """Map Keys wrote it with the status ``erased``, without bytes, so that no run downloads the image again."""
        close(lake, shown("one"))
        entry = {"media_id": media_id("bob"), "author": f"bluesky#{BOB}", "post_id": "bob", "status": Status.ERASED}
        lake.media_index.complete([entry | {"batch_id": "b", "processed_key": "lake/b.parquet", "row": 0}])
        assert erase(lake, check(sha256=[SHA256]))["left"] == 0
        assert list(lake.mapping()) == [media_id("bob")]

    @pytest.mark.slow
    def test_many_items(self, lake: Lake) -> None:
        rows = [shown(f"p{number}", sha256=f"{number:064x}") for number in range(12)]
        log_hashes(lake, close(lake, *rows), *(f"p{number}" for number in range(12)))
        assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
        assert (lake.mapping(), lake.owners(), versions("raw/images/")) == ({}, {}, [])
        assert not any(any(row) for row in logged(lake).values())


class TestPost:
    @pytest.mark.slow
    def test_successor_has_image_and_hash(self, lake: Lake) -> None:
        first = close(lake, shown("one"), copy_of("one", "two", BOB), copy_of("one", "three", CAROL))
        (hashes,) = log_hashes(lake, first, "one")
        assert erase(lake, check(posts=[name(ALICE, post_id="one")]))["left"] == 0
        assert lake.owners()[SHA256]["owner"] == media_id("three")
        assert lake.owners()[SHA256]["state"] == "held"
        assert logged(lake) == {media_id("three"): hashes}
        assert lake.mapping()[media_id("two")]["duplicate_of"] == media_id("three")
        assert versions("raw/images/") == [RAW]

    @pytest.mark.slow
    def test_raw_image_of_a_rejected_item_stays_for_another_one(self, lake: Lake) -> None:
        close(lake, shown("a", status=Status.REJECTED), shown("b", BOB, status=Status.REJECTED))
        assert erase(lake, check(media_ids=[media_id("a")]))["left"] == 0
        entry = lake.owners()[SHA256]
        assert (entry["owner"], entry["state"]) == (media_id("b"), "rejected")
        assert versions("raw/images/") == [RAW]

    @pytest.mark.slow
    def test_open_batch_with_the_same_bytes_becomes_the_owner(self, lake: Lake) -> None:
        close(lake, shown("one"))
        rows = [copy_of("one", "two", BOB)]
        planned = keep_rows(lake, planned_of(*rows, dt="2026-04-05"), *rows)
        erasure = check(posts=[name(ALICE, post_id="one")])
        call("suppress", erasure=erasure, what="request")
        find(erasure)
        # Transform is at work on the open batch while the owner is being erased, and again after that.
        decided: Any = [{**row, "status": "ok"} for row in keep_images(lake, planned, shown("two", BOB))]
        with pytest.raises(StorageUnavailableError, match="is being erased"):
            mark_duplicates(decided, lake.media_index, lake.bucket)
        call("suppress", erasure=erasure, what="found")
        erase_rows(lake, erasure)
        call("erase_images", erasure=erasure)
        assert [row["status"] for row in mark_duplicates(decided, lake.media_index, lake.bucket)] == ["ok"]
        assert lake.owners()[SHA256]["owner"] == media_id("two")
        assert versions("raw/images/") == [RAW]


def keep_images(lake: Lake, planned: PlannedBatch, *rows: Row) -> list[Any]:
    return list(decide(lake, planned.batch, *rows))


class TestHashLog:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hash_log_cache, "MIN_ADDED", 1)

    def worker(self, lake: Lake) -> HashLogCache:
        cache = HashLogCache(HashLog(IMAGE_HASHES), HashLogSnapshot(lake.bucket))
        cache.refresh(consistent=True)
        return cache

    @pytest.mark.slow
    def test_warm_worker_forgets_and_its_snapshot_goes(self, lake: Lake) -> None:
        log_hashes(lake, close(lake, shown("one"), shown("two", BOB, OTHER)), "one", "two")
        warm, late = self.worker(lake), self.worker(lake)
        warm.save_old_entries("2026-06-30")
        assert lake.bucket.exists(object_keys.HASH_LOG_SNAPSHOT)
        assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
        assert versions(object_keys.HASH_LOG_SNAPSHOT) == []
        late.save_old_entries("2026-06-30")
        assert versions(object_keys.HASH_LOG_SNAPSHOT) == []
        warm.refresh(consistent=False)
        assert not warm.hashes[0].any()
        warm.save_old_entries("2026-06-30")
        assert not HashLogSnapshot(lake.bucket).read(lake.image_hashes.generation())[0].hashes[0].any()

    @pytest.mark.slow
    def test_snapshot_of_a_late_worker_is_found_by_the_verification(self, lake: Lake) -> None:
        log_hashes(lake, close(lake, shown("one")), "one")
        late = self.worker(lake)
        erasure = check(authors=[name(ALICE)])
        assert erase(lake, erasure)["left"] == 0
        HashLogSnapshot(lake.bucket).write(list(late._entries(1)), 0, lambda: 0)
        assert find(erasure)["left"] == 1
        assert erase(lake, erasure)["left"] == 0
        assert versions(object_keys.HASH_LOG_SNAPSHOT) == []

    def test_snapshot_of_a_late_worker_that_another_one_has_replaced(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The verification reads only the last one."""
        log_hashes(lake, close(lake, shown("one")), "one")
        late = list(self.worker(lake)._entries(1))
        raise_generation = HashLog.raise_generation

        def write_two(log: HashLog) -> None:
            raise_generation(log)
            snapshot, number = HashLogSnapshot(lake.bucket), log.generation()
            snapshot.write(late, 0, lambda: 0)
            snapshot.write([*log.read(0, consistent=True)], number, log.generation)

        monkeypatch.setattr(HashLog, "raise_generation", write_two)
        assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
        (body,) = (lake.bucket.get(key) for key in versions(object_keys.HASH_LOG_SNAPSHOT))
        assert late[0].hashes.tobytes() not in body

    @pytest.mark.slow
    def test_snapshot_goes_before_the_number_changes(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        log_hashes(lake, close(lake, shown("one")), "one")
        self.worker(lake).save_old_entries("2026-06-30")
        seen: list[bool] = []
        raise_generation = HashLog.raise_generation

        def watch(log: HashLog) -> None:
            seen.append(bool(versions(object_keys.HASH_LOG_SNAPSHOT)))
            raise_generation(log)

        monkeypatch.setattr(HashLog, "raise_generation", watch)
        erase(lake, check(authors=[name(ALICE)]))
        assert set(seen) == {False}

    @pytest.mark.slow
    def test_entry_of_a_retry(self, lake: Lake) -> None:
        planned = close(lake, shown("one"))
        retry = planned.model_copy(update={"batch": planned.batch.model_copy(update={"retried_by": "retry-1"})})
        log_hashes(lake, retry, "one")
        erase(lake, check(authors=[name(ALICE)]))
        assert logged(lake) == {"1/0": [0] * 14}


class TestBesideOthers:
    def test_raw_image_that_got_another_owner_stays(self, lake: Lake) -> None:
        close(lake, shown("one"))
        erasure = check(posts=[name(ALICE, post_id="one")])
        call("suppress", erasure=erasure, what="request")
        find(erasure)
        lake.media_index.own({SHA256: media_id("two")}, instead_of={SHA256: media_id("one")})
        call("erase_images", erasure=erasure)
        assert versions("raw/images/") == [RAW]
        assert lake.owners()[SHA256]["owner"] == media_id("two")

    def test_item_that_became_an_owner_keeps_its_entry_for_the_next_round(self, lake: Lake) -> None:
        """Another erasure promotes an item that this one is about to erase."""
        close(lake, shown("one"), copy_of("one", "two", BOB), copy_of("one", "three", CAROL))
        mine = check(posts=[name(BOB, post_id="two")])
        call("suppress", erasure=mine, what="request")
        find(mine)
        lake.media_index.own({SHA256: media_id("two")}, instead_of={SHA256: media_id("one")})
        call("erase_images", erasure=mine)
        assert media_id("two") in lake.mapping()
        assert find(mine)["left"] > 0

    @pytest.mark.slow
    def test_two_erasures_at_once(self, lake: Lake) -> None:
        first = close(lake, shown("one"), shown("two", BOB, OTHER), shown("three", CAROL, "ef" * 32))
        (*_, kept) = log_hashes(lake, first, "one", "two", "three")
        erasures = [check("first", authors=[name(ALICE)]), check("second", authors=[name(BOB)])]
        for one in erasures:
            call("suppress", erasure=one, what="request")
        for step in (find, lambda one: erase_rows(lake, one), lambda one: call("erase_images", erasure=one), find):
            results = [step(one) for one in erasures]
        assert [one["left"] for one in results if one] == [0, 0]
        assert list(lake.mapping()) == [media_id("three")]
        assert logged(lake) == {"1/0": [0] * 14, "1/1": [0] * 14, media_id("three"): kept}

    @pytest.mark.slow
    def test_same_erasure_started_twice(self, lake: Lake) -> None:
        log_hashes(lake, close(lake, shown("one"), copy_of("one", "two", BOB)), "one")
        erasures = [check(one, authors=[name(ALICE)]) for one in ("first", "second")]
        for one in erasures:
            call("suppress", erasure=one, what="request")
        for step in (find, lambda one: erase_rows(lake, one), lambda one: call("erase_images", erasure=one), find):
            results = [step(one) for one in erasures]
        assert [one["left"] for one in results if one] == [0, 0]
        assert (lake.mapping(), lake.owners(), versions("raw/images/")) == ({}, {}, [])

    @pytest.mark.slow
    def test_execution_unmaps_only_what_its_own_steps_have_erased(self, lake: Lake) -> None:
        close(lake, shown("one"))
        first = check("first", authors=[name(ALICE)])
        call("suppress", erasure=first, what="request")
        find(first)
        close(lake, shown("late", sha256=OTHER), dt="2026-04-02")
        find(check("second", authors=[name(ALICE)]))
        call("erase_images", erasure=first)
        assert list(lake.mapping()) == [media_id("late")]

    @pytest.mark.slow
    def test_index_that_is_late_leaves_work_for_the_next_round(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        close(lake, shown("one"), shown("late", sha256=OTHER))
        # Plan and marker have expired, so only the index knows the item.
        for folder in (object_keys.PLANS, object_keys.OPEN):
            lake.bucket.delete_folder(folder)
        of_author = MediaIndex.of_author
        late = [media_id("late")]
        monkeypatch.setattr(
            MediaIndex, "of_author", lambda *names: [one for one in of_author(*names) if one not in late]
        )
        erasure = check(authors=[name(ALICE)])
        assert erase(lake, erasure)["left"] == 0
        assert list(lake.mapping()) == late
        late.clear()
        assert find(erasure)["left"] == 2
        assert erase(lake, erasure)["left"] == 0
        assert lake.mapping() == {}


class Killed(BaseException):
    """The worker dies: no code of ours may catch this."""


def killed_at(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> Callable[[], bool]:
    """Let the worker die before or after its call of AWS with this number; return a check that it did."""
    client_class, method = calls_of_aws()
    make = getattr(client_class, method)
    left = [number]

    def call_or_die(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Killed
        answer = make(self, operation, arguments)
        if left[0] == 0:
            raise Killed
        return answer

    monkeypatch.setattr(client_class, method, call_or_die)
    return lambda: left[0] <= 0


def world(lake: Lake) -> None:
    first = close(lake, shown("one"), copy_of("one", "two", BOB), shown("three", CAROL, OTHER))
    log_hashes(lake, first, "one", "three")
    close(
        lake,
        copy_of("three", "four", BOB, OTHER),
        shown("bad", CAROL, "ef" * 32, status=Status.REJECTED),
        dt="2026-04-02",
    )
    HashLogCache(HashLog(IMAGE_HASHES), HashLogSnapshot(lake.bucket)).refresh(consistent=True)


def end_state(lake: Lake) -> str:
    listed = suppressions(SUPPRESSIONS, SUPPRESSION_KEY).read()
    log = [{**one, "generation": "any"} if "generation" in one else one for one in lake.hashes()]
    state = [lake.mapping(), lake.owners(), log, versions("raw/"), sorted(listed.hashes)]
    return json.dumps(state, default=str, sort_keys=True)


STEPS = ("suppress-request", "find_erased", "suppress-found", "erase_images", "verify")
REQUEST: dict[str, Any] = {"authors": [name(ALICE)], "media_ids": [media_id("three")]}


def do(step: str, erasure: Erasure) -> None:
    if step.startswith("suppress"):
        call("suppress", erasure=erasure, what=step.partition("-")[2])
    elif step == "erase_images":
        erase_rows(find_lake(), erasure)
        call("erase_images", erasure=erasure)
    else:
        find(erasure)


def find_lake() -> Lake:
    lake = Lake.__new__(Lake)
    lake._open("lake", "image-keys", "image-hashes")
    return lake


def end_after_a_kill(monkeypatch: pytest.MonkeyPatch, step: str, number: int, after: bool) -> tuple[str, bool]:
    """Do an erasure that dies at this call of a step, then the same one again; return its end, and if it has died."""
    lake = Lake()
    suppressions.cache_clear()
    prepare_again(lake)
    world(lake)
    erasure = check(**REQUEST)
    for one in STEPS[: STEPS.index(step)]:
        do(one, erasure)
    with monkeypatch.context() as dying:
        died = killed_at(dying, number, after=after)
        with suppress(Killed):
            do(step, erasure)
        has_died = died()
    assert erase(lake, check("started-again", **REQUEST))["left"] == 0
    return end_state(lake), has_died


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_some_calls(lake: Lake, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    calls = [(2, False), (7, True)]
    ends = {end_after_a_kill(monkeypatch, step, number, after)[0] for number, after in calls}
    assert len(ends) == 1
    assert "alice/one" not in ends.pop()


@pytest.mark.full
@pytest.mark.exhaustive
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_call(lake: Lake, monkeypatch: pytest.MonkeyPatch, step: str, after: bool) -> None:
    ends, number, has_died = set(), 0, True
    while has_died:
        number += 1
        end, has_died = end_after_a_kill(monkeypatch, step, number, after)
        ends.add(end)
    assert len(ends) == 1
    assert "alice/one" not in ends.pop()


def prepare_again(lake: Lake) -> None:
    """Make what a new lake lacks; the secret and the state machine are still there."""
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    lake.suppress()


def test_nothing_found_changes_nothing(lake: Lake) -> None:
    keep_plan(lake, planned_of(shown("two", BOB), dt="2026-04-05"))
    erasure = check(authors=[name(ALICE)])
    call("suppress", erasure=erasure, what="request")
    find(erasure)
    assert call("erase_images", erasure=erasure) == {"changed": 0, "erased": 0}
    assert lake.image_hashes.generation() == 0


def test_notes_for_the_receipt_and_no_name_in_logs(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    log_hashes(lake, close(lake, shown("one")), "one")
    erasure = check(authors=[name(ALICE)])
    capsys.readouterr()
    erase(lake, erasure)
    assert "alice" not in capsys.readouterr().out
    notes = [lake.bucket.get_json(key) for key in lake.bucket.list(object_keys.erasure_notes(erasure["erasure_id"]))]
    of_objects = [note for note in notes if not note["key"].endswith("/")]
    assert {note["place"]: (note["items"], len(note["versions"])) for note in of_objects} == {
        "raw_images": ([media_id("one")], 1),
        "hash_log": ([media_id("one")], 0),
        "media_index": ([media_id("one")], 0),
    }
    assert FoundObjects(lake.bucket, erasure["erasure_id"], erasure["execution_arn"]).read().items


class TestBookmarks:
    """https://atproto.com/specs/at-uri-scheme has the form of Bluesky's ids, which begin with that of the author."""

    def ids(self) -> dict[str, str]:
        items = client("dynamodb").scan(TableName=BOOKMARKS)["Items"]
        return {item["feed_id"]["S"]: item["newest_id"]["S"] for item in items if "newest_id" in item}

    def test_ids_of_the_authors_posts_are_erased(self, lake: Lake) -> None:
        others = {
            "bluesky-2": f"at://{BOB}/app.bsky.feed.post/1",
            # Another network's author of the same id, an id without an author, and text that only begins alike.
            "facebook-3": f"{ALICE}_1",
            "bluesky-4": "17",
            "bluesky-5": f"at://{ALICE}b/app.bsky.feed.post/1",
        }
        for feed_id, newest_id in {"bluesky-1": f"at://{ALICE}/app.bsky.feed.post/1", **others}.items():
            lake.put_bookmark(feed_id, newest_id, "2026-04-01T00:00:00.000000Z")
        client("dynamodb").put_item(TableName=BOOKMARKS, Item={"feed_id": {"S": "bluesky-6"}})
        for _ in range(2):
            erase(lake, check(authors=[name(ALICE)]))
            assert self.ids() == {"bluesky-1": "erased", **others}

    def test_id_of_an_erased_post(self, lake: Lake) -> None:
        ids = {f"bluesky-{number}": f"at://{ALICE}/app.bsky.feed.post/{number}" for number in (1, 2)}
        for feed_id, newest_id in ids.items():
            lake.put_bookmark(feed_id, newest_id, "2026-04-01T00:00:00.000000Z")
        erase(lake, check(posts=[{**name(ALICE), "post_id": ids["bluesky-1"]}]))
        assert self.ids() == ids | {"bluesky-1": "erased"}

    def test_cursors_of_backfills_that_can_name_the_author(self, lake: Lake) -> None:
        """A cursor of Facebook has unfinished albums: https://developers.facebook.com/docs/graph-api/reference/page-post/
        gives the form of their ids, PAGE_POST. The cursor of the author's own feed is a text of the network.
        """
        album = urlencode([("album", f"POST 9 {LONG_AGO} 100 5 limit=100")])
        cursors = {
            "facebook-1": album.replace("POST", "12_3"),
            "facebook-2": urlencode([("album", f"7_3 12 {LONG_AGO} 100 5 limit=100"), ("after", "x")]),
            "facebook-3": album.replace("POST", "123_3"),
            "bluesky-4": f"at://{ALICE}/app.bsky.feed.post/1",
            "bluesky-5": "2026-04-01T00:00:00Z",
            "bluesky-6": "2026-04-01T00:00:00Z",
            "x-7": "12",
        }
        position = {"reached_to": "2026-03-01T00:00:00.000000Z", "begun_at": "2026-04-01T00:00:00.000000Z"}
        for feed_id, cursor in cursors.items():
            item = {"feed_id": feed_id, "newest_id": "17", "newest_at": "2026-04-01T00:00:00.000000Z"}
            texts = item | {f"backfill_{one}": value for one, value in {**position, "cursor": cursor}.items()}
            values: Any = {one: {"S": value} for one, value in texts.items()}
            client("dynamodb").put_item(TableName=BOOKMARKS, Item=values | {"backfill_is_at_end": {"BOOL": False}})
        lake.suppress(("feed", "bluesky-5"))
        gone = {"facebook-1", "facebook-2", "bluesky-4", "bluesky-5"}
        for _ in range(2):
            erase(lake, check(authors=[name(ALICE), {"source": "facebook", "author_id": "12"}]))
            after = {one: read_position(BOOKMARKS, one).backfill for one in cursors}
            assert {one: value.cursor for one, value in after.items()} == cursors | dict.fromkeys(gone, "")
            assert all(value.reached_to == position["reached_to"] for value in after.values())

    def test_bookmark_that_a_run_moves_meanwhile_stays(self, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
        lake.put_bookmark("bluesky-1", f"at://{ALICE}/app.bsky.feed.post/1", "2026-04-01T00:00:00.000000Z")

        def note(*_: Any) -> None:
            lake.put_bookmark("bluesky-1", f"at://{BOB}/app.bsky.feed.post/9", "2026-04-02T00:00:00.000000Z")

        monkeypatch.setattr("erase_images.bookmarks.ErasedObjects.note", note)
        erase(lake, check(authors=[name(ALICE)]))
        assert self.ids() == {"bluesky-1": f"at://{BOB}/app.bsky.feed.post/9"}


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "place"), [("UpdateItem", "hash_log"), ("DeleteItem", "media_index")])
def test_killed_after_a_change_it_still_has_the_note(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, operation: str, place: str
) -> None:
    log_hashes(lake, close(lake, shown("one")), "one")
    erasure = check(authors=[name(ALICE)])
    for step in STEPS[: STEPS.index("erase_images")]:
        do(step, erasure)
    erase_rows(lake, erasure)
    client_class, method = calls_of_aws()
    make = getattr(client_class, method)

    def call_and_die(self: Any, called: str, arguments: dict[str, Any]) -> Any:
        answer = make(self, called, arguments)
        # The entry of a raw image goes before those of items.
        if called == operation and "sha256/" not in str(arguments.get("Key")):
            raise Killed
        return answer

    with monkeypatch.context() as dying:
        dying.setattr(client_class, method, call_and_die)
        with pytest.raises(Killed):
            call("erase_images", erasure=erasure)
    keys = lake.bucket.list(object_keys.erasure_notes(erasure["erasure_id"]))
    assert place in {lake.bucket.get_json(key)["place"] for key in keys}


@pytest.mark.slow
@pytest.mark.parametrize("is_deleted", [True, False])
@pytest.mark.parametrize(
    "key",
    [
        "raw/posts/source=bluesky/dt=2026-04-01/run/feed-00000.json.gz",
        "rejects/source=bluesky/dt=2026-04-01/run-feed.jsonl",
        "rejects/source=x/dt=2026-04-01/run-feed.jsonl",
        "work/stream/stream-2026-04-01-ab.json",
        "work/parts/b/retry=/00000",
        "aws/lambda/0d3c/shardId-000000000006/2026/04/09/ab",
        "reports/daily-1/failures/feed.jsonl",
        "reports/daily-1/index.html",
        "reports/index.html",
        "work/rebuild/parts/b/rebuild-1/etag/00000",
        "open/feed/b.json",
        "lake/coverage/dt=2026-04-01/daily-1.json.gz",
    ],
)
def test_older_version_of_an_object_without_anything_to_erase(lake: Lake, key: str, is_deleted: bool) -> None:
    """The pipeline wrote the object again without the person, or it has expired, before the erasure read it."""
    plan = keep_plan(lake, planned_of(shown("other", CAROL, OTHER), dt="2026-04-05"))
    lake.bucket.put(key, b"bob's words", "text/plain")
    lake.bucket.put(key, plan.model_dump_json().encode(), "text/plain")
    if is_deleted:
        lake.bucket.delete(key)
    erasure = check(authors=[name(BOB), {"source": "x", "author_id": "7"}])
    assert erase(lake, erasure)["left"] == 0
    assert len(lake.bucket.all_versions(key)) == int(not is_deleted)
    assert is_deleted or lake.bucket.get(key) == plan.model_dump_json().encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "key", ["rejects/source=rss/dt=2026-04-01/r.jsonl", "raw/images/ab/ab", "lake/images/a.parquet", "erasures/e.json"]
)
def test_older_versions_of_what_cannot_name_the_person_stay(lake: Lake, key: str) -> None:
    for body in (b"one", b"two"):
        lake.bucket.put(key, body, "text/plain")
    erase(lake, check(authors=[name(BOB)]))
    assert len(lake.bucket.all_versions(key)) == 2


@pytest.mark.parametrize("is_post", [True, False])
@pytest.mark.parametrize("is_same_request", [True, False])
def test_older_versions_of_files_that_a_killed_erasure_has_changed(
    lake: Lake, is_post: bool, is_same_request: bool
) -> None:
    """The near duplicate or the new owner names the person no more, so no later search finds its file."""
    close(lake, shown("one"))
    copy = copy_of("one", "two", BOB) if is_post else shown("near", BOB, OTHER, duplicate_of=media_id("one"))
    second = close(lake, copy, dt="2026-04-02")
    other = close(lake, shown("other", CAROL, "ef" * 32), dt="2026-04-02")
    files = [object_keys.parquet(one.batch) for one in (second, other)]
    what: dict[str, Any] = {"posts": [name(ALICE, post_id="one")]} if is_post else {"authors": [name(ALICE)]}
    first = check("first", **what)
    for step in STEPS[: STEPS.index("erase_images")]:
        do(step, first)
    erase_rows(lake, first)
    for key in files:
        lake.bucket.put(key, b"without the person", "application/vnd.apache.parquet")
    again = check("again", **what) if is_same_request else check("again", **what, media_ids=["bluesky/none"])
    assert (again["erasure_id"] == first["erasure_id"]) is is_same_request
    assert erase(lake, again)["left"] == 0
    assert [len(lake.bucket.all_versions(key)) for key in files] == [1, 2]


@pytest.mark.parametrize("is_deleted_twice", [True, False])
def test_raw_image_that_somebody_has_deleted(lake: Lake, is_deleted_twice: bool) -> None:
    """A delete marker hides it, and the version stays for 30 days."""
    close(lake, shown("one"))
    for _ in range(1 + is_deleted_twice):
        client("s3").delete_object(Bucket=BUCKET, Key=RAW)
    assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
    assert versions("raw/images/") == []


@pytest.mark.slow
@pytest.mark.parametrize("key", ["work/failed-batches/run/b.json", "work/results/run/feed/m/SUCCEEDED_0.json"])
@pytest.mark.parametrize("id_of_post", ["one", 'o"n\\e', "ö/1"])
def test_messages_that_name_an_item(lake: Lake, key: str, id_of_post: str) -> None:
    """A message of an error can name items; the results of a map have the outputs as texts of JSON inside JSON."""
    close(lake, shown(id_of_post))
    others = key.replace("run", "other")
    for place, one in ((key, media_id(id_of_post)), (others, media_id("x"))):
        inner = json.dumps({"error": "E", "message": f"batch: {one} is ok in its row"})
        lake.bucket.put_json(place, {"Output": inner} if "results" in key else json.loads(inner))
    assert erase(lake, check(authors=[name(ALICE)]))["left"] == 0
    assert lake.bucket.all_versions(key) == {}
    assert lake.bucket.exists(others)


@pytest.mark.slow
@pytest.mark.parametrize("erase_what", [{"posts": [name(ALICE, post_id="one")]}, {"media_ids": [item("one").media_id]}])
@pytest.mark.parametrize("has_copy", [True, False])
def test_same_request_releases_the_image_of_an_erasure_that_was_given_up(
    lake: Lake, erase_what: dict[str, Any], has_copy: bool
) -> None:
    """The execution was killed after Find, and its working objects have expired."""
    close(lake, shown("one"), *([copy_of("one", "two", BOB)] if has_copy else []))
    first = check("first", **erase_what)
    call("suppress", erasure=first, what="request")
    find(first)
    lake.bucket.delete_folder(object_keys.erasure_prefix(first["erasure_id"]))
    with pytest.raises(StorageUnavailableError):
        lake.media_index.own({SHA256: media_id("new")})
    assert erase(lake, check("again", **erase_what))["left"] == 0
    assert lake.media_index.own({SHA256: media_id("new")}) == {SHA256: media_id("two" if has_copy else "new")}
