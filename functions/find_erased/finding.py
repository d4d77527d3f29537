"""One search of an erasure: it waits for runs from before the suppression, and keeps what it finds."""

from __future__ import annotations

from datetime import datetime

from find_erased.lists import Lists, networks_of
from find_erased.price import usd_of
from find_erased.settings import FindErasedSettings
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erasure_found import Found, FoundObjects
from imagelake.lake.erasure_search import Search
from imagelake.lake.hash_log import HashLog
from imagelake.lake.hash_log_snapshot import HashLogSnapshot
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.suppression import suppressions
from imagelake.lake.unmapping import Unmapping
from imagelake.run.aws import aws_errors, client
from imagelake.run.erasure_models import Erasure, ErasureRequest, FindErasedResult, FoundCounts
from imagelake.run.errors import ErasureIncompleteError

# A run can add something in one round, so the first search is followed by so many rounds at most.
_ROUNDS = 5


def find(erasure: Erasure, settings: FindErasedSettings) -> FindErasedResult:
    """Search, and store the lists; a dry run stores nothing and waits for nobody.

    While ``must_wait`` is true, ``left`` is at least 1: nobody can know yet that nothing is left.
    """
    bucket = Bucket(settings.bucket_name)
    request = bucket.get_model(object_keys.erasure_request(erasure.erasure_id), ErasureRequest)
    lists = Lists(bucket, erasure.erasure_id)
    suppressed = {} if erasure.dry_run else bucket.get_json(object_keys.erasure_suppressed(erasure.erasure_id))
    if suppressed and _runs_from_before(suppressed["at"], settings):
        return lists.result(must_wait=True, left=1, counts=_counts(Found(), lists))

    objects = FoundObjects(bucket, erasure.erasure_id, erasure.execution_arn)
    listed = suppressions(settings.suppression_table, settings.suppression_key).read()
    search = Search(MediaIndex(settings.image_keys_table), bucket, None if erasure.dry_run else listed)
    found = search.find(request.erase, objects.read_all())
    found = found.model_copy(update={"networks": networks_of(request.erase, found)})
    lists.add(found)
    counts = _counts(found, lists)
    if erasure.dry_run:
        return lists.result(must_wait=False, left=search.left, counts=counts)

    # A duplicate that was mapped just now may be missing in the index. From now on, no more can be added.
    must_wait = Unmapping(settings.image_keys_table).mark_erasing(found.owners) > 0
    left = search.left + _has_old_snapshot(settings, bucket)
    if left and found.searches >= 1 + _ROUNDS:
        raise ErasureIncompleteError(f"after {_ROUNDS} rounds, {left} items or objects are still not erased")
    # What is not on the list yet is put there, and the next search waits for runs that did not know it.
    is_suppressed = found.names_digest == suppressed.get("found", "")
    objects.write(found if must_wait else found.model_copy(update={"searches": found.searches + is_suppressed}))
    # Otherwise, nobody reads them: the execution waits, or this is its last search.
    if not must_wait and (left or not found.searches):
        lists.write(found)
    left = max(left, int(must_wait))
    return lists.result(must_wait=must_wait, left=left, counts=counts, is_suppressed=is_suppressed)


def _counts(found: Found, lists: Lists) -> FoundCounts:
    counts = FoundCounts(
        items=len(found.items),
        files=len(found.files),
        open_batches=len(found.open_batches),
        raw_images=len(found.raw_images),
        pages=lists.pages,
        reports=lists.runs,
        usd=0,
    )
    return counts.model_copy(update={"usd": usd_of(counts)})


def _runs_from_before(at: str, settings: FindErasedSettings) -> bool:
    """Tell if an execution is in progress that began before everything was on the suppression list."""
    suppressed_at = datetime.fromisoformat(at)
    for arn in (settings.state_machine_arn, settings.rebuild_state_machine_arn):
        with aws_errors("executions in progress"):
            pages = (
                client("stepfunctions")
                .get_paginator("list_executions")
                .paginate(stateMachineArn=arn, statusFilter="RUNNING")
            )
            if any(one["startDate"] < suppressed_at for page in pages for one in page["executions"]):
                return True
    return False


def _has_old_snapshot(settings: FindErasedSettings, bucket: Bucket) -> bool:
    """Tell if a worker that was late has stored hashes from before an erasure in the hash log."""
    return HashLogSnapshot(bucket).is_older_than(HashLog(settings.image_hashes_table).generation())
