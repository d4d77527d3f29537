"""The reconciliation of one feed: planned = ok + duplicate + rejected + failed, proven from three sides.

For every closed batch the plan, the staged rows, the mapping table and the file in the lake have to agree. A batch
that is still open is not an imbalance: it is named, and the next run takes it up.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import CLAIMED, MediaIndex
from imagelake.lake.rows import Status
from imagelake.run.errors import ObjectMissingError, ReconciliationError
from imagelake.run.failures import Failure
from imagelake.run.models import Batch, PlannedBatch, Run

_BATCHES_AT_ONCE = 4
_FAILURE_COLUMNS = (
    "media_id",
    "feed",
    "post_id",
    "permalink",
    "media_url",
    "status",
    "error_code",
    "error_message",
    "dt",
)


class OpenBatch(BaseModel):
    """A batch that did not end in this run, and why."""

    model_config = ConfigDict(frozen=True)

    batch_id: str
    dt: str
    items: int
    failure: Failure


class Reconciliation(BaseModel):
    """What became of everything a feed's run had planned.

    ``counts`` holds ``planned`` (items of closed batches that are this feed's to do), one number per status, and
    ``shared`` (items that another feed's batch took, and made the row of).
    """

    model_config = ConfigDict(frozen=True)

    status: Literal["complete", "incomplete", "too_many_failures"]
    counts: dict[str, int]
    errors: dict[str, int]
    open: list[OpenBatch]
    closed: list[Batch]
    failures: list[dict[str, Any]]


def balance(run: Run, batches: list[Batch], bucket: Bucket, media_index: MediaIndex) -> Reconciliation:
    """Check every batch; raise ``ReconciliationError`` naming the first that does not add up."""
    with ThreadPoolExecutor(_BATCHES_AT_ONCE) as pool:
        checked = list(pool.map(lambda batch: _check(run, batch, bucket, media_index), batches))

    counts = Counter({"planned": 0, "shared": 0, **{status.value: 0 for status in Status}})
    failures: list[dict[str, Any]] = []
    left_open = [outcome for outcome in checked if isinstance(outcome, OpenBatch)]
    for outcome in checked:
        if not isinstance(outcome, OpenBatch):
            counts.update(outcome[0])
            failures += outcome[1]
    return Reconciliation(
        status=_verdict(run, counts, left_open),
        counts=dict(counts),
        errors=dict(Counter(failure["error_code"] for failure in failures).most_common()),
        open=left_open,
        closed=[batch for batch, outcome in zip(batches, checked, strict=True) if not isinstance(outcome, OpenBatch)],
        failures=failures,
    )


def _check(
    run: Run, batch: Batch, bucket: Bucket, media_index: MediaIndex
) -> OpenBatch | tuple[Counter[str], list[dict[str, Any]]]:
    if bucket.exists(object_keys.open_batch(batch)):
        return OpenBatch(batch_id=batch.batch_id, dt=batch.dt, items=batch.items, failure=_why(run, batch, bucket))

    plan = PlannedBatch.model_validate_json(bucket.get(object_keys.planned_batch(batch)))
    rows = bucket.get_lines(object_keys.rows(batch))
    mapped = media_index.get_many((item.media_id for item in plan.items), consistent=False)
    # Map Keys may have ended a second ago: what is not there yet is asked for again, at the full price.
    fresh = [item.media_id for item in plan.items if mapped.get(item.media_id, {}).get("status", CLAIMED) == CLAIMED]
    mapped |= media_index.get_many(fresh)
    ours = {media_id: item for media_id, item in mapped.items() if item["batch_id"] == batch.batch_id}
    counts = Counter(row["status"] for row in rows)

    def demand(truth: bool, problem: str) -> None:
        if not truth:
            raise ReconciliationError(f"batch {batch.batch_id} of {batch.feed_id}, {batch.dt}: {problem}")

    demand(len(mapped) == len(plan.items), f"{len(plan.items)} items planned, {len(mapped)} mapped")
    distinct = len({row["media_id"] for row in rows})
    demand(len(rows) == distinct, f"{len(rows)} rows of {distinct} items")
    demand(distinct == len(ours), f"{len(ours)} items mapped, {distinct} rows")
    for row in rows:
        status = ours.get(row["media_id"], {}).get("status", CLAIMED)
        demand(
            row["status"] == status,
            f"media {row['media_id']} is {row['status']} in its row and {status} in its mapping",
        )
    demand(not rows or bucket.exists(object_keys.parquet(batch)), f"{object_keys.parquet(batch)} is not there")

    counts.update(planned=len(rows), shared=len(mapped) - len(ours))
    failures = [{name: row[name] for name in _FAILURE_COLUMNS} for row in rows if row["error_code"] is not None]
    return counts, failures


def _why(run: Run, batch: Batch, bucket: Bucket) -> Failure:
    try:
        return Failure.model_validate(bucket.get_json(object_keys.batch_failure(run.run_id, batch.batch_id)))
    except ObjectMissingError:
        return Failure(
            error="NotRecorded", message="the batch ended without a recorded error; see the Map Run in the console"
        )


def _verdict(
    run: Run, counts: Counter[str], left_open: list[OpenBatch]
) -> Literal["complete", "incomplete", "too_many_failures"]:
    if counts[Status.FAILED] * 100 > counts["planned"] * run.failure_tolerance_percent:
        return "too_many_failures"
    return "incomplete" if left_open else "complete"
