"""Record Failure: the stored reason of a failed batch is one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from record_failure.app import handler
from tests.support.factories import RUN, Context, event, item, keep_plan, plan
from tests.support.fake_lake import Lake

KEY = object_keys.batch_failure(RUN.run_id, plan(item("one")).batch.batch_id)


def test_failure_when_a_function_raised(lake: Lake) -> None:
    example = event("record_failure")
    failure = handler(example, Context())
    batch_id = example["batch"]["batch_id"]
    assert failure == {
        "error": "BatchDeadlineError",
        "message": f"batch {batch_id}: out of time before bluesky/alice/one/0",
    }
    assert lake.bucket.get_json(KEY) == failure
    stored = lake.stored()
    assert handler(example, Context()) == failure
    assert lake.stored() == stored


@pytest.mark.parametrize(
    ("caught", "expected"),
    [
        ({"Error": "States.Timeout", "Cause": ""}, {"error": "States.Timeout", "message": "no cause given"}),
        (
            {"Error": "Sandbox.Timedout", "Cause": "RequestId: 1 Error: Task timed out after 840.00 seconds"},
            {"error": "Sandbox.Timedout", "message": "RequestId: 1 Error: Task timed out after 840.00 seconds"},
        ),
    ],
)
def test_failure_when_the_platform_stopped_it(lake: Lake, caught: dict[str, Any], expected: dict[str, str]) -> None:
    assert handler(event("record_failure", error=caught), Context()) == expected
    assert lake.bucket.get_json(KEY) == expected


def test_batch_stays_open(lake: Lake) -> None:
    planned = keep_plan(lake, plan(item("one")))
    handler(event("record_failure"), Context())
    assert lake.bucket.list("open/") == [object_keys.open_batch(planned.batch)]
