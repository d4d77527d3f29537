"""Find Erased: everything that an erasure erases, listed for the steps that follow, however often it is killed."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest

from find_erased.price import usd_of
from imagelake.lake import object_keys
from imagelake.lake.erasure_found import Found
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import Row, Status
from imagelake.run.aws import client
from imagelake.run.erasure_models import FoundCounts
from imagelake.run.errors import ErasureIncompleteError
from imagelake.run.models import PlannedBatch
from tests.support.erasure_steps import (
    ALICE,
    BOB,
    CAROL,
    PIPELINE,
    REBUILD,
    SHA256,
    Erasure,
    call,
    changes,
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
    suppressed_at,
)
from tests.support.factories import decide, item, keep_plan, keep_rows, result, stage
from tests.support.fake_lake import Lake

OTHER = "cd" * 32


@pytest.fixture(autouse=True)
def stack(lake: Lake) -> None:
    prepare(lake)


def suppressed(execution: str = "ticket-17", **erase: Any) -> Erasure:
    erasure = check(execution, **erase)
    call("suppress", erasure=erasure, what="request")
    return erasure


def open_batch(lake: Lake, *rows: Row, dt: str = "2026-04-05", feed_id: str = "feed") -> PlannedBatch:
    """Carry rows through Transform."""
    planned = keep_rows(lake, planned_of(*rows, dt=dt, feed_id=feed_id), *rows)
    own_images(lake, *rows)
    return planned


def found_by(lake: Lake, erasure: Erasure) -> Found:
    key = object_keys.erasure_found(erasure["erasure_id"], erasure["execution_arn"])
    return lake.bucket.get_model(key, Found)


def media_id(name: str) -> str:
    return item(name).media_id


class TestWaiting:
    def run(self, machine: str = PIPELINE) -> str:
        arn: str = client("stepfunctions").start_execution(stateMachineArn=machine, name="run")["executionArn"]
        return arn

    def test_run_from_before_the_suppression(self, lake: Lake) -> None:
        close(lake, shown("one"))
        run = self.run()
        erasure = suppressed(authors=[name(ALICE)])
        found = call("find_erased", erasure=erasure)
        assert (found["must_wait"], found["left"]) == (True, 1)
        client("stepfunctions").stop_execution(executionArn=run)
        assert find(erasure)["must_wait"] is False

    def test_run_from_after_the_suppression(self, lake: Lake) -> None:
        erasure = suppressed(authors=[name(ALICE)])
        suppressed_at(lake, erasure, timedelta(hours=1))
        self.run()
        assert call("find_erased", erasure=erasure)["must_wait"] is False

    def test_later_suppression_of_copies_counts_too(self, lake: Lake) -> None:
        erasure = suppressed(authors=[name(ALICE)])
        suppressed_at(lake, erasure, timedelta(hours=1))
        self.run()
        call("suppress", erasure=erasure, what="found")
        assert call("find_erased", erasure=erasure)["must_wait"] is True

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "erase", [{"authors": [name(ALICE)]}, {"sha256": [SHA256]}, {"media_ids": [media_id("one")]}]
    )
    def test_run_that_began_before_the_copies_were_suppressed(self, lake: Lake, erase: dict[str, Any]) -> None:
        """It may have read a list without the copies, and stores their posts after the pages were erased."""
        close(lake, shown("one"), copy_of("one", "two", BOB))
        erasure = suppressed(**erase)
        suppressed_at(lake, erasure, timedelta(hours=1))
        run = self.run()
        assert find(erasure)["is_suppressed"] is False
        call("suppress", erasure=erasure, what="found")
        assert call("find_erased", erasure=erasure)["must_wait"] is True
        client("stepfunctions").stop_execution(executionArn=run)
        found = call("find_erased", erasure=erasure)
        assert (found["must_wait"], found["is_suppressed"]) == (False, True)
        close(lake, copy_of("one", "three", CAROL), dt="2026-04-03")
        assert call("find_erased", erasure=erasure)["is_suppressed"] is ("media_ids" in erase)

    def test_nothing_found_needs_no_more_waiting(self, lake: Lake) -> None:
        assert find(suppressed(authors=[name(BOB)]))["is_suppressed"] is True

    def test_rebuild_from_before(self, lake: Lake) -> None:
        self.run(REBUILD)
        assert call("find_erased", erasure=suppressed(authors=[name(ALICE)]))["must_wait"] is True

    def test_dry_run_waits_for_nobody_and_changes_nothing(self, lake: Lake) -> None:
        close(lake, shown("one"), copy_of("one", "two", BOB), shown("three", BOB, OTHER))
        self.run()
        erasure = check(dry_run=True, authors=[name(ALICE)])
        before = lake.stored()
        found = call("find_erased", erasure=erasure)
        assert lake.stored() == before
        assert (found["must_wait"], found["left"]) == (False, 3)  # two items and a raw image
        counts = found["counts"]
        assert (counts["items"], counts["files"], counts["raw_images"]) == (2, 1, 1)
        assert 0 < counts["usd"] < 0.01

    def test_index_gets_time_after_an_owner_is_marked(self, lake: Lake) -> None:
        close(lake, shown("one"))
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        assert call("find_erased", erasure=erasure)["must_wait"] is True
        assert lake.owners()[SHA256]["state"] == "erasing"
        assert call("find_erased", erasure=erasure)["must_wait"] is False

    def test_duplicate_that_the_index_did_not_know_at_first_takes_the_place(
        self, lake: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        close(lake, shown("one"), copy_of("one", "two", BOB))
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        with monkeypatch.context() as late:
            late.setattr(MediaIndex, "duplicates_of", lambda self, media_id: [])
            assert call("find_erased", erasure=erasure)["must_wait"] is True
        call("find_erased", erasure=erasure)
        assert found_by(lake, erasure).successors == {media_id("one"): media_id("two")}
        assert found_by(lake, erasure).raw_images == set()


class TestChanges:
    def test_owner_is_promoted_and_others_get_a_new_original(self, lake: Lake) -> None:
        first = close(lake, shown("one"))
        second = close(lake, copy_of("one", "two", BOB), dt="2026-04-02")
        third = close(
            lake,
            copy_of("one", "three", CAROL),
            shown("near", BOB, OTHER, duplicate_of=media_id("one")),
            dt="2026-04-03",
        )
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        find(erasure)
        keys = [object_keys.parquet(one.batch) for one in (first, second, third)]
        files = changes(lake, erasure)
        assert files.keys() == {keys[0], keys[2]}
        assert files[keys[0]].erase == [media_id("one")]
        assert files[keys[2]].relink == {media_id("three"): media_id("two"), media_id("near"): media_id("two")}
        promotions = changes(lake, erasure, "promotions")
        assert promotions.keys() == {keys[1]}
        assert promotions[keys[1]].promote == {media_id("two"): (media_id("one"), keys[0])}

    def test_near_duplicate_of_a_person_has_no_original_any_more(self, lake: Lake) -> None:
        planned = close(lake, shown("one"), shown("near", BOB, OTHER, duplicate_of=media_id("one")))
        erasure = suppressed(authors=[name(ALICE)])
        find(erasure)
        one = changes(lake, erasure)[object_keys.parquet(planned.batch)]
        assert (one.erase, one.relink) == ([media_id("one")], {media_id("near"): None})
        assert changes(lake, erasure, "promotions") == {}

    def test_request_without_matches_is_no_error(self, lake: Lake) -> None:
        close(lake, shown("one"))
        erasure = suppressed(authors=[name(BOB)], media_ids=["x/1"], sha256=[OTHER])
        found = find(erasure)
        assert (found["left"], found["must_wait"], found["counts"]["items"]) == (0, False, 0)
        assert changes(lake, erasure) == changes(lake, erasure, "promotions") == {}

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "erase",
        [
            {"authors": [{"source": "x", "author_id": ALICE}, {"source": "stream", "author_id": ALICE}]},
            {"posts": [{"source": "mastodon", "author_id": ALICE, "post_id": "one"}]},
            {"posts": [name(BOB, post_id="one")]},
            {"authors": [name("one")]},
        ],
    )
    def test_ids_that_look_alike_are_not_found(self, lake: Lake, erase: dict[str, Any]) -> None:
        close(lake, shown("one"))
        open_batch(lake, shown("two", sha256=OTHER))
        assert find(suppressed(**erase))["counts"]["items"] == 0

    @pytest.mark.slow
    @pytest.mark.parametrize("has_other_copy", [True, False])
    def test_duplicate_that_another_erasure_has_erased_since_the_last_search_takes_no_place(
        self, lake: Lake, has_other_copy: bool
    ) -> None:
        """The first search chose Bob's duplicate. Until the next one, all of Bob is erased."""
        close(lake, shown("one"), copy_of("one", "a", BOB), shown("near", BOB, OTHER, duplicate_of=media_id("one")))
        if has_other_copy:
            close(lake, copy_of("one", "b", CAROL), dt="2026-04-02")
        close(lake, shown("near-of-carol", CAROL, "ef" * 32, duplicate_of=media_id("one")), dt="2026-04-03")
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        find(erasure)
        assert found_by(lake, erasure).successors == {media_id("one"): media_id("a")}
        assert erase(lake, suppressed("bob", authors=[name(BOB)]))["left"] == 0
        for execution in (erasure, suppressed("again", posts=[name(ALICE, post_id="one")])):
            find(execution)
            found = found_by(lake, execution)
            assert found.successors == ({media_id("one"): media_id("b")} if has_other_copy else {})
            assert media_id("a") not in [one.original for one in found.relinks.values()]
            assert found.raw_images == (set() if has_other_copy else {object_keys.raw_image(SHA256)})

    @pytest.mark.slow
    @pytest.mark.parametrize("length", [129, 200, 500])
    def test_id_that_is_the_digest_of_another_one_names_nobody_else(self, lake: Lake, length: int) -> None:
        """The index has digests of long ids, and any text can be the id of an author or of a post."""
        long = "v" * length
        digest = f"sha256-{hashlib.sha256(long.encode()).hexdigest()}"
        close(lake, shown("one", author_id=long))
        close(lake, shown(long, BOB, OTHER), dt="2026-04-02")
        wrong = suppressed(authors=[name(digest)], posts=[name(BOB, post_id=digest)])
        assert find(wrong)["counts"]["items"] == 0
        right = suppressed(authors=[name(long)], posts=[name(BOB, post_id=long)])
        assert find(right)["counts"]["items"] == 2
        close(lake, shown("two", author_id=digest, sha256="ef" * 32), dt="2026-04-03")
        assert find(wrong)["counts"]["items"] == 1

    @pytest.mark.slow
    def test_duplicate_that_has_the_image_already_stays_the_new_original(self, lake: Lake) -> None:
        close(lake, shown("one"), copy_of("one", "a", BOB), copy_of("one", "b", CAROL))
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        find(erasure)
        erase_rows(lake, erasure)
        find(erasure)
        assert found_by(lake, erasure).successors == {media_id("one"): media_id("a")}

    def test_duplicate_that_another_erasure_erases_takes_no_place(self, lake: Lake) -> None:
        close(lake, shown("one"), copy_of("one", "a", BOB), copy_of("one", "b", CAROL))
        suppressed(media_ids=[media_id("a")])
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        find(erasure)
        assert found_by(lake, erasure).successors == {media_id("one"): media_id("b")}


class TestSameBytes:
    def test_all_rejected_items_of_a_person_and_their_copies(self, lake: Lake) -> None:
        rows = [shown(one, author, status=Status.REJECTED) for one, author in (("a", ALICE), ("b", BOB), ("c", CAROL))]
        close(lake, *rows)
        erasure = suppressed(authors=[name(ALICE)])
        find(erasure)
        found = found_by(lake, erasure)
        assert sorted(found.items) == [media_id("a"), media_id("b"), media_id("c")]
        assert found.raw_images == {object_keys.raw_image(SHA256)}

    @pytest.mark.slow
    @pytest.mark.parametrize("named", ["a", "b"])
    def test_raw_image_stays_for_another_rejected_item(self, lake: Lake, named: str) -> None:
        close(lake, shown("a", status=Status.REJECTED), shown("b", BOB, status=Status.REJECTED))
        erasure = suppressed(media_ids=[media_id(named)])
        find(erasure)
        found = found_by(lake, erasure)
        assert (sorted(found.items), found.raw_images) == ([media_id(named)], set())
        assert found.rejected == ({SHA256: media_id("b")} if named == "a" else {})

    @pytest.mark.slow
    @pytest.mark.parametrize("is_staged", [True, False])
    @pytest.mark.parametrize("erase", [{"authors": [name(ALICE)]}, {"sha256": [SHA256]}])
    def test_open_batch_with_the_image(self, lake: Lake, erase: dict[str, Any], is_staged: bool) -> None:
        close(lake, shown("one"))
        row = copy_of("one", "two", BOB)
        planned = keep_plan(lake, planned_of(row, shown("other", CAROL, OTHER), dt="2026-04-05"))
        (stage if is_staged else decide)(lake, planned.batch, row, shown("other", CAROL, OTHER))
        erasure = suppressed(**erase)
        assert find(erasure)["counts"]["open_batches"] == 1
        assert found_by(lake, erasure).open_batches == {object_keys.parquet(planned.batch): [media_id("two")]}
        assert changes(lake, erasure)[object_keys.parquet(planned.batch)].erase == [media_id("two")]

    def test_raw_image_stays_for_an_open_batch(self, lake: Lake) -> None:
        close(lake, shown("one"))
        planned = open_batch(lake, copy_of("one", "two", BOB))
        erasure = suppressed(posts=[name(ALICE, post_id="one")])
        find(erasure)
        found = found_by(lake, erasure)
        assert (sorted(found.items), found.raw_images) == ([media_id("one")], set())
        assert changes(lake, erasure)[object_keys.parquet(planned.batch)].relink == {media_id("two"): None}

    def test_image_of_an_open_item_of_a_person_goes(self, lake: Lake) -> None:
        planned = open_batch(lake, shown("one"))
        close(lake, copy_of("one", "two", BOB))
        erasure = suppressed(authors=[name(ALICE)])
        find(erasure)
        found = found_by(lake, erasure)
        assert sorted(found.items) == sorted([media_id("one"), media_id("two")])
        assert found.open_batches == {object_keys.parquet(planned.batch): [media_id("one")]}
        assert found.raw_images == {object_keys.raw_image(SHA256)}

    def test_raw_image_without_an_entry(self, lake: Lake) -> None:
        lake.bucket.put_once(object_keys.raw_image(SHA256), b"raw")
        erasure = suppressed(sha256=[SHA256])
        assert find(erasure)["left"] == 1
        assert found_by(lake, erasure).raw_images == {object_keys.raw_image(SHA256)}

    def test_near_duplicate_in_an_open_batch_loses_its_original(self, lake: Lake) -> None:
        close(lake, shown("one"))
        planned = open_batch(lake, shown("near", BOB, OTHER, duplicate_of=media_id("one")))
        erasure = suppressed(authors=[name(ALICE)])
        find(erasure)
        assert changes(lake, erasure)[object_keys.parquet(planned.batch)].relink == {media_id("near"): None}


class TestTries:
    @pytest.mark.slow
    def test_results_of_a_killed_try_are_united_with_new_ones(self, lake: Lake) -> None:
        """The first execution was killed after it had deleted the plan and the entries of one of two items."""
        first, second = close(lake, shown("one")), close(lake, shown("two", sha256=OTHER), dt="2026-04-02")
        find(suppressed(authors=[name(ALICE)]))
        lake.bucket.delete(object_keys.planned_batch(first.batch))
        client("dynamodb").delete_item(TableName="image-keys", Key={"media_id": {"S": media_id("one")}})
        erasure = suppressed("started-again", authors=[name(ALICE)])
        assert find(erasure)["left"] == 4
        assert changes(lake, erasure).keys() == {object_keys.parquet(one.batch) for one in (first, second)}

    def test_copies_of_an_owner_that_is_unmapped_are_still_found(self, lake: Lake) -> None:
        close(lake, shown("one"), copy_of("one", "two", BOB))
        find(suppressed(authors=[name(ALICE)]))
        for key in (media_id("one"), f"sha256/{SHA256}"):
            client("dynamodb").delete_item(TableName="image-keys", Key={"media_id": {"S": key}})
        erasure = suppressed("started-again", authors=[name(ALICE)])
        find(erasure)
        assert sorted(found_by(lake, erasure).items) == sorted([media_id("one"), media_id("two")])

    @pytest.mark.slow
    def test_file_has_the_same_number_in_each_execution(self, lake: Lake) -> None:
        close(lake, shown("one"))
        erasure = suppressed(authors=[name(ALICE)])
        files = object_keys.erasure_list(erasure["erasure_id"], "files")
        find(erasure)
        (before,) = lake.bucket.get_json(files)
        for number in range(5):
            close(lake, shown(f"{number}", sha256=f"{number}" * 64), dt=f"2026-03-0{number + 1}")
        find(suppressed("again", authors=[name(ALICE)]))
        assert before in lake.bucket.get_json(files)
        assert len(lake.bucket.get_json(files)) == 6

    @pytest.mark.slow
    def test_erasure_that_never_ends_is_an_error_that_names_nobody(self, lake: Lake) -> None:
        close(lake, shown("one"))
        erasure = suppressed(authors=[name(ALICE)])
        assert call("find_erased", erasure=erasure)["must_wait"]
        call("suppress", erasure=erasure, what="found")
        for _ in range(6):
            assert call("find_erased", erasure=erasure)["left"]
        with pytest.raises(ErasureIncompleteError) as caught:
            call("find_erased", erasure=erasure)
        assert "alice" not in str(caught.value)
        # A new execution has rounds of its own.
        assert call("find_erased", erasure=suppressed("again", authors=[name(ALICE)]))["left"]


class TestLists:
    def lists(self, lake: Lake, erasure: Erasure) -> tuple[list[str], list[str]]:
        days, reports = (
            lake.bucket.get_json(object_keys.erasure_list(erasure["erasure_id"], one)) for one in ("days", "reports")
        )
        return [f"{day['source']} {day['dt']}" for day in days], [f"{one['run_id']} {one['dt']}" for one in reports]

    def fill(self, lake: Lake) -> None:
        for key in (
            "raw/posts/source=bluesky/dt=2026-04-01/run/feed-00000.json.gz",
            "raw/posts/source=bluesky/dt=2026-04-01/run/feed-00001.json.gz",
            "raw/posts/source=bluesky/dt=2026-04-03/run/feed-00000.json.gz",
            "rejects/source=bluesky/dt=2026-04-02/run-feed.jsonl",
            "raw/posts/source=x/dt=2026-04-01/run/feed-00000.json.gz",
            "rejects/source=stream/dt=2026-04-07/stream-2026-04-07-ab.jsonl",
            "work/stream/stream-2026-04-08-0123456789abcdef01234567.json",
            "aws/lambda/0d3c/shardId-000000000006/2026/04/09/2026-04-09T10.11.12-ab",
            "reports/daily-1/index.html",
            "reports/daily-1/feeds/feed.json",
            "reports/daily-2/run.json",
            "reports/_feeds/feed.json",
            object_keys.GLANCE,
            object_keys.GLANCE_PAGE,
            "lake/coverage/dt=2026-04-02/daily-2.json.gz",
            "lake/coverage/dt=2025-04-01/expired.json.gz",
        ):
            lake.bucket.put(key, b"", "text/plain")

    def test_all_days_of_the_networks_concerned_and_all_reports(self, lake: Lake) -> None:
        self.fill(lake)
        erasure = suppressed(authors=[name(BOB)])
        found = find(erasure)
        assert self.lists(lake, erasure) == (
            ["bluesky 2026-04-01", "bluesky 2026-04-02", "bluesky 2026-04-03"],
            ["daily-1 None", "daily-2 2026-04-02", "expired 2025-04-01", "None None"],
        )
        assert (found["counts"]["pages"], found["counts"]["reports"]) == (4, 3)

    @pytest.mark.slow
    def test_network_of_a_found_copy_and_of_a_media_id(self, lake: Lake) -> None:
        self.fill(lake)
        close(lake, shown("one"))
        assert self.lists(lake, self.found(sha256=[SHA256]))[0][0] == "bluesky 2026-04-01"
        of_media = self.lists(lake, self.found(media_ids=["x/3_1"]))[0]
        assert of_media == ["stream 2026-04-07", "stream 2026-04-08", "stream 2026-04-09", "x 2026-04-01"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "erase",
        [{"authors": [name(ALICE)]}, {"posts": [name(ALICE, post_id="one")]}, {"media_ids": [media_id("one")]}],
    )
    def test_days_of_the_stream_that_can_have_the_same_post(self, lake: Lake, erase: dict[str, Any]) -> None:
        """A producer may send a post of another network, with that network's media id."""
        self.fill(lake)
        close(lake, shown("one"))
        days = self.lists(lake, self.found(**erase))[0]
        assert [day for day in days if day.startswith("stream")] == [f"stream 2026-04-0{day}" for day in (7, 8, 9)]

    def found(self, **erase: Any) -> Erasure:
        erasure = suppressed(**erase)
        find(erasure)
        return erasure

    def test_state_and_logs_name_nobody(self, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
        close(lake, shown("one"))
        open_batch(lake, shown("two", sha256=OTHER))
        erasure = suppressed(authors=[name(ALICE)])
        capsys.readouterr()
        shown_to_all = repr(find(erasure)) + capsys.readouterr().out
        lists = [
            lake.bucket.get_json(object_keys.erasure_list(erasure["erasure_id"], one)) for one in ("files", "days")
        ]
        assert "alice" not in shown_to_all + repr(lists)
        assert SHA256 not in shown_to_all


@pytest.mark.full
@pytest.mark.exhaustive
def test_items_of_many_pages(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of an index has at most 1 MB: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Query.html"""
    # The index of AWS in memory looks at all entries for each original.
    monkeypatch.setattr(MediaIndex, "duplicates_of", lambda self, media_id: [])
    entries = [
        {
            "media_id": f"bluesky/{'m' * 80}/{number}", "source": "bluesky", "author": f"bluesky#{ALICE}",
            "post_id": f"{'p' * 100}{number}", "status": "failed", "dt": "2026-04-01", "batch_id": f"b{number // 500}",
            "processed_key": f"lake/images/source=bluesky/dt=2026-04-01/b{number // 500}.parquet", "row": number % 500,
        }
        for number in range(10_000)
    ]  # fmt: skip
    lake.media_index.complete(entries)
    found = find(suppressed(authors=[name(ALICE)]))
    assert (found["counts"]["items"], found["counts"]["files"], found["left"]) == (10_000, 20, 10_000)


def test_price_of_a_thousand_files() -> None:
    """Amazon S3 Find and Forget gives 11.14 USD for a thousand files; the goal is 0.25 USD."""
    counts = FoundCounts(items=1_000, files=1_000, open_batches=0, raw_images=1_000, pages=1_000, reports=30, usd=0)
    assert 0.05 < usd_of(counts) < 0.25
    assert usd_of(counts.model_copy(update={"files": 2_000})) > 1.5 * usd_of(counts)


def test_failed_item_has_no_image(lake: Lake) -> None:
    close(lake, result(item("gone"), Status.FAILED))
    found = find(suppressed(authors=[name(ALICE)]))
    assert (found["left"], found["counts"]["raw_images"]) == (1, 0)
