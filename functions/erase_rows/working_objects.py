"""The working objects of one batch and of its retries: plans, parts, attempts, and the marker of an open batch."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from functools import partial

from erase_rows.batch_rows import BatchRows
from erase_rows.counted_objects import CountedObjects
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version, named_if_damaged
from imagelake.lake.erased_objects import Change, Place
from imagelake.lake.media_index import CLAIMED, MediaIndex
from imagelake.lake.open_batches import open_batches
from imagelake.lake.parts import changed_part
from imagelake.run.errors import DamagedObjectError
from imagelake.run.models import PlannedBatch

_JSON = "application/json"


class WorkingObjects:
    """All that a batch stores of erased items beside its rows. Each object may be missing, because they expire."""

    def __init__(self, batch_id: str, erased: Collection[str], bucket: Bucket, objects: CountedObjects) -> None:
        self._batch_id = batch_id
        self._erased = {*erased}
        self._bucket = bucket
        self._objects = objects
        self._prefixes = object_keys.batch_prefixes(batch_id)

    def remove_claims(self, media_index: MediaIndex) -> None:
        """Delete the batch's claims of erased items; whoever stages their rows after this leaves out their ids."""
        entries = media_index.get_many(self._erased) if self._erased else {}
        claims = [
            one
            for one, entry in entries.items()
            if entry["status"] == CLAIMED and entry["batch_id"] == self._batch_id and "processed_key" not in entry
        ]
        for media_id in claims:
            self._objects.note(Place.MEDIA_INDEX, media_id, [media_id])
        self._objects.changed += len(media_index.unclaim(claims, self._batch_id))

    def rewrite(self, rows: BatchRows) -> None:
        """Take erased items from all objects, and from other rows of the batch what they say of erased items."""
        parts, attempts, plans = (self._find(name) for name in ("parts", "attempts", "plans"))
        self._objects.rewrite_all(Place.PARTS, parts, "application/octet-stream", partial(self._part, rows))
        if not self._erased:
            return
        self._objects.rewrite_all(Place.OPEN_BATCHES, attempts, _JSON, self._attempt)
        self._objects.rewrite_all(Place.OPEN_BATCHES, plans, _JSON, self._plan)
        feed_id = open_batches(self._bucket).get(self._batch_id)
        if feed_id is None:
            return
        # The marker comes after the plans, because the search finds the batch by it.
        marker = f"{object_keys.open_prefix(feed_id)}{self._batch_id}.json"
        self._objects.rewrite_all(Place.OPEN_BATCHES, [marker], _JSON, self._marker)
        # A run that read the marker before may have written the plan again.
        self._objects.rewrite_all(Place.OPEN_BATCHES, self._find("plans"), _JSON, self._plan)

    def remove_rebuilds(self) -> None:
        """Delete what rebuilds have made of the file before it changed; a rebuild in progress reads the file again."""
        for prefix in object_keys.rebuild_prefixes(self._batch_id):
            for key in self._bucket.list(prefix):
                self._objects.note(Place.REBUILDS, key, [])
                self._bucket.delete(key)

    def _find(self, name: str) -> list[str]:
        return self._bucket.list(self._prefixes[name])

    def _staged_key(self, part: str) -> str:
        """Return the key of the rows that were staged from a part."""
        retried_by = part.split("/")[3].removeprefix("retry=")
        return f"{self._prefixes['staged']}{'/' if retried_by else ''}{retried_by}.jsonl"

    def _part(self, rows: BatchRows, key: str, body: bytes, version: Version) -> Change | None:
        staged = rows.staged.get(self._staged_key(key), [])
        try:
            without = changed_part(key, body, self._erased, rows.changed_in_part, staged)
        except DamagedObjectError:
            # Nobody can say of whom its images are. Transform makes them again if the batch is open.
            return Change(None, self._erased)
        return None if without is None else Change(without, self._erased)

    def _plan(self, key: str, body: bytes, version: Version) -> Change | None:
        try:
            return self._marker(key, body, version)
        except DamagedObjectError:
            # No step can read it either. If the batch is open, the next run writes it again from the marker.
            return Change(None, self._erased)

    def _marker(self, key: str, body: bytes, version: Version) -> Change | None:
        with named_if_damaged(key):
            plan = PlannedBatch.model_validate_json(body)
        gone = {item.media_id for item in plan.items} & self._erased
        return Change(plan.without(gone).model_dump_json().encode(), gone) if gone else None

    def _attempt(self, key: str, body: bytes, version: Version) -> Change | None:
        """Take the name of the item from an attempt that died while it decoded the item's image."""
        with suppress(ValueError):
            attempt = json.loads(body)
            if attempt["media_id"] in self._erased:
                return Change(json.dumps({**attempt, "media_id": None}).encode(), [attempt["media_id"]])
        return None
