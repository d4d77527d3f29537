"""The objects that one call changes, with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from imagelake.lake.bucket import Version
from imagelake.lake.erased_objects import Change, ErasedObjects, Place, bodies_of

# The versions of objects by key: their ids, each with its ETag.
Versions = Mapping[str, Mapping[str, str | None]]


class CountedObjects(ErasedObjects):
    """Objects of an erasure: ``changed`` counts them, and ``erased`` counts the entries that were erased in them."""

    changed = erased = 0

    def rewrite_all(
        self, place: Place, found: Versions, content_type: str, change: Callable[[str, bytes, Version], Change | None]
    ) -> None:
        """Replace the objects that were found, and delete all their older versions; some may be deleted already.

        An older version can have what the object has no more, because the pipeline erases too.
        """
        for key, versions in found.items():
            self.rewrite(place, key, content_type, partial(change, key), bodies_of(versions))
            is_alone = len(versions) == 1 and None not in versions.values()
            if not is_alone and self._read(key) is None:
                self.note(place, key, [])
                self._delete_older_versions(key)

    def rewrite(
        self,
        place: Place,
        key: str,
        content_type: str,
        change: Callable[[bytes, Version], Change | None],
        versions: Iterable[str] = (),
    ) -> None:
        """Replace an object by what ``change`` makes of it, and count it."""
        last: list[Change] = []

        def remember(body: bytes, version: Version) -> Change | None:
            last[:] = filter(None, [changed := change(body, version)])
            return changed

        super().rewrite(place, key, content_type, remember, versions)
        self.changed += len(last)
        self.erased += sum(len(one.items) for one in last)
