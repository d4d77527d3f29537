"""The names that go on the suppression list, and the time at which all of them are on it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erasure_found import FoundObjects
from imagelake.run.erasure_models import ErasureRequest, SuppressRequest


def names_of(request: SuppressRequest, bucket: Bucket) -> tuple[Iterable[tuple[str, ...]], str]:
    """Return the kind and the ids of everything to suppress, and the digest of what the search has found."""
    erasure = request.erasure
    if request.what == "request":
        asked = bucket.get_model(object_keys.erasure_request(erasure.erasure_id), ErasureRequest)
        return dict.fromkeys(asked.erase.names), ""
    found = FoundObjects(bucket, erasure.erasure_id, erasure.execution_arn).read()
    return found.names, found.names_digest


def note_time(erasure_id: str, bucket: Bucket, digest: str) -> None:
    """Store the present time, for which Find Erased compares the starts of runs, and what is on the list now."""
    noted = {"at": datetime.now(UTC).isoformat(), "found": digest}
    bucket.put_json(object_keys.erasure_suppressed(erasure_id), noted)
