"""Reconcile one feed: every planned item must be ok, duplicate, rejected or failed, or shared with another batch.

For every closed batch, the plan, the staged rows, the media index and the Parquet file must agree. An open batch is no
contradiction: it is listed, and the next run resumes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import find_difference
from imagelake.lake.media_index import CLAIMED, MediaIndex, is_of
from imagelake.lake.open_batches import open_batches
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status, planned_rows, select
from imagelake.lake.staging import Staging
from imagelake.run.errors import ObjectMissingError, ReconciliationError
from imagelake.run.failures import Failure
from imagelake.run.models import Batch, FeedReconciliation, OpenBatch, PlannedBatch, ReconciliationStatus, Run

_BATCHES_AT_ONCE = 4
_FAILURE_COLUMNS = (
    "media_id", "feed", "post_id", "permalink", "media_url", "status", "error_code", "error_message", "dt",
)  # fmt: skip


@dataclass(frozen=True)
class BatchAudit:
    """The checked result of one batch; if the batch is still open, ``open`` is set and the rest is empty.

    ``counts`` are those of ``FeedReconciliation``; ``failures`` are some columns of each failed or rejected row.
    """

    batch: Batch
    open: OpenBatch | None = None
    counts: Counter[str] = field(default_factory=Counter)
    image_bytes: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)


def audit_batches(run: Run, batches: list[Batch], bucket: Bucket, media_index: MediaIndex) -> list[BatchAudit]:
    """Check every batch; ``ReconciliationError`` names the first contradiction."""
    with ThreadPoolExecutor(_BATCHES_AT_ONCE) as pool:
        return list(pool.map(lambda batch: _audit(run, batch, bucket, media_index), batches))


def reconcile(run: Run, audits: list[BatchAudit]) -> FeedReconciliation:
    """Add up the results of all batches of a feed."""
    counts = Counter({"planned": 0, "shared": 0, **{status.value: 0 for status in Status}})
    errors: Counter[str] = Counter()
    for audit in audits:
        counts.update(audit.counts)
        errors.update(failure["error_code"] for failure in audit.failures)
    open_batches = [audit.open for audit in audits if audit.open is not None]
    return FeedReconciliation(
        status=_status(run, counts, open_batches),
        counts=counts,
        image_bytes=sum(audit.image_bytes for audit in audits),
        errors=dict(errors.most_common()),
        open=open_batches,
        closed=[audit.batch for audit in audits if audit.open is None],
    )


def _audit(run: Run, batch: Batch, bucket: Bucket, media_index: MediaIndex) -> BatchAudit:
    if bucket.exists(object_keys.open_batch(batch)):
        failure = _recorded_failure(run, batch, bucket)
        return BatchAudit(batch, OpenBatch(batch_id=batch.batch_id, dt=batch.dt, items=batch.items, failure=failure))

    plan = bucket.get_model(object_keys.planned_batch(batch), PlannedBatch)
    rows, staged_sha256 = Staging(bucket, batch).read_rows()
    mapped = _read_mapping(plan, bucket, media_index)
    ours = {media_id: item["status"] for media_id, item in mapped.items() if is_of(item, batch)}
    # A later retry has replaced these rows, so the index has other statuses.
    retried = {media_id for media_id, item in mapped.items() if item["batch_id"] == batch.batch_id} - ours.keys()
    ours |= {row["media_id"]: row["status"] for row in rows if row["media_id"] in retried}
    problem = next(_contradictions(plan, rows, mapped, ours), None)
    problem = problem or find_difference(bucket, batch, len(rows), staged_sha256)
    if problem is not None:
        raise ReconciliationError(f"batch {batch.batch_id} of {batch.feed_id}, {batch.dt}: {problem}")

    counts = Counter(row["status"] for row in rows)
    others = sum(item["batch_id"] != batch.batch_id for item in mapped.values())
    counts.update(planned=len(rows), shared=others)
    failures = [select(row, _FAILURE_COLUMNS) for row in rows if row["error_code"] is not None]
    image_bytes = sum(row["image"]["length"] for row in rows if row["image"] is not None)
    return BatchAudit(batch, counts=counts, image_bytes=image_bytes, failures=failures)


def _read_mapping(plan: PlannedBatch, bucket: Bucket, media_index: MediaIndex) -> dict[str, dict[str, Any]]:
    """Read the items of a plan; leave out claims whose batch is not open, because nobody makes their rows."""
    media_ids = [item.media_id for item in plan.items]
    mapped = media_index.get_many(media_ids, consistent=False)
    # A cheap read can miss what Map Keys has just written, so read these items again, at the full price.
    stale = [media_id for media_id in media_ids if mapped.get(media_id, {}).get("status", CLAIMED) == CLAIMED]
    if not stale:
        return mapped
    # The list comes before the second read: a batch in between finishes its items before it is closed.
    working = {*open_batches(bucket), plan.batch.batch_id}
    mapped |= media_index.get_many(stale)
    return {
        media_id: item for media_id, item in mapped.items() if item["status"] != CLAIMED or item["batch_id"] in working
    }


def _contradictions(
    plan: PlannedBatch, rows: list[StagedRow], mapped: Collection[str], ours: dict[str, str]
) -> Iterator[str]:
    """Compare plan, rows and mapping; ``ours`` is the status of the items that this batch claimed."""
    named = planned_rows(rows, {item.media_id for item in plan.items})
    # The other erased rows stand for items that nobody has claimed, or that an erasure is removing.
    nameless = len(rows) - len(named)
    if len(plan.items) - len(mapped) > nameless:
        yield f"{len(plan.items)} items planned, {len(mapped)} mapped or in an open batch"
    media_ids = {row["media_id"] for row in named}
    if len(named) != len(media_ids):
        yield f"{len(named)} rows of {len(media_ids)} items"
    if not 0 <= len(ours) - len(media_ids) <= nameless:
        yield f"{len(ours)} items mapped, {len(media_ids)} rows"
    for row in named:
        status = ours.get(row["media_id"], CLAIMED)
        if row["status"] != status:
            yield f"media {row['media_id']} is {row['status']} in its row and {status} in its mapping"


def _recorded_failure(run: Run, batch: Batch, bucket: Bucket) -> Failure:
    try:
        return bucket.get_model(object_keys.batch_failure(run.run_id, batch.batch_id), Failure)
    except ObjectMissingError:
        return Failure(
            error="NotRecorded", message="the batch ended without a recorded error; see the Map Run in the console"
        )


def _status(run: Run, counts: Counter[str], open_batches: list[OpenBatch]) -> ReconciliationStatus:
    if counts[Status.FAILED] * 100 > counts["planned"] * run.failure_tolerance_percent:
        return "too_many_failures"
    return "incomplete" if open_batches else "complete"
