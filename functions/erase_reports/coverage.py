"""The rows of a run in the table ``coverage``: a row has the name of its feed, and is kept for ever."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

from imagelake.lake import object_keys
from imagelake.lake.bucket import Version, to_json
from imagelake.lake.erased_objects import Change, ErasedObjects, Place
from imagelake.lake.suppression import SuppressionList


def erase_coverage(dt: str, run_id: str, objects: ErasedObjects, listed: SuppressionList) -> Iterator[Change]:
    """Write the id of a feed of an erased author in place of its name; all other rows stay byte for byte."""

    def changed(line: bytes) -> bytes:
        row = json.loads(line)
        is_named = listed.has_feed(row["feed_id"]) and row["feed"] != row["feed_id"]
        return to_json(row | {"feed": row["feed_id"]}) + b"\n" if is_named else line

    def change(body: bytes, version: Version) -> Change | None:
        try:
            before = gzip.decompress(body)
            after = b"".join(map(changed, before.splitlines(keepends=True)))
        except (OSError, EOFError, zlib.error, ValueError, LookupError, TypeError):
            return Change(None, [], reason="it cannot be read")
        return None if after == before else Change(gzip.compress(after, mtime=0), [])

    made = objects.rewrite(Place.COVERAGE, object_keys.coverage_rows_of(dt, run_id), "application/gzip", change)
    if made is not None:
        yield made
