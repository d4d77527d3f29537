"""A batch's rows between the steps: ``rows.jsonl`` without pictures, and the pictures end to end in ``pictures.bin``.

Apart, because Map Keys and Reconcile need the rows and not the megabytes. A row's ``image`` is
``{"offset", "length", "path"}`` into the pictures, or null.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from shared import keys
from shared.errors import ObjectMissingError
from shared.rows import Status
from shared.run import Batch
from shared.storage import Bucket
from transform.pictures import Result


def stage(results: Iterable[Result], batch: Batch, bucket: Bucket) -> dict[str, int]:
    """Write both objects; return the number of rows of every status."""
    pictures = bytearray()
    rows: list[dict[str, Any]] = []
    for row, picture in results:
        if picture is not None:
            row["image"] = {"offset": len(pictures), "length": len(picture), "path": f"{row['media_id']}.jpg"}
            pictures += picture
        rows.append(row)
    bucket.put(keys.pictures(batch), bytes(pictures), "application/octet-stream")
    bucket.put_lines(keys.rows(batch), rows)
    return _counts(rows)


def staged(batch: Batch, bucket: Bucket) -> dict[str, int] | None:
    """The counts of a batch that an earlier try or run has staged, ``None`` if none has.

    Such a batch is not done again: addresses lapse, and what was a picture would become a failure.
    """
    try:
        return _counts(bucket.get_lines(keys.rows(batch)))
    except ObjectMissingError:
        return None


def _counts(rows: list[dict[str, Any]]) -> dict[str, int]:
    found = Counter(row["status"] for row in rows)
    return {status.value: found[status] for status in Status}
