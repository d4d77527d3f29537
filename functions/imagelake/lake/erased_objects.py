"""The objects that one erasure rewrites or deletes, and the note that it keeps of each for its receipt.

An object is replaced only if nobody has changed it since it was read. The note is written first. So an erasure that was
killed in between, or that runs again, still knows what it has erased. The older versions are deleted later, because one
request lists those of many objects.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import Field

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket, Version, to_json
from imagelake.run.aws import THREADS
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.frozen_model import FrozenModel
from imagelake.run.retries import attempts

_TRIES = 5


class Place(StrEnum):
    """Places with personal data; docs/erasure.md has a row for each."""

    DATASET_FILES = "dataset_files"
    RAW_IMAGES = "raw_images"
    RAW_PAGES = "raw_pages"
    REJECTS = "rejects"
    FAILURE_LISTS = "failure_lists"
    REPORT_PAGES = "report_pages"
    SUMMARIES = "summaries"
    COVERAGE = "coverage"
    OPEN_BATCHES = "open_batches"
    STAGED_BATCHES = "staged_batches"
    PARTS = "parts"
    REBUILDS = "rebuilds"
    STREAM_WINDOWS = "stream_windows"
    DISCARDED_RECORDS = "discarded_records"
    MEDIA_INDEX = "media_index"
    HASH_LOG = "hash_log"
    BOOKMARKS = "bookmarks"


_BATCHES = object_keys.batch_prefixes()
# The folders whose objects can name what an erasure erases, or can have its hashes. Those of networks follow.
_FOLDERS = {
    _BATCHES["plans"]: Place.OPEN_BATCHES,
    _BATCHES["attempts"]: Place.OPEN_BATCHES,
    _BATCHES["staged"]: Place.STAGED_BATCHES,
    _BATCHES["parts"]: Place.PARTS,
    object_keys.OPEN: Place.OPEN_BATCHES,
    **dict.fromkeys(object_keys.MESSAGES, Place.OPEN_BATCHES),
    "work/stream/": Place.STREAM_WINDOWS,
    object_keys.DISCARDED_RECORDS: Place.DISCARDED_RECORDS,
    **dict.fromkeys(object_keys.rebuild_prefixes(), Place.REBUILDS),
    object_keys.REPORTS: Place.REPORT_PAGES,
    object_keys.RUNS: Place.SUMMARIES,
    object_keys.COVERAGE: Place.COVERAGE,
    # Two late workers can have written it one after the other.
    "hash-log/": Place.HASH_LOG,
}
_FOLDERS_OF_NETWORKS = {"raw/posts": Place.RAW_PAGES, "rejects": Place.REJECTS}


def folders(networks: Iterable[str]) -> dict[str, Place]:
    """Return the place of each folder whose older versions an erasure deletes, whomever they name."""
    names = sorted(networks)
    return _FOLDERS | {
        f"{name}/source={network}/": place for name, place in _FOLDERS_OF_NETWORKS.items() for network in names
    }


class Change(NamedTuple):
    """The new body of an object, or ``None`` to delete it, and the ids of what is erased in it.

    ``reason`` says why more than these items is erased; it is empty in most cases.
    """

    body: bytes | None
    items: Collection[str]
    metadata: dict[str, str] | None = None
    reason: str = ""


class ErasedObject(FrozenModel):
    """The note of one object, or of the older versions that were deleted in a folder.

    It is deleted with the erasure's other working objects, so it may have ids.
    """

    place: Place
    key: str
    items: list[str]
    reason: str = ""
    sha256_before: str | None = None
    sha256_after: str | None = None
    versions: list[str] = Field(default_factory=list)

    @property
    def is_folder(self) -> bool:
        """True for the note of a folder."""
        return self.key.endswith("/")


class ErasedObjects:
    """All objects that one erasure changes."""

    def __init__(self, bucket: Bucket, erasure_id: str) -> None:
        self._bucket = bucket
        self._erasure_id = erasure_id

    def rewrite(
        self,
        place: Place,
        key: str,
        content_type: str,
        change: Callable[[bytes, Version], Change | None],
    ) -> Change | None:
        """Replace an object by what ``change`` makes of it, and return the change made.

        ``change`` returns ``None`` if there is nothing to erase. A missing object is no error.
        """
        made = None
        for _ in attempts(_TRIES):
            try:
                body, version = self._bucket.get_with_version(key)
            except ObjectMissingError:
                break
            changed = change(body, version)
            if changed is None:
                break
            self.note(place, key, changed.items, body, changed.body, changed.reason)
            made = changed
            if changed.body is None:
                # The next try finds either nothing, or what somebody has written in between.
                self._bucket.delete(key, version)
                continue
            metadata = version.metadata if changed.metadata is None else changed.metadata
            if self._bucket.put_if_unchanged(key, changed.body, content_type, version, metadata):
                break
        else:
            raise StorageUnavailableError(f"{key}: {_TRIES} times another worker was first")
        return made

    def rewrite_lines(self, place: Place, key: str, change: Callable[[Any], Any]) -> Change | None:
        """Change lines of JSON; ``change`` gets a value and returns it, another one, or ``None`` to remove the line.

        All other lines stay byte for byte. A line that is not JSON is given as text.
        """

        def change_lines(body: bytes, version: Version) -> Change | None:
            kept, erased = [], []
            for line in body.splitlines(keepends=True):
                before = _value(line)
                after = change(before)
                if after is None:
                    erased.append(hashlib.sha256(line).hexdigest())
                else:
                    kept.append(line if after is before else to_json(after) + b"\n")
            smaller = b"".join(kept)
            return None if smaller == body else Change(smaller, erased)

        return self.rewrite(place, key, "application/x-ndjson", change_lines)

    def remove(self, place: Place, key: str, items: Collection[str]) -> None:
        """Delete all versions of an object."""
        versions = self._bucket.all_versions(key)
        if versions:
            self.note(place, key, items, versions=_bodies(versions))
            self._delete_versions(key, versions)

    def remove_older_versions(self, place: Place, folder: str, keys: Collection[str] | None = None) -> int:
        """Delete for ever all versions in a folder that are not the current ones, and return the number of bodies.

        With ``keys``, only versions of these objects go.
        An object can be rewritten or deleted by the pipeline, or expire, before an erasure reads it. Nobody can tell
        whom its older versions name.
        """
        found = self._bucket.all_versions_under(folder)
        older = {key: _older(versions) for key, versions in found.items() if keys is None or key in keys}
        bodies = [version_id for versions in older.values() for version_id in _bodies(versions)]
        if bodies:
            self.note(place, folder, [], versions=bodies)
        with ThreadPoolExecutor(THREADS) as pool:
            # Take every result: an error is raised only then.
            list(pool.map(self._delete_versions, older, older.values()))
        return len(bodies)

    def note(
        self,
        place: Place,
        key: str,
        items: Collection[str],
        before: bytes | None = None,
        after: bytes | None = None,
        reason: str = "",
        versions: Iterable[str] = (),
    ) -> None:
        """Add to the note of an object, or of an item of a table; what was noted before stays."""
        noted = self._read(key)
        first = noted.sha256_before if noted else _sha256(before)
        self._write(
            ErasedObject(
                place=place,
                key=key,
                items=sorted({*items, *(noted.items if noted else ())}),
                reason=reason or (noted.reason if noted else ""),
                sha256_before=first,
                sha256_after=_sha256(after),
                versions=sorted({*versions, *(noted.versions if noted else ())}),
            )
        )

    def notes(self) -> Iterator[ErasedObject]:
        """Read all notes of this erasure."""
        for key in self._bucket.list(object_keys.erasure_notes(self._erasure_id)):
            yield self._bucket.get_model(key, ErasedObject)

    def _delete_versions(self, key: str, versions: Mapping[str, str | None]) -> None:
        # A delete marker goes last, because an older version would take its place.
        for version_id in reversed([*versions]):
            self._bucket.delete_version(key, version_id)

    def _read(self, key: str) -> ErasedObject | None:
        try:
            return self._bucket.get_model(object_keys.erasure_note(self._erasure_id, key), ErasedObject)
        except ObjectMissingError:
            return None

    def _write(self, noted: ErasedObject) -> None:
        self._bucket.put_json(object_keys.erasure_note(self._erasure_id, noted.key), noted.model_dump(mode="json"))


def _older(versions: Mapping[str, str | None]) -> dict[str, str | None]:
    """Leave out the current version; a delete marker is no copy of the data, so it is never left out."""
    current = next(iter(versions), "")
    return {one: etag for one, etag in versions.items() if one != current or etag is None}


def _bodies(versions: Mapping[str, str | None]) -> list[str]:
    """Leave out delete markers."""
    return [version_id for version_id, etag in versions.items() if etag is not None]


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line.decode("utf-8", "replace")


def _sha256(body: bytes | None) -> str | None:
    return None if body is None else hashlib.sha256(body).hexdigest()
