"""Reconcile: plan, rows, mapping and file of every batch agree, or the error names the contradiction."""

from __future__ import annotations

from typing import Any

import pytest

import map_keys.app
import record_failure.app
from imagelake.lake import object_keys
from imagelake.lake.dataset_file import read_version, write_file
from imagelake.lake.rows import Row, Status, tombstone
from imagelake.lake.staging import Staging
from imagelake.run.aws import client
from imagelake.run.errors import DamagedObjectError, ReconciliationError
from imagelake.run.models import PlannedBatch
from reconcile.app import handler
from tests.support.factories import ENTRY, RUN, Context, event, item, jpeg, keep_file, keep_plan, plan, result, stage
from tests.support.fake_lake import IMAGE_KEYS, Lake
from tests.support.sent_metrics import sent_metrics


def close(lake: Lake, planned: PlannedBatch, *statuses: Status) -> PlannedBatch:
    """Carry a batch through all its steps; without statuses, every row is ``ok``."""
    kinds = statuses or (Status.OK,) * len(planned.items)
    return close_rows(lake, planned, *(result(one, kind) for one, kind in zip(planned.items, kinds, strict=True)))


def close_rows(lake: Lake, planned: PlannedBatch, *results: Row) -> PlannedBatch:
    keep_file(lake, planned, *results)
    map_keys.app.handler(event("map_keys", batch=planned.batch), Context())
    return planned


def restage(lake: Lake, planned: PlannedBatch, *results: Row) -> None:
    """Replace the staged rows of a batch."""
    lake.bucket.delete(object_keys.staged(planned.batch))
    stage(lake, planned.batch, *results)


def reconcile(lake: Lake, *plans: PlannedBatch, tolerance: int = 20) -> dict[str, Any]:
    example = event("reconcile")
    lake.bucket.put_json(example["plan"]["list_key"], [one.batch.model_dump() for one in plans])
    run = RUN.model_copy(update={"failure_tolerance_percent": tolerance})
    answer: dict[str, Any] = handler(event("reconcile", run=run), Context())
    return answer


def reconciliation(lake: Lake) -> dict[str, Any]:
    found: dict[str, Any] = lake.bucket.get_json(object_keys.feed_reconciliation(RUN, ENTRY.feed_id))
    return found


def test_counts_when_everything_agrees(lake: Lake) -> None:
    one = close(lake, plan(item("a"), item("b"), item("c")), Status.OK, Status.DUPLICATE, Status.REJECTED)
    two = close(lake, plan(*(item(f"p{n}") for n in range(4))), Status.FAILED, Status.OK, Status.OK, Status.OK)
    answer = reconcile(lake, one, two)
    counts = {"planned": 7, "shared": 0, "ok": 4, "duplicate": 1, "rejected": 1, "failed": 1, "erased": 0}
    assert answer == {
        "status": "complete",
        "reconciliation_key": object_keys.feed_reconciliation(RUN, ENTRY.feed_id),
        "counts": counts,
    }
    assert reconciliation(lake) == {
        "status": "complete",
        "counts": counts,
        "image_bytes": 4 * len(jpeg()),
        "errors": {"corrupt": 1, "not_found": 1},
        "open": [],
        "closed": [one.batch.model_dump(), two.batch.model_dump()],
    }
    failures = lake.bucket.get_lines(object_keys.failures(RUN.run_id, ENTRY.feed_id))
    assert [(line["media_id"], line["error_code"]) for line in failures] == [
        (item("c").media_id, "corrupt"),
        (item("p0").media_id, "not_found"),
    ]
    rejected = result(item("c"), Status.REJECTED)
    assert failures[0] == {
        "media_id": item("c").media_id,
        "feed": ENTRY.name,
        "post_id": "c",
        "permalink": rejected["permalink"],
        "media_url": "https://cdn.test/c.jpg",
        "status": "rejected",
        "error_code": "corrupt",
        "error_message": rejected["error_message"],
        "dt": RUN.dt,
    }


def test_metrics_count_items_by_status_and_open_batches(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    statuses = [status for number, status in enumerate(Status, 1) for _ in range(number)]
    closed = close(lake, plan(*(item(f"p{number}") for number in range(len(statuses)))), *statuses)
    sent_metrics(capsys)
    reconcile(lake, closed, keep_plan(lake, plan(item("a"))))
    assert sent_metrics(capsys) == {
        "BatchesOpen": 1, "ItemsOk": 1, "ItemsDuplicate": 2, "ItemsRejected": 3, "ItemsFailed": 4, "ItemsErased": 5
    }  # fmt: skip


def test_same_call_again_leaves_the_same_objects(lake: Lake) -> None:
    planned = close(lake, plan(item("a"), item("b")), Status.OK, Status.REJECTED)
    answer, stored = reconcile(lake, planned), lake.stored()
    assert reconcile(lake, planned) == answer
    assert lake.stored() == stored


def test_open_batch_when_its_failure_is_recorded(lake: Lake) -> None:
    closed, left = close(lake, plan(item("a"))), keep_plan(lake, plan(item("b"), item("c"), dt="2026-03-31"))
    error = {"Error": "States.Timeout", "Cause": "too long"}
    record_failure.app.handler(event("record_failure", batch=left.batch, error=error), Context())
    answer = reconcile(lake, closed, left)
    assert (answer["status"], answer["counts"]["planned"]) == ("incomplete", 1)
    assert reconciliation(lake)["closed"] == [closed.batch.model_dump()]
    assert reconciliation(lake)["open"] == [
        {
            "batch_id": left.batch.batch_id,
            "dt": "2026-03-31",
            "items": 2,
            "failure": {"error": "States.Timeout", "message": "too long"},
        }
    ]


def test_open_batch_when_no_failure_is_recorded(lake: Lake) -> None:
    answer = reconcile(lake, keep_plan(lake, plan(item("a"))))
    assert answer["status"] == "incomplete"
    assert answer["counts"] == dict.fromkeys(("planned", "shared", *Status), 0)
    failure = reconciliation(lake)["open"][0]["failure"]
    assert failure["error"] == "NotRecorded"
    assert failure["message"].startswith("the batch ended without a recorded error")


def test_items_that_another_batch_took_are_shared(lake: Lake) -> None:
    close(lake, plan(item("theirs"), feed_id="another"))
    ours = close_rows(lake, plan(item("ours"), item("theirs")), result(item("ours")))
    assert reconcile(lake, ours)["counts"] == {
        "planned": 1, "shared": 1, "ok": 1, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 0
    }  # fmt: skip


def test_erased_rows_without_ids_count_as_planned(lake: Lake) -> None:
    """Rows of a batch from which an erasure has removed two items while the run was at work, out of the plan too."""
    close(lake, plan(item("theirs"), feed_id="another"))
    planned = plan(item("gone"), item("ours"), item("theirs"), item("gone too"))
    ours = result(item("ours"))
    close_rows(lake, planned, result(item("gone")), ours, result(item("gone too")))
    erase(lake, planned, "gone", "gone too")
    assert reconcile(lake, planned)["counts"] == {
        "planned": 3, "shared": 1, "ok": 1, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 2
    }  # fmt: skip
    kept = planned.model_copy(update={"items": [item("ours"), item("theirs")]})
    lake.bucket.put_json(object_keys.planned_batch(planned.batch), kept.model_dump(mode="json"))
    assert reconcile(lake, planned)["counts"]["shared"] == 1


def test_error_when_more_items_are_lost_than_erased(lake: Lake) -> None:
    planned = close(lake, plan(item("gone"), item("lost")))
    erase(lake, planned, "gone")
    client("dynamodb").delete_item(TableName=IMAGE_KEYS, Key={"media_id": {"S": item("lost").media_id}})
    with pytest.raises(ReconciliationError, match="2 items planned, 0 mapped or in an open batch"):
        reconcile(lake, planned)


def erase(lake: Lake, planned: PlannedBatch, *names: str) -> None:
    """Erase items of a closed batch, as far as Reconcile sees it."""
    staging, media_ids = Staging(lake.bucket, planned.batch), {item(name).media_id for name in names}
    rows = [tombstone(row) if row["media_id"] in media_ids else row for row in staging.rows()]
    staging.write(rows, again=True)
    _, staged_sha256 = staging.read_rows()
    before = read_version(lake.bucket, planned.batch)
    assert write_file(lake.bucket, planned.batch, b"PAR1", staged_sha256, before)
    for media_id in media_ids:
        client("dynamodb").delete_item(TableName=IMAGE_KEYS, Key={"media_id": {"S": media_id}})


def test_item_that_another_batch_claimed_is_shared_only_while_that_batch_is_open(lake: Lake) -> None:
    theirs = keep_plan(lake, plan(item("theirs"), feed_id="another"))
    lake.media_index.claim([item("theirs").media_id], theirs.batch.batch_id)
    ours = close_rows(lake, plan(item("ours"), item("theirs")), result(item("ours")))
    assert reconcile(lake, ours)["counts"]["shared"] == 1
    lake.bucket.delete(object_keys.open_batch(theirs.batch))
    with pytest.raises(ReconciliationError, match="2 items planned, 1 mapped or in an open batch"):
        reconcile(lake, ours)


def test_batch_needs_no_file_when_all_its_items_are_shared(lake: Lake) -> None:
    close(lake, plan(item("theirs"), feed_id="another"))
    ours = keep_plan(lake, plan(item("theirs")))
    Staging(lake.bucket, ours.batch).write([])
    lake.bucket.delete(object_keys.open_batch(ours.batch))
    answer = reconcile(lake, ours)
    assert (answer["status"], answer["counts"]["shared"]) == ("complete", 1)


def test_error_when_a_mapping_is_missing(lake: Lake) -> None:
    planned = close(lake, plan(item("a"), item("b")))
    client("dynamodb").delete_item(TableName=IMAGE_KEYS, Key={"media_id": {"S": item("b").media_id}})
    with pytest.raises(ReconciliationError, match="2 items planned, 1 mapped or in an open batch"):
        reconcile(lake, planned)


def test_error_when_a_mapping_is_still_a_claim(lake: Lake) -> None:
    planned = keep_file(lake, plan(item("a")))
    lake.bucket.delete(object_keys.open_batch(planned.batch))
    with pytest.raises(ReconciliationError, match="a/0 is ok in its row and claimed in its mapping"):
        reconcile(lake, planned)


def test_error_when_a_status_differs(lake: Lake) -> None:
    planned = close(lake, plan(item("a"), item("b")), Status.OK, Status.OK)
    restage(lake, planned, result(item("a")), result(item("b"), Status.FAILED))
    with pytest.raises(ReconciliationError, match="b/0 is failed in its row and ok in its mapping"):
        reconcile(lake, planned)


def test_error_when_a_row_is_missing_or_there_twice(lake: Lake) -> None:
    planned = close(lake, plan(item("a"), item("b")))
    restage(lake, planned, result(item("a")))
    with pytest.raises(ReconciliationError, match="2 items mapped, 1 rows"):
        reconcile(lake, planned)
    restage(lake, planned, result(item("a")), result(item("a")))
    with pytest.raises(ReconciliationError, match="2 rows of 1 items"):
        reconcile(lake, planned)


def test_error_names_the_damaged_object(lake: Lake) -> None:
    planned = close(lake, plan(item("a")))
    lake.bucket.put(object_keys.planned_batch(planned.batch), b'{"batch', "application/json")
    with pytest.raises(DamagedObjectError, match=object_keys.planned_batch(planned.batch)):
        reconcile(lake, planned)


def test_error_when_the_file_is_missing(lake: Lake) -> None:
    planned = close(lake, plan(item("a")))
    lake.bucket.delete(object_keys.parquet(planned.batch))
    with pytest.raises(ReconciliationError, match=rf"{planned.batch.batch_id} .*\.parquet does not exist"):
        reconcile(lake, planned)


def test_error_when_the_file_was_made_from_other_rows(lake: Lake) -> None:
    planned = close(lake, plan(item("a"), item("b")))
    caption = "Another caption, with the same status"
    restage(lake, planned, *(result(one, caption=caption) for one in planned.items))
    with pytest.raises(
        ReconciliationError, match=rf"\.parquet was not made from the rows in work/staged/{planned.batch.batch_id}"
    ):
        reconcile(lake, planned)


def test_error_when_the_staged_rows_are_damaged(lake: Lake) -> None:
    planned = close(lake, plan(item("a")))
    key = object_keys.staged(planned.batch)
    lake.bucket.put(key, lake.bucket.get(key).replace(b"Alice", b"Alike"), "")
    with pytest.raises(DamagedObjectError, match=f"the rows in {key} do not match their checksum"):
        reconcile(lake, planned)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failed", "tolerance", "status"),
    [
        (0, 0, "complete"),
        (1, 0, "too_many_failures"),
        (1, 20, "complete"),
        (2, 20, "too_many_failures"),
        (5, 99, "too_many_failures"),
        (5, 100, "complete"),
    ],
)
def test_status_when_items_failed(lake: Lake, failed: int, tolerance: int, status: str) -> None:
    statuses = [Status.FAILED] * failed + [Status.OK] * (5 - failed)
    planned = close(lake, plan(*(item(f"p{number}") for number in range(5))), *statuses)
    assert reconcile(lake, planned, tolerance=tolerance)["status"] == status


def test_status_does_not_count_rejected_items(lake: Lake) -> None:
    planned = close(lake, plan(item("a")), Status.REJECTED)
    assert reconcile(lake, planned, tolerance=0)["status"] == "complete"


@pytest.mark.parametrize("is_missing", [True, False])
def test_stale_read_of_the_mapping_is_read_again(lake: Lake, monkeypatch: pytest.MonkeyPatch, is_missing: bool) -> None:
    planned = close(lake, plan(item("a"), item("b")))
    first, second = (one.media_id for one in planned.items)
    get_many = lake.media_index.get_many
    asked: list[tuple[list[str], bool]] = []

    def lagging(self: Any, media_ids: Any, *, consistent: bool = True) -> Any:
        ids = list(media_ids)
        asked.append((ids, consistent))
        found = get_many(ids)
        if not consistent:
            late = found.pop(second)
            if not is_missing:
                found[second] = {name: late[name] for name in ("media_id", "batch_id")} | {"status": "claimed"}
        return found

    monkeypatch.setattr("imagelake.lake.media_index.MediaIndex.get_many", lagging)
    assert reconcile(lake, planned)["counts"]["ok"] == 2
    assert asked == [([first, second], False), ([second], True)]


@pytest.mark.parametrize("done", range(3), ids=["rows are erased", "the plan too", "the index too"])
def test_batch_is_reconciled_at_any_point_of_an_erasure(lake: Lake, done: int) -> None:
    planned = close(lake, plan(item("one"), item("gone"), item("two")))
    media_id = item("gone").media_id
    staging = Staging(lake.bucket, planned.batch)
    rows = [tombstone(row) if row["media_id"] == media_id else row for row in staging.rows()]
    staging.write(rows, again=True)
    before = read_version(lake.bucket, planned.batch)
    assert write_file(lake.bucket, planned.batch, b"PAR1", staging.read_rows()[1], before)
    if done:
        lost = planned.without({media_id})
        lake.bucket.put_json(object_keys.planned_batch(planned.batch), lost.model_dump(mode="json"))
    if done > 1:
        client("dynamodb").delete_item(TableName=IMAGE_KEYS, Key={"media_id": {"S": media_id}})
    assert reconcile(lake, planned)["counts"] == {
        "planned": 3, "shared": 0, "ok": 2, "duplicate": 0, "rejected": 0, "failed": 0, "erased": 1
    }  # fmt: skip


def test_error_when_the_index_has_more_items_than_rows_and_erased_rows(lake: Lake) -> None:
    planned = close(lake, plan(item("one"), item("gone"), item("two")))
    staging = Staging(lake.bucket, planned.batch)
    one, gone, _ = staging.rows()
    staging.write([one, tombstone(gone)], again=True)
    with pytest.raises(ReconciliationError, match="3 items mapped, 1 rows"):
        reconcile(lake, planned)
