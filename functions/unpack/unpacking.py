"""The plan of one file: its rows without images, each with the image options to use.

Rows that failed have no raw image, and rows that were erased or are on the suppression list stay out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version
from imagelake.lake.dataset_file import is_rebuilt_by, read_version
from imagelake.lake.open_batches import open_batches
from imagelake.lake.rows import COLUMNS, Status
from imagelake.lake.suppression import SuppressionList
from imagelake.run.contracts import UnpackRequest, UnpackResult
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import Batch
from imagelake.run.rebuild_models import RebuildPlan, RebuildRequest, Selected
from imagelake.run.retries import attempts
from parquet.table import read

_TRIES = 5
_COLUMNS = [column.name for column in COLUMNS if column.name not in ("image", "tensor")]
_WITH_RAW_IMAGE = (Status.OK, Status.DUPLICATE, Status.REJECTED)


def unpack(request: UnpackRequest, bucket: Bucket, listed: SuppressionList) -> UnpackResult:
    """Plan the rows of a file to make again and store the plan, unless there is nothing to do."""
    batch, rebuild_id = request.batch, request.run.run_id
    version, table = _read(bucket, batch, rebuild_id)
    if table is None:
        return UnpackResult(status="done", batch=batch)
    rows = [*_select(table, request.rebuild, listed)]
    selected = Selected(rows=len(rows), raw_bytes=sum(row["raw_bytes"] or 0 for row in rows))
    bucket.put_json(object_keys.rebuild_selection(rebuild_id, batch.batch_id), selected.model_dump())
    if not rows or request.rebuild.dry_run:
        return UnpackResult(status="nothing", batch=batch.model_copy(update={"items": len(rows)}))
    _refuse_open(batch, bucket)
    # Everything that is made of this version of the file is below its ETag, so another version begins anew.
    changes = {"items": len(rows), "rebuilt_by": rebuild_id, "read_etag": version.etag.strip('"')}
    batch = batch.model_copy(update=changes)
    plan = RebuildPlan(batch=batch, rows=rows)
    bucket.put(object_keys.planned_batch(batch), plan.model_dump_json().encode(), "application/json")
    return UnpackResult(status="planned", batch=batch)


def _refuse_open(batch: Batch, bucket: Bucket) -> None:
    """Raise ``StorageUnavailableError`` if a run has written the file, but not yet mapped its rows as they were then.

    The file was read first: if a retry opens the batch after that, it changes the file, which is read again then.
    """
    if batch.batch_id in open_batches(bucket):
        raise StorageUnavailableError(
            f"batch {batch.batch_id} is open; if its run has ended, the next run of the pipeline closes it"
        )


def _read(bucket: Bucket, batch: Batch, rebuild_id: str) -> tuple[Version, pd.DataFrame | None]:
    """Read a file and its version; the table is ``None`` if this rebuild has rewritten the file already."""
    key = object_keys.parquet(batch)
    for _ in attempts(_TRIES):
        version = read_version(bucket, batch)
        if version is None:
            raise ObjectMissingError(f"{key} does not exist")
        if is_rebuilt_by(version, rebuild_id):
            return version, None
        table = read(bucket, key, version, _COLUMNS)
        if table is not None:
            return version, table
    raise StorageUnavailableError(f"{key} changed {_TRIES} times while it was read")


def _select(table: pd.DataFrame, rebuild: RebuildRequest, listed: SuppressionList) -> Iterator[dict[str, Any]]:
    # Arrow gives values that JSON has, but for times.
    columns = [pa.array(table[name].array).to_pylist() for name in _COLUMNS]
    for values in zip(*columns, strict=True):
        row = dict(zip(_COLUMNS, values, strict=True))
        is_made_again = row["status"] in _WITH_RAW_IMAGE and row["raw_sha256"] is not None
        if is_made_again and rebuild.has_row(row) and not listed.covers_item(row):
            # A file of older code lacks columns.
            options = ImageOptions(**json.loads(row["image_options"] or "{}")).changed_by(rebuild)
            posted_at = f"{row['posted_at'].isoformat()}Z"
            yield row | {"image_options": options.image_options_json, "posted_at": posted_at}
