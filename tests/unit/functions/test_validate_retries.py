"""Validate in a run that retries: a batch is open again with what failed in it, and what cannot be retried is told."""

from __future__ import annotations

from typing import Any

import pytest

import map_keys.app
import reconcile.app
from imagelake.lake import object_keys
from imagelake.lake.rows import Status
from imagelake.run.errors import BadInputError, ErrorCode
from imagelake.run.models import Batch, PlannedBatch, Retry
from tests.support.factories import (
    ENTRY,
    RUN,
    Context,
    event,
    feed_plan,
    item,
    keep_file,
    keep_rows,
    plan,
    result,
)
from tests.support.fake_lake import Lake
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
    keep_rows(lake, made, *(result(item(name), status, **row) for name, (status, row) in ROWS.items()))
    keep_file(lake, made)
    map_keys.app.handler(event("map_keys", batch=made.batch), Context())
    lake.bucket.put_json("work/list.json", [made.batch.model_dump()])
    reconcile.app.handler(event("reconcile", plan=feed_plan()), Context())
    return made


def retry(*codes: str, run_id: str = "retry-1", of: str = RUN.run_id) -> dict[str, Any]:
    options = {"error_codes": tuple(ErrorCode(code) for code in codes)} if codes else {}
    run = RUN.model_copy(update={"run_id": run_id, "dt": "2026-04-02", "retry": Retry(run_id=of, **options)})
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
    keep_rows(lake, again, result(item("late")), result(item("slow"), Status.FAILED, error_code="too_slow"))
    map_keys.app.handler(event("map_keys", batch=again.batch), Context())
    assert planned(lake, retry()) == [again]


def test_open_batch_is_taken_up_as_it_is(lake: Lake, first: PlannedBatch) -> None:
    before = planned(lake, retry("timed_out"))
    assert planned(lake, retry("too_slow", run_id="retry-2")) == before


def test_batch_whose_plan_has_expired_is_told(lake: Lake, first: PlannedBatch) -> None:
    lake.bucket.delete(object_keys.first_planned_batch(first.batch.batch_id))
    answer = retry()
    assert answer["batches"] == 0
    assert f"2 items of batch {first.batch.batch_id}" in answer["warnings"][0]


def test_nothing_to_do_when_the_feed_had_nothing_to_do(lake: Lake) -> None:
    lake.bucket.put_json(object_keys.run_summary("quiet"), {})
    assert retry(of="quiet")["batches"] == 0


def test_error_when_there_was_no_such_run(lake: Lake) -> None:
    with pytest.raises(BadInputError, match=r"retry\.run_id: .*reports/missing/failures/"):
        retry(of="missing")
