"""The reconciliation of a rebuild: every listed file is rewritten by it, or had no row to make again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import is_rebuilt_by, read_version
from imagelake.run.aws import THREADS
from imagelake.run.contracts import ReportRebuildRequest
from imagelake.run.errors import ObjectMissingError
from imagelake.run.failures import Failure
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.models import Batch
from imagelake.run.rebuild_models import RebuildOutcome, RebuildRequest, RebuiltCounts, Selected
from report_rebuild.estimate import Estimate, estimate

_NO_FAILURE = Failure(error="Unknown", message="no reason was stored; the execution of the file shows it")


class OpenFile(FrozenModel):
    """A file that was not rewritten, and the reason."""

    key: str
    failure: Failure


class FileResult(FrozenModel):
    """The result of one file; ``selected`` is ``None`` if it was never read."""

    selected: Selected | None
    counts: RebuiltCounts
    open: OpenFile | None


class RebuildReport(FrozenModel):
    """The report of a rebuild, stored as JSON. ``files`` have rows that were selected, out of ``listed`` files.

    ``listed_bytes`` are those of all listed files, ``raw_bytes`` those of the raw images of selected rows.
    """

    rebuild_id: str
    rebuild: RebuildRequest
    outcome: RebuildOutcome
    listed: int
    listed_bytes: int
    files: int
    images: int
    raw_bytes: int
    counts: RebuiltCounts
    open: list[OpenFile]
    estimate: Estimate


def reconcile(request: ReportRebuildRequest, bucket: Bucket) -> RebuildReport:
    """Read the result of every file and add them up."""
    batches = bucket.get_models(request.list_key, Batch)
    with ThreadPoolExecutor(THREADS) as pool:
        results = list(pool.map(lambda batch: _read(request, batch, bucket), batches))
    selected = [result.selected for result in results if result.selected is not None and result.selected.rows]
    sums: Counter[str] = Counter()
    for result in results:
        sums.update(result.counts.model_dump())
    counts = RebuiltCounts(**sums)
    total = Selected(rows=sum(one.rows for one in selected), raw_bytes=sum(one.raw_bytes for one in selected))
    unfinished = [result.open for result in results if result.open is not None]
    return RebuildReport(
        rebuild_id=request.run.run_id,
        rebuild=request.rebuild,
        outcome="failed" if unfinished else "partial" if counts.unreadable or counts.kept else "ok",
        listed=len(batches),
        listed_bytes=request.file_bytes,
        files=len(selected),
        images=total.rows,
        raw_bytes=total.raw_bytes,
        counts=counts,
        open=unfinished,
        estimate=estimate(total, len(selected)),
    )


def _read(request: ReportRebuildRequest, batch: Batch, bucket: Bucket) -> FileResult:
    """Read what the other steps have stored for one file, and look at the file itself."""
    rebuild_id = request.run.run_id
    try:
        selected = bucket.get_model(object_keys.rebuild_selection(rebuild_id, batch.batch_id), Selected)
    except ObjectMissingError:
        return FileResult(selected=None, counts=RebuiltCounts(), open=_open(rebuild_id, batch, bucket))
    if request.rebuild.dry_run or not selected.rows:
        return FileResult(selected=selected, counts=RebuiltCounts(), open=None)
    try:
        counts = bucket.get_model(object_keys.rebuild_counts(rebuild_id, batch.batch_id), RebuiltCounts)
    except ObjectMissingError:
        return FileResult(selected=selected, counts=RebuiltCounts(), open=_open(rebuild_id, batch, bucket))
    version = read_version(bucket, batch)
    # Without new rows, because no raw image was readable, the file is not written.
    is_done = not counts.made
    if is_done or (version is not None and is_rebuilt_by(version, rebuild_id)):
        return FileResult(selected=selected, counts=counts, open=None)
    return FileResult(selected=selected, counts=RebuiltCounts(), open=_open(rebuild_id, batch, bucket))


def _open(rebuild_id: str, batch: Batch, bucket: Bucket) -> OpenFile:
    try:
        failure = bucket.get_model(object_keys.batch_failure(rebuild_id, batch.batch_id), Failure)
    except ObjectMissingError:
        failure = _NO_FAILURE
    return OpenFile(key=object_keys.parquet(batch), failure=failure)
