"""The objects that one call changes, with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from imagelake.lake.bucket import Version
from imagelake.lake.erased_objects import Change, ErasedObjects, Place


class CountedObjects(ErasedObjects):
    """Objects of an erasure: ``changed`` counts them, and ``erased`` counts the entries that were erased in them."""

    changed = erased = 0

    def rewrite_all(
        self,
        place: Place,
        keys: Iterable[str],
        content_type: str,
        change: Callable[[str, bytes, Version], Change | None],
    ) -> None:
        """Replace objects; some may be deleted already."""
        for key in keys:
            self.rewrite(place, key, content_type, partial(change, key))

    def rewrite(
        self, place: Place, key: str, content_type: str, change: Callable[[bytes, Version], Change | None]
    ) -> None:
        """Replace an object by what ``change`` makes of it, and count it."""
        last: list[Change] = []

        def remember(body: bytes, version: Version) -> Change | None:
            last[:] = filter(None, [changed := change(body, version)])
            return changed

        super().rewrite(place, key, content_type, remember)
        self.changed += len(last)
        self.erased += sum(len(one.items) for one in last)
