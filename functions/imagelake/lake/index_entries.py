"""The values in an entry of the media index that follow from the row of its item."""

from __future__ import annotations

from typing import Any

from imagelake.lake.index_keys import raw_image_id
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status


def outcome_of(row: StagedRow) -> dict[str, Any]:
    """Return status, error and original of a row.

    A rejected item is linked to its bytes in the index ``by-duplicate-of``, so that an erasure of them finds it.
    """
    is_linked = row["status"] == Status.REJECTED and row["raw_sha256"] is not None
    original = raw_image_id(str(row["raw_sha256"])) if is_linked else row["duplicate_of"]
    return {"status": row["status"], "error_code": row["error_code"], "duplicate_of": original}
