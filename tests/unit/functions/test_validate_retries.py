"""Validate in a run that retries: a batch is open again with what failed in it, and what cannot be retried is told."""

from __future__ import annotations

from typing import Any

import pytest

import map_keys.app
import reconcile.app
from imagelake.lake import object_keys
from imagelake.lake.rows import Row, Status
from imagelake.run.aws import client
from imagelake.run.errors import BadInputError, ErrorCode
from imagelake.run.models import Batch, PlannedBatch, Retry
from tests.support.factories import ENTRY, RUN, Context, event, feed_plan, item, keep_file, plan, result
from tests.support.fake_lake import BUCKET, Lake
from tests.support.fake_network import Network
from validate.app import handler

pytestmark = pytest.mark.usefixtures("network")

NAMES = ("fine", "late", "slow", "gone", "bad")
ROWS = {
    "fine": (Status.OK, {}),
    "late": (Status.FAILED, {"error_code": "timed_out"}),
    "slow": (Status.FAILED, {"error_code": "too_slow"}),
    "gone": (Status.FAILED, {"error_code": "not_found"}),
    "bad": (Status.REJECTED, {"error_code": "corrupt"}),
}


@pytest.fixture
def first(lake: Lake, network: Network) -> PlannedBatch:
    """A batch that a run has made and closed, with an end of each kind."""
    made = plan(*(item(name) for name in NAMES))
    close(lake, made, *(result(item(name), status, **row) for name, (status, row) in ROWS.items()))
    list_failures(lake, made)
    return made


def close(lake: Lake, made: PlannedBatch, *results: Row) -> None:
    keep_file(lake, made, *results)
    map_keys.app.handler(event("map_keys", batch=made.batch), Context())


def list_failures(lake: Lake, *plans: PlannedBatch) -> None:
    """List the failures of the batches of a run, as Reconcile does."""
    lake.bucket.put_json("work/list.json", [made.batch.model_dump() for made in plans])
    reconcile.app.handler(event("reconcile", plan=feed_plan()), Context())


def failed_batches(lake: Lake) -> list[PlannedBatch]:
    """Two closed batches of a run with one failed item each; the batch with the larger id is the first."""
    plans = sorted((plan(item(name)) for name in ("a", "b")), key=lambda made: made.batch.batch_id, reverse=True)
    for made in plans:
        close(lake, made, result(made.items[0], Status.FAILED, error_code="timed_out"))
    list_failures(lake, *plans)
    return plans


def retry(*codes: str, run_id: str = "retry-1", of: str = RUN.run_id, **changes: Any) -> dict[str, Any]:
    options = {"error_codes": tuple(ErrorCode(code) for code in codes)} if codes else {}
    run = RUN.model_copy(update={"run_id": run_id, "dt": "2026-04-02", "retry": Retry(run_id=of, **options), **changes})
    progress = event("validate")["progress"] | {"pages": 0}
    answer: dict[str, Any] = handler(event("validate", run=run, progress=progress), Context())
    return answer


def planned(lake: Lake, answer: dict[str, Any]) -> list[PlannedBatch]:
    batches = [Batch.model_validate(entry) for entry in lake.bucket.get_json(answer["list_key"])]
    return [PlannedBatch.model_validate_json(lake.bucket.get(object_keys.planned_batch(batch))) for batch in batches]


def test_batch_is_open_again_with_what_failed_for_a_time(lake: Lake, first: PlannedBatch) -> None:
    answer = retry()
    (again,) = planned(lake, answer)
    assert [one.post_id for one in again.items] == ["late", "slow"]
    assert again.batch == first.batch.model_copy(update={"items": 2, "retried_by": "retry-1"})
    assert again.run_id == first.run_id, "the rows say who planned them"
    assert PlannedBatch.model_validate_json(lake.bucket.get(object_keys.open_batch(first.batch))) == again
    assert (
        PlannedBatch.model_validate_json(lake.bucket.get(object_keys.first_planned_batch(first.batch.batch_id)))
        == first
    )
    assert (answer["batches"], answer["items"], answer["warnings"]) == (1, 2, [])


def test_only_the_codes_that_are_asked_for(lake: Lake, first: PlannedBatch) -> None:
    (again,) = planned(lake, retry("not_found", "timed_out"))
    assert [one.post_id for one in again.items] == ["late", "gone"]


def test_retried_items_have_the_image_options_of_their_batch(lake: Lake, network: Network) -> None:
    """The new rows take the places of failed rows in a file whose other rows have these options."""
    made = plan(item("late")).model_copy(update={"image_size": 128, "tensor": "uint8"})
    close(lake, made, result(item("late"), Status.FAILED, error_code="timed_out"))
    list_failures(lake, made)
    (again,) = planned(lake, retry(image_size=1024))
    assert again.image_options == made.image_options


def test_rejected_items_are_not_retried_and_that_is_said(lake: Lake, first: PlannedBatch) -> None:
    answer = retry("corrupt")
    assert (answer["batches"], lake.bucket.list("open/")) == (0, [])
    (warning,) = answer["warnings"]
    assert warning.startswith(f"{ENTRY.name}: 1 items with corrupt are not retried")


def test_same_call_again_leaves_the_same_objects(lake: Lake, first: PlannedBatch) -> None:
    answer, stored = retry(), lake.stored()
    assert retry() == answer
    assert lake.stored() == stored


def test_same_run_again_opens_the_same_batch_when_part_of_it_has_succeeded(lake: Lake, first: PlannedBatch) -> None:
    (again,) = planned(lake, retry())
    keep_file(lake, again, result(item("late")), result(item("slow"), Status.FAILED, error_code="too_slow"))
    map_keys.app.handler(event("map_keys", batch=again.batch), Context())
    assert planned(lake, retry()) == [again]


def test_item_that_was_retried_meanwhile_counts_with_its_new_error_code(lake: Lake, first: PlannedBatch) -> None:
    (again,) = planned(lake, retry())
    keep_file(lake, again, result(item("late")), result(item("slow"), Status.FAILED, error_code="not_found"))
    map_keys.app.handler(event("map_keys", batch=again.batch), Context())
    assert planned(lake, retry(run_id="retry-2")) == []


def test_open_batch_is_taken_up_as_it_is(lake: Lake, first: PlannedBatch) -> None:
    before = planned(lake, retry("timed_out"))
    assert planned(lake, retry("too_slow", run_id="retry-2")) == before


def test_batch_whose_plan_has_expired_is_told(lake: Lake, first: PlannedBatch) -> None:
    lake.bucket.delete(object_keys.first_planned_batch(first.batch.batch_id))
    answer = retry()
    assert answer["batches"] == 0
    assert f"2 items of batch {first.batch.batch_id}" in answer["warnings"][0]


def test_each_batch_with_failed_items_is_open_again(lake: Lake) -> None:
    plans = failed_batches(lake)
    retry()
    open_keys = sorted(object_keys.open_batch(made.batch) for made in plans)
    assert lake.bucket.list("open/") == open_keys
    types = [client("s3").head_object(Bucket=BUCKET, Key=key)["ContentType"] for key in open_keys]
    assert types == ["application/json"] * 2


def test_batch_whose_plan_has_expired_does_not_stop_the_others(lake: Lake) -> None:
    last, first = failed_batches(lake)
    lake.bucket.delete(object_keys.first_planned_batch(first.batch.batch_id))
    answer = retry()
    assert lake.bucket.list("open/") == [object_keys.open_batch(last.batch)]
    assert len(answer["warnings"]) == 1


def test_warnings_are_in_order(lake: Lake) -> None:
    rejects = plan(item("c"), item("d"))
    codes = ("too_large", "corrupt")
    close(
        lake,
        rejects,
        *(result(one, Status.REJECTED, error_code=c) for one, c in zip(rejects.items, codes, strict=True)),
    )
    last, first = failed_batches(lake)
    list_failures(lake, rejects, last, first)
    for made in (first, last):
        lake.bucket.delete(object_keys.first_planned_batch(made.batch.batch_id))
    warnings = retry("timed_out", *codes)["warnings"]
    assert [warning.removeprefix(f"{ENTRY.name}: ").partition(" are not")[0] for warning in warnings] == [
        "1 items with corrupt",
        "1 items with too_large",
        f"1 items of batch {first.batch.batch_id}",
        f"1 items of batch {last.batch.batch_id}",
    ]


def test_nothing_to_do_when_the_feed_had_nothing_to_do(lake: Lake) -> None:
    lake.bucket.put_json(object_keys.run_summary("quiet"), {})
    assert retry(of="quiet")["batches"] == 0


def test_error_when_there_was_no_such_run(lake: Lake) -> None:
    with pytest.raises(BadInputError, match=r"retry\.run_id: .*reports/missing/failures/"):
        retry(of="missing")


def test_many_expired_batches_are_few_warnings(
    lake: Lake, first: PlannedBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validate.retries.MAX_SENTENCES", 1)
    plans = failed_batches(lake)
    for made in plans:
        lake.bucket.delete(object_keys.first_planned_batch(made.batch.batch_id))
    one, others = retry()["warnings"]
    assert one.startswith(f"{ENTRY.name}: 1 items of batch {plans[1].batch.batch_id} are not retried")
    assert others == (
        f"{ENTRY.name}: 1 items of 1 other batches are not retried: their plans have expired after 14 days"
    )
