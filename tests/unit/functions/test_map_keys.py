"""Map Keys: the media index leads from a raw file to its row and back, and the batch is closed last."""

from __future__ import annotations

from typing import Any, cast

import pytest

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import write_file
from imagelake.lake.index_keys import author_key
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Row, Status, tombstone
from imagelake.lake.staging import Staging
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, ReconciliationError
from imagelake.run.models import PlannedBatch
from map_keys.app import handler
from tests.support.factories import (
    RUN,
    Context,
    decide,
    event,
    item,
    keep_file,
    keep_plan,
    keep_rows,
    plan,
    result,
    stage,
)
from tests.support.fake_bus import Bus
from tests.support.fake_lake import BUCKET, Lake
from tests.support.sent_metrics import sent_metrics

NO_IMAGE = f"{item('two').media_id} is a duplicate of {item('one').media_id}, which does not have the image"


def map_keys(planned: PlannedBatch) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("map_keys", batch=planned.batch), Context())
    return answer


def test_mapping_leads_from_raw_image_to_row_and_back(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one"), item("two")))
    assert map_keys(planned) == {"mapped": 2}
    two = lake.mapping()[item("two").media_id]
    row: Any = Staging(lake.bucket, planned.batch).rows()[1]
    assert two == {
        "media_id": item("two").media_id,
        "source": "bluesky",
        "feed": "bluesky:alice.example.com",
        "author": "bluesky#did:plc:alice",
        "post_id": "two",
        "status": "ok",
        "raw_key": row["raw_key"],
        "raw_sha256": row["raw_sha256"],
        "run_id": "daily-2026-04-01",
        "dt": "2026-04-01",
        "batch_id": planned.batch.batch_id,
        "processed_key": object_keys.parquet(planned.batch),
        "row": 1,
    }
    assert lake.indexed("by-author", "author", "bluesky#did:plc:alice") == sorted(one.media_id for one in planned.items)


@pytest.mark.parametrize("author_id", ["did:plc:" + "a" * 120, "圖" * 512, "https://example.org/" + "a" * 400])
@pytest.mark.parametrize("post_id", ["at://did:plc:" + "a" * 24 + "/app.bsky.feed.post/" + "3" * 13, "図" * 682])
def test_entry_takes_one_write_unit(lake: Lake, author_id: str, post_id: str) -> None:
    """A write unit is 1 KB: names and values of all attributes, a number up to 21 bytes.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    first = item("first")
    second = item("second").model_copy(
        update={"media_id": "bluesky/" + "m" * 120, "author_id": author_id, "post_id": post_id}
    )
    planned = plan(first, second)
    duplicate = result(second, Status.DUPLICATE, duplicate_of=first.media_id, raw_sha256=result(first)["raw_sha256"])
    map_keys(keep_file(lake, planned, result(first), duplicate))
    entry = lake.mapping()[second.media_id]
    sizes = [len(name) + (len(value.encode()) if isinstance(value, str) else 21) for name, value in entry.items()]
    assert sum(sizes) <= 1024
    assert lake.indexed("by-author", "author", author_key("bluesky", author_id)) == [second.media_id]


def test_authors_and_posts_of_different_networks_do_not_meet(lake: Lake) -> None:
    ours, theirs = item("1"), item("2").model_copy(update={"source": "x", "post_id": "1"})
    map_keys(keep_file(lake, plan(ours, theirs)))
    assert lake.indexed("by-author", "author", "bluesky#did:plc:alice") == [ours.media_id]
    assert lake.indexed("by-author", "author", "x#did:plc:alice") == [theirs.media_id]


def test_mapping_of_every_status(lake: Lake) -> None:
    planned = plan(*(item(status) for status in Status))
    rows = [result(one, status) for one, status in zip(planned.items, Status, strict=True)]
    rows[1]["duplicate_of"] = planned.items[0].media_id
    rows[1]["raw_sha256"] = rows[0]["raw_sha256"]
    map_keys(keep_file(lake, planned, *rows))
    mapping = lake.mapping()
    assert [mapping[one.media_id]["status"] for one in planned.items] == list(Status)
    duplicate, rejected, failed, erased = (mapping[one.media_id] for one in planned.items[1:])
    assert duplicate["duplicate_of"] == planned.items[0].media_id
    assert (rejected["error_code"], failed["error_code"]) == ("corrupt", "not_found")
    assert "raw_key" not in failed
    assert (erased["author"], erased["row"]) == ("bluesky#did:plc:alice", 4)
    assert not {"raw_key", "raw_sha256"} & erased.keys()


def nameless(name: str) -> Row:
    """The row of an item that Transform has not claimed, because it is on the list of what must not come back."""
    return tombstone(result(item(name)))


def keep_staged(lake: Lake, planned: PlannedBatch, claimed: list[Row], *staged: Row) -> PlannedBatch:
    """Store a batch of which only some items are claimed."""
    keep_plan(lake, planned)
    lake.media_index.claim([row["media_id"] for row in claimed], planned.batch.batch_id)
    rows = {row["media_id"]: row for row in decide(lake, planned.batch, *claimed)}
    Staging(lake.bucket, planned.batch).write([rows.get(row["media_id"]) or cast(StagedRow, row) for row in staged])
    _, staged_sha256 = Staging(lake.bucket, planned.batch).read_rows()
    assert write_file(lake.bucket, planned.batch, b"PAR1", staged_sha256, None)
    return planned


def test_erased_rows_without_ids_only_keep_their_places(lake: Lake) -> None:
    one, two = result(item("one")), result(item("two"))
    planned = plan(*(item(name) for name in ("gone", "one", "gone too", "two")))
    keep_staged(lake, planned, [one, two], nameless("gone"), one, nameless("gone too"), two)
    assert map_keys(planned) == {"mapped": 4}
    assert {key: entry["row"] for key, entry in lake.mapping().items()} == {one["media_id"]: 1, two["media_id"]: 3}
    assert lake.bucket.list("open/") == []


def test_error_when_more_items_are_lost_than_erased(lake: Lake) -> None:
    one = result(item("one"))
    planned = plan(*(item(name) for name in ("gone", "one", "lost")))
    keep_staged(lake, planned, [one], nameless("gone"), one)
    with pytest.raises(ReconciliationError, match="2 of 3 planned items have no row"):
        map_keys(planned)


def test_retried_item_keeps_its_place(lake: Lake) -> None:
    planned = plan(item("one"), item("two"))
    map_keys(keep_file(lake, planned, result(item("one")), result(item("two"), Status.FAILED)))
    batch = planned.batch.model_copy(update={"items": 1, "retried_by": "retry-1"})
    again = planned.model_copy(update={"batch": batch, "items": [item("two")]})
    assert map_keys(keep_file(lake, again)) == {"mapped": 1}
    one, two = (lake.mapping()[one.media_id] for one in planned.items)
    assert (one["row"], two["row"], two["status"]) == (0, 1, "ok")
    assert "error_code" not in two
    assert two["processed_key"] == object_keys.parquet(planned.batch)
    assert lake.bucket.list("open/") == []


def test_batch_is_closed(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")))
    map_keys(planned)
    assert lake.bucket.list("open/") == []
    assert lake.bucket.exists(object_keys.staged(planned.batch))


def test_batch_that_a_retry_has_opened_again_stays_open(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")))
    retried = planned.batch.model_copy(update={"retried_by": "retry-1"})
    marker = planned.model_copy(update={"batch": retried}).model_dump_json().encode()
    lake.bucket.put(object_keys.open_batch(planned.batch), marker, "application/json")
    map_keys(planned)
    assert lake.bucket.get(object_keys.open_batch(planned.batch)) == marker


def test_damaged_marker_is_named(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")))
    key = object_keys.open_batch(planned.batch)
    lake.bucket.put(key, b"{", "application/json")
    with pytest.raises(DamagedObjectError, match=key):
        map_keys(planned)


def test_closed_batch_is_published_and_counted(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = Bus()
    monkeypatch.setattr("imagelake.run.events._client", lambda: bus)
    planned = keep_file(lake, plan(item("one"), item("two")))
    map_keys(planned)
    ((name, detail),) = bus.published
    assert detail.pop("event_id")
    assert (name, detail) == (
        "Batch Written",
        {
            "version": "1",
            "run_id": RUN.run_id,
            "dt": RUN.dt,
            "feed_id": planned.batch.feed_id,
            "source": "bluesky",
            "batch_id": planned.batch.batch_id,
            "bucket": BUCKET,
            "key": object_keys.parquet(planned.batch),
            "rows": 2,
            "retried_by": "",
        },
    )
    assert sent_metrics(capsys) == {"MediaMapped": 2}


def test_same_call_again_leaves_the_same_items(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one"), item("two")))
    answer, stored = map_keys(planned), lake.stored()
    assert map_keys(planned) == answer
    assert lake.stored() == stored


def test_batch_without_rows_is_closed_without_an_event(lake: Lake, bus: Bus) -> None:
    map_keys(keep_file(lake, plan(item("theirs"), feed_id="another")))
    planned = keep_plan(lake, plan(item("theirs")))
    Staging(lake.bucket, planned.batch).write([])
    assert map_keys(planned) == {"mapped": 0}
    assert lake.bucket.list("open/") == []
    # Without rows there is no file to name.
    assert [detail["feed_id"] for _, detail in bus.published] == ["another"]


def test_event_is_published_before_the_batch_is_closed(lake: Lake, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = keep_file(lake, plan(item("one")))

    def die(self: Bucket, *_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(Bucket, "delete", die)
        with pytest.raises(KeyboardInterrupt):
            map_keys(planned)
    next_day = RUN.model_copy(update={"run_id": "next-day", "dt": "2026-04-02"})
    handler(event("map_keys", run=next_day, batch=planned.batch), Context())
    assert lake.bucket.list("open/") == []
    first, second = (detail for _, detail in bus.published)
    assert first["event_id"] == second["event_id"]
    assert lake.bucket.exists(first["key"])


def test_event_of_a_retry_has_an_id_of_its_own(lake: Lake, bus: Bus) -> None:
    planned = keep_file(lake, plan(item("one")))
    batch = planned.batch.model_copy(update={"retried_by": "retry-1"})
    map_keys(planned)
    map_keys(keep_file(lake, planned.model_copy(update={"batch": batch})))
    first, second = (detail for _, detail in bus.published)
    assert (first["retried_by"], second["retried_by"]) == ("", "retry-1")
    assert first["event_id"] != second["event_id"]


def refused(lake: Lake, planned: PlannedBatch, match: str) -> None:
    """Map Keys names the batch and the difference, and the batch stays open."""
    with pytest.raises(ReconciliationError, match=rf"batch {planned.batch.batch_id} of .*: {match}"):
        map_keys(planned)
    assert lake.bucket.exists(object_keys.open_batch(planned.batch))


@pytest.mark.parametrize("with_row", [[], ["one"]])
def test_batch_stays_open_when_planned_items_have_no_row(lake: Lake, with_row: list[str]) -> None:
    planned = keep_file(lake, plan(item("one"), item("two")))
    lake.bucket.delete(object_keys.staged(planned.batch))
    stage(lake, planned.batch, *(result(item(name)) for name in with_row))
    refused(lake, planned, f"{2 - len(with_row)} of 2 planned items have no row")
    assert {mapped["status"] for mapped in lake.mapping().values()} == {"claimed"}


def test_batch_stays_open_when_a_planned_item_is_nowhere(lake: Lake) -> None:
    planned = keep_plan(lake, plan(item("one")))
    Staging(lake.bucket, planned.batch).write([])
    refused(lake, planned, "1 of 1 planned items have no row")


def test_batch_stays_open_when_rows_were_not_planned(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")), result(item("one")), result(item("two")))
    refused(lake, planned, f"1 rows were not planned, the first is {item('two').media_id}")


def test_batch_stays_open_when_an_item_has_two_rows(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")), result(item("one")), result(item("one")))
    refused(lake, planned, "2 rows of 1 items")


def test_batch_stays_open_without_its_file(lake: Lake) -> None:
    planned = keep_rows(lake, plan(item("one")))
    refused(lake, planned, f"{object_keys.parquet(planned.batch)} does not exist")


def test_batch_stays_open_when_its_file_was_made_from_other_rows(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")))
    lake.bucket.delete(object_keys.staged(planned.batch))
    stage(lake, planned.batch, result(item("one"), caption="new"))
    refused(lake, planned, rf"\S+\.parquet was not made from the rows in {object_keys.staged(planned.batch)}")


def test_rejected_image_leads_to_its_row(lake: Lake) -> None:
    rejected = result(item("bad"), Status.REJECTED)
    map_keys(keep_file(lake, plan(item("bad")), rejected))
    entry = lake.owners()[str(rejected["raw_sha256"])]
    assert (entry["owner"], entry["state"]) == (item("bad").media_id, "rejected")


def test_rejected_row_takes_no_image_from_its_owner(lake: Lake) -> None:
    rejected = result(item("bad"), Status.REJECTED)
    lake.media_index.own({str(rejected["raw_sha256"]): "owner"})
    map_keys(keep_file(lake, plan(item("bad")), rejected))
    assert lake.owners()[str(rejected["raw_sha256"])]["owner"] == "owner"


def test_failed_row_has_no_raw_image(lake: Lake) -> None:
    map_keys(keep_file(lake, plan(item("gone")), result(item("gone"), Status.FAILED)))
    assert lake.owners() == {}


def duplicate(name: str, original: str) -> Row:
    raw_sha256 = result(item(original))["raw_sha256"]
    named = item(original).media_id
    return result(item(name), Status.DUPLICATE, raw_sha256=raw_sha256, duplicate_of=named, duplicate_distance=0)


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.DUPLICATE])
def test_batch_stays_open_when_a_duplicate_refers_to_a_row_without_an_image(lake: Lake, status: Status) -> None:
    original = result(item("one"), status)
    planned = keep_file(lake, plan(item("one"), item("two")), original, duplicate("two", "one"))
    refused(
        lake, planned, f"{item('two').media_id} is a duplicate of {item('one').media_id}, which does not have the image"
    )


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.DUPLICATE])
def test_batch_stays_open_when_its_duplicate_refers_to_another_batch_without_an_image(
    lake: Lake, status: Status
) -> None:
    map_keys(keep_file(lake, plan(item("one")), result(item("one"), status)))
    planned = keep_file(lake, plan(item("two")), duplicate("two", "one"))
    refused(
        lake, planned, f"{item('two').media_id} is a duplicate of {item('one').media_id}, which does not have the image"
    )


def test_batch_stays_open_when_a_near_duplicate_refers_to_a_row_without_an_image(lake: Lake) -> None:
    near = result(item("two"), duplicate_of=item("one").media_id, duplicate_distance=3)
    planned = keep_file(lake, plan(item("one"), item("two")), result(item("one"), Status.FAILED), near)
    refused(
        lake, planned, f"{item('two').media_id} is a duplicate of {item('one').media_id}, which does not have the image"
    )


def test_batch_stays_open_when_a_duplicate_refers_to_nothing(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("two")), duplicate("two", "one"))
    refused(
        lake, planned, f"{item('two').media_id} is a duplicate of {item('one').media_id}, which does not have the image"
    )


def test_batch_is_closed_when_the_batch_of_an_original_is_still_open(lake: Lake) -> None:
    keep_file(lake, plan(item("one")))
    planned = keep_file(lake, plan(item("two")), duplicate("two", "one"))
    assert map_keys(planned) == {"mapped": 1}


def test_damaged_plan_is_named(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("one")))
    lake.bucket.put(object_keys.planned_batch(planned.batch), b'{"batch": ', "application/json")
    with pytest.raises(DamagedObjectError, match=object_keys.planned_batch(planned.batch)):
        map_keys(planned)


def test_error_when_an_item_is_of_another_batch(lake: Lake) -> None:
    lake.media_index.claim([item("two").media_id], "another batch")
    planned = keep_file(lake, plan(item("one"), item("two")))
    with pytest.raises(ReconciliationError, match=f"{item('two').media_id} belongs to another batch"):
        map_keys(planned)
    assert lake.mapping()[item("two").media_id]["batch_id"] == "another batch"
    assert lake.bucket.exists(object_keys.open_batch(planned.batch))


def test_error_leaves_the_batch_open_when_nothing_is_staged(lake: Lake) -> None:
    planned = keep_plan(lake, plan(item("one")))
    with pytest.raises(ObjectMissingError):
        map_keys(planned)
    assert lake.bucket.exists(object_keys.open_batch(planned.batch))


def test_all_rejected_items_with_the_same_bytes_are_found(lake: Lake) -> None:
    rows = [result(item(name), Status.REJECTED, raw_sha256="ab" * 32) for name in ("one", "two")]
    map_keys(keep_file(lake, plan(item("one"), item("two")), *rows))
    sha256s = {"x": "cd" * 32, "y": None}
    other = [result(item(name), Status.REJECTED, raw_sha256=sha256) for name, sha256 in sha256s.items()]
    map_keys(keep_file(lake, plan(item("x"), item("y")), *other))
    assert lake.media_index.duplicates_of("sha256/" + "ab" * 32) == [item("one").media_id, item("two").media_id]
    assert lake.media_index.duplicates_of("sha256/" + "cd" * 32) == [item("x").media_id]
    assert "duplicate_of" not in lake.mapping()[item("y").media_id]


def test_erased_row_of_an_item_that_the_plan_has_lost_gets_no_entry(lake: Lake) -> None:
    """An erasure took the item from the plan after a worker had read the plan, and before it staged the row."""
    planned = plan(item("gone"), item("one"))
    keep_rows(lake, planned, result(item("gone"), Status.ERASED), result(item("one")))
    lake.media_index.unclaim([item("gone").media_id], planned.batch.batch_id)
    keep_plan(lake, planned.without({item("gone").media_id}))
    assert write_file(lake.bucket, planned.batch, b"PAR1", Staging(lake.bucket, planned.batch).read_rows()[1], None)
    assert map_keys(planned) == {"mapped": 2}
    assert lake.mapping().keys() == {item("one").media_id}
