"""Plan the failed items of an earlier run again: reopen each batch that has some of them, with these items only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.rows import Status
from imagelake.run.errors import BadInputError, ObjectMissingError
from imagelake.run.models import PlannedBatch, Retry

# The state of a run holds the sentences, and at most 256 KB in all.
MAX_SENTENCES = 20


def reopen(retry: Retry, run_id: str, feed_id: str, bucket: Bucket, media_index: MediaIndex) -> list[str]:
    """Reopen the batches that have failed items; return one sentence for each group of items that is not retried.

    Items that have succeeded meanwhile stay as they are. A batch that is still open stays as it is, because the run
    resumes it anyway. Raises ``BadInputError`` if there was no such run.
    """
    listed = [item for item in _listed(retry, feed_id, bucket) if item["error_code"] in retry.error_codes]
    rejected = Counter(item["error_code"] for item in listed if item["status"] == Status.REJECTED)
    problems = [
        f"{number} items with {code} are not retried: their bytes are stored and would be rejected again"
        for code, number in sorted(rejected.items())
    ]
    failed: defaultdict[str, set[str]] = defaultdict(set)
    for media_id, mapped in media_index.get_many(item["media_id"] for item in listed).items():
        if mapped["status"] == Status.FAILED and mapped["error_code"] in retry.error_codes:
            failed[mapped["batch_id"]].add(media_id)

    expired: list[tuple[str, int]] = []
    for batch_id, media_ids in sorted(failed.items()):
        try:
            plan = bucket.get_model(object_keys.first_planned_batch(batch_id), PlannedBatch)
        except ObjectMissingError:
            expired.append((batch_id, len(media_ids)))
            continue
        if not bucket.exists(object_keys.open_batch(plan.batch)):
            again = _again(plan, media_ids, run_id)
            # An earlier try of this call may have found more failed items; its plan is used then.
            with suppress(ObjectMissingError):
                again = bucket.get_model(object_keys.planned_batch(again.batch), PlannedBatch)
            bucket.put_json(object_keys.open_batch(plan.batch), again.model_dump(mode="json"))
    return [*problems, *_expired(expired)]


def _expired(batches: list[tuple[str, int]]) -> Iterator[str]:
    """Yield a sentence for each of the first batches whose plans have expired, and one for all others."""
    for batch_id, number in batches[:MAX_SENTENCES]:
        yield f"{number} items of batch {batch_id} are not retried: its plan has expired after 14 days"
    if others := batches[MAX_SENTENCES:]:
        items = sum(number for _, number in others)
        yield f"{items} items of {len(others)} other batches are not retried: their plans have expired after 14 days"


def _listed(retry: Retry, feed_id: str, bucket: Bucket) -> list[dict[str, str]]:
    key = object_keys.failures(retry.run_id, feed_id)
    try:
        return bucket.get_lines(key)
    except ObjectMissingError as error:
        # A feed without any batch has no list of failures.
        if bucket.exists(object_keys.run_summary(retry.run_id)):
            return []
        raise BadInputError(
            f"execution input: retry.run_id: there is neither {key} nor a report of that run"
        ) from error


def _again(plan: PlannedBatch, media_ids: set[str], run_id: str) -> PlannedBatch:
    items = [item for item in plan.items if item.media_id in media_ids]
    batch = plan.batch.model_copy(update={"items": len(items), "retried_by": run_id})
    return plan.model_copy(update={"batch": batch, "items": items, "erased": []})
