"""A dataset as users have it on disk: several days and networks, columns without any value, and an older file."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq

from imagelake.lake import object_keys
from imagelake.lake.rows import Row, Status
from imagelake.run.models import Batch
from parquet.table import to_parquet, to_table
from tests.support.factories import item, result

LICENSE = "CC0"
# Columns that the oldest file, which readers find first, does not have.
NEW_COLUMNS = ("license", "duplicate_distance", "is_dark", "tensor")
_OLDEST = ("bluesky", "2026-04-01")
_FILES = {
    _OLDEST: (Status.OK, Status.FAILED),
    ("bluesky", "2026-04-02"): (Status.FAILED, Status.FAILED),
    ("bluesky", "2026-04-03"): (Status.OK, Status.REJECTED),
    ("commons", "2026-04-02"): (Status.OK,),
    ("commons", "2026-04-03"): (Status.OK, Status.OK, Status.DUPLICATE),
}


def write_folder(folder: Path, *, with_older_file: bool) -> list[Row]:
    """Write the files, with their keys as paths, and return their rows."""
    written: list[Row] = []
    for (source, dt), statuses in _FILES.items():
        rows = [
            result(
                item(f"{dt}-{number}", media_id=f"{source}/{dt}/{number}", source=source, tags=["cats", "夏"][:number]),
                status,
                dt=dt,
                license=LICENSE if source == "commons" else None,
                phash=-(2**63) + number if status is Status.OK else None,
            )
            for number, status in enumerate(statuses)
        ]
        body = to_parquet(to_table(rows))
        if with_older_file and (source, dt) == _OLDEST:
            older = io.BytesIO()
            pq.write_table(pq.read_table(io.BytesIO(body)).drop_columns(NEW_COLUMNS), older)
            body = older.getvalue()
        batch = Batch(batch_id=f"{source}-{dt}", feed_id="feed", source=source, dt=dt, items=len(rows))
        file = folder / object_keys.parquet(batch)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        written += rows
    return written
