"""The batches that are open: planned, and not yet in the dataset."""

from __future__ import annotations

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket


def open_batches(bucket: Bucket) -> dict[str, str]:
    """List the ids of all open batches, each with the id of its feed.

    Only an open batch claims media items, and it is closed after its claims are finished. So a claim that was read
    before this list, and whose batch is not in it, is finished or nobody will finish it.
    """
    names = [key.split("/") for key in bucket.list(object_keys.OPEN) if key.endswith(".json")]
    return {name.removesuffix(".json"): feed_id for _, feed_id, name in names}
