"""The names that go on the suppression list, and the time at which all of them are on it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erasure_found import FoundObjects
from imagelake.run.erasure_models import ErasureRequest, SuppressRequest


def names_of(request: SuppressRequest, bucket: Bucket) -> Iterator[tuple[str, ...]]:
    """Yield the kind and the ids of everything to suppress."""
    erasure = request.erasure
    if request.what == "request":
        asked = bucket.get_model(object_keys.erasure_request(erasure.erasure_id), ErasureRequest)
        yield from dict.fromkeys(asked.erase.names)
        return
    found = FoundObjects(bucket, erasure.erasure_id, erasure.execution_arn).read()
    # A copy names the whole post, as a requested item does; the items of an erased post block nothing but themselves.
    yield from (("media" if item.with_copies else "item", media_id) for media_id, item in sorted(found.items.items()))
    yield from (("image", sha256) for sha256 in sorted(found.with_copies))


def note_time(erasure_id: str, bucket: Bucket) -> None:
    """Store the present time, for which Find Erased compares the starts of runs."""
    bucket.put_json(object_keys.erasure_suppressed(erasure_id), {"at": datetime.now(UTC).isoformat()})
