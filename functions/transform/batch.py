"""The work of Transform on one batch: claim its items, decide their rows, mark duplicates and stage the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.open_batches import open_batches
from imagelake.lake.originals import has_lost_original, originals_of, with_image
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.lake.staging import Staging
from imagelake.lake.suppression import SuppressionList, suppressions
from imagelake.run.errors import BatchDeadlineError, DamagedObjectError, ObjectMissingError
from imagelake.run.models import Batch, PlannedBatch
from imagelake.run.posts import Item
from imagelake.sources import get_source
from transform.attempts import Attempts
from transform.decisions import Decisions
from transform.download import Downloader
from transform.duplicates import mark_duplicates
from transform.image_urls import SignedUrls
from transform.near_duplicates import hash_log_cache, mark_near_duplicates
from transform.results import made_with, make_results
from transform.settings import TransformSettings
from transform.suppressed import SuppressedItems, names_erased


def transform_batch(
    batch: Batch, config: TransformSettings, bucket: Bucket, seconds_left: Callable[[], float]
) -> dict[str, int]:
    """Stage the rows of a batch and count them by status; a batch that is staged stays so if its rows are valid.

    Rows are decided part by part, so that the next try goes on from there. If the time is too short, raises
    ``BatchDeadlineError``. If a worker died on the batch, each image is decoded in a process of its own.
    """
    staging = Staging(bucket, batch)
    media_index = MediaIndex(config.image_keys_table)
    listed = suppressions(config.suppression_table, config.suppression_key).read()
    counts = staging.counts()
    if counts is not None and _is_valid(staging.rows(), listed, media_index, bucket):
        return counts

    plan = bucket.get_model(object_keys.planned_batch(batch), PlannedBatch)
    suppressed = SuppressedItems(plan, listed, media_index)
    claimed = _claim(plan, suppressed, media_index, bucket)
    with Attempts(bucket, batch) as attempts:
        decisions = Decisions(bucket, batch)
        _decide_rows(plan, claimed - decisions.rows.keys(), decisions, suppressed, attempts, config, seconds_left)
        done = len(claimed & (decisions.rows.keys() | decisions.waiting.keys()))
        if done < len(claimed):
            raise BatchDeadlineError(f"batch {batch.batch_id}: out of time after {done} of {len(claimed)} items")
        decisions.check_waiting()
        decided = (decisions.rows[item.media_id] for item in plan.items if item.media_id in decisions.rows)
        rows = [row for row in decided if suppressed.is_living(row)]
        rows = mark_duplicates(rows, media_index, bucket)
        cache = hash_log_cache(config.image_hashes_table, config.bucket_name)
        rows = mark_near_duplicates(rows, batch, cache, media_index, bucket)
        rows = suppressed.without_erased_originals(rows)
        rows = suppressed.with_erased(rows, decisions.rows)
        return staging.write(rows, made_with=made_with(), again=counts is not None)


def _decide_rows(
    plan: PlannedBatch,
    media_ids: set[str],
    decisions: Decisions,
    suppressed: SuppressedItems,
    attempts: Attempts,
    config: TransformSettings,
    seconds_left: Callable[[], float],
) -> None:
    """Decide the rows of these items, as far as the time allows."""
    bucket = Bucket(config.bucket_name)
    source = get_source(plan.batch.source)
    with Downloader(
        trusted_origins=config.trusted_origins, contact=config.contact, allowed_hosts=source.media_hosts
    ) as downloader:
        image_urls = SignedUrls(source, downloader, config)
        rows = [*_staged_rows(Staging(bucket, plan.batch)), *decisions.damaged]
        download = _from_lake_first(bucket, rows, image_urls.download)
        if attempts.is_careful:
            # Imported only here, because it is needed so rarely.
            from transform.careful import make_results_carefully

            results = make_results_carefully(plan, media_ids, download, seconds_left, attempts)
        else:
            results = make_results(plan, media_ids, download, seconds_left)
        # Close the results as soon as a decision fails, so that no download goes on.
        with closing(results):
            for number, part in results:
                decisions.decide(number, suppressed.erase(part))
                del part  # Otherwise it stays in memory until the next part is complete.


def _claim(plan: PlannedBatch, suppressed: SuppressedItems, media_index: MediaIndex, bucket: Bucket) -> set[str]:
    """Claim the items of a plan; return those that belong to its batch."""
    media_ids = [item.media_id for item in plan.items if item.media_id not in suppressed.media_ids]
    if plan.batch.retried_by:
        return media_index.claim_again(media_ids, plan.batch)
    return media_index.claim(media_ids, plan.batch.batch_id, list_open=lambda: open_batches(bucket))


def _is_valid(rows: list[StagedRow], listed: SuppressionList, media_index: MediaIndex, bucket: Bucket) -> bool:
    """Tell if no row has to be erased, and the original of every duplicate still has an image."""
    if any((row["status"] != Status.ERASED and listed.covers_item(row)) or names_erased(row, listed) for row in rows):
        return False
    if any(has_lost_original(row) for row in rows):
        return False
    originals = originals_of(rows)
    return with_image(originals, rows, media_index, bucket) == originals.keys()


def _staged_rows(staging: Staging) -> list[StagedRow]:
    """Read the rows of a batch that has to be staged again, because images are damaged."""
    try:
        return staging.rows()
    except (DamagedObjectError, ObjectMissingError):
        return []


def _from_lake_first(
    bucket: Bucket, rows: Iterable[StagedRow], download: Callable[[Item], bytes]
) -> Callable[[Item], bytes]:
    """Take the raw image of a row that has to be made again from the lake, and download all others."""
    sha256s: Mapping[str, str] = {row["media_id"]: row["raw_sha256"] for row in rows if row["raw_sha256"] is not None}

    def read_or_download(item: Item) -> bytes:
        sha256 = sha256s.get(item.media_id)
        if sha256 is not None:
            try:
                body = bucket.get(object_keys.raw_image(sha256))
            except ObjectMissingError:
                return download(item)
            if hashlib.sha256(body).hexdigest() == sha256:
                return body
        return download(item)

    return read_or_download
