"""The last steps of an erasure. Each looks again at what it deletes, because a run may have changed it in the meantime.

What changed stays, and the next search finds it.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import PurePosixPath

from erase_images.bookmarks import erase_bookmarks
from erase_images.settings import EraseImagesSettings
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import ErasedObjects, Place, folders
from imagelake.lake.erasure_found import FoundObjects, changed_files
from imagelake.lake.hash_log import HashLog
from imagelake.lake.index_keys import raw_image_id
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.suppression import suppressions
from imagelake.lake.unmapping import Unmapping
from imagelake.run.aws import THREADS
from imagelake.run.erasure_models import Erasure
from imagelake.run.errors import ObjectMissingError


class Erasing:
    """The erasure of raw images, hashes and entries that one execution has found."""

    def __init__(self, erasure: Erasure, settings: EraseImagesSettings) -> None:
        self._settings = settings
        self._bucket = Bucket(settings.bucket_name)
        self._media_index = MediaIndex(settings.image_keys_table)
        self._unmapping = Unmapping(settings.image_keys_table)
        self._hash_log = HashLog(settings.image_hashes_table)
        self._objects = ErasedObjects(self._bucket, erasure.erasure_id)
        self._found = FoundObjects(self._bucket, erasure.erasure_id, erasure.execution_arn).read()

    @cached_property
    def _kept(self) -> dict[str, str]:
        """The raw images, by SHA-256, that have another owner since the search, or soon get one."""
        return {
            sha256: owner
            for sha256, owner in self._owners().items()
            if owner != self._found.owners.get(sha256) or owner in self._found.promotions
        }

    def _owners(self) -> dict[str, str]:
        entries = self._media_index.get_many(map(raw_image_id, self._found.sha256s))
        prefix = len(raw_image_id(""))
        return {key[prefix:]: entry["owner"] for key, entry in entries.items()}

    def erase_raw_images(self) -> int:
        """Delete all versions of the raw images that nobody needs; return their number."""
        items: dict[str, list[str]] = {}
        for media_id, item in self._found.items.items():
            if item.raw_sha256:
                items.setdefault(object_keys.raw_image(item.raw_sha256), []).append(media_id)
        keys = sorted(self._found.raw_images - set(map(object_keys.raw_image, self._kept)))
        with ThreadPoolExecutor(THREADS) as pool:
            # Take every result: an error is raised only then.
            list(pool.map(lambda key: self._objects.remove(Place.RAW_IMAGES, key, items.get(key, [])), keys))
        return len(keys)

    def erase_hashes(self) -> int:
        """Put zeros in the places of erased hashes, and let all workers read the log again; return their number.

        A promoted duplicate gets the place of its owner, because its image is the same.
        """
        successors = self._found.successors
        names = {media_id: successors.get(media_id, "") for media_id in self._found.items}
        batches = {PurePosixPath(key).stem for item in self._found.items.values() for key in item.keys}
        # The entry of a retry has the id of the run too.
        seqs = [seq for seq, work_id in self._hash_log.batch_ids().items() if work_id.partition("/")[0] in batches]
        if not seqs:
            return 0
        with ThreadPoolExecutor(THREADS) as pool:
            replaced = sum(pool.map(lambda seq: self._replace_names(seq, names), seqs))
        # Again in each try, because an earlier one may have been killed here. The number comes last: whoever reads it
        # then finds neither the hashes nor a copy of them.
        self._objects.remove(Place.HASH_LOG, object_keys.HASH_LOG_SNAPSHOT, [])
        self._hash_log.raise_generation()
        return replaced

    def _replace_names(self, seq: int, names: dict[str, str]) -> int:
        # Before the entry changes: an erasure that is killed in between finds nothing to change any more.
        return self._hash_log.replace(seq, names, partial(self._objects.note, Place.HASH_LOG, f"hash-log/{seq}"))

    def erase_bookmarks(self) -> int:
        """Erase the ids of posts in bookmarks; return their number."""
        listed = suppressions(self._settings.suppression_table, self._settings.suppression_key).read()
        return erase_bookmarks(self._settings.bookmarks_table, listed, self._objects)

    def erase_messages(self) -> int:
        """Delete objects with messages that name erased items; return their number.

        Reconcile says so if it misses one of a run in progress.
        """
        names = {media_id: _in_json(media_id) for media_id in self._found.items}
        keys = [key for prefix in object_keys.MESSAGES for key in self._bucket.list(prefix) if names]
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(lambda key: self._erase_message(key, names), keys))

    def _erase_message(self, key: str, names: dict[str, tuple[bytes, ...]]) -> bool:
        try:
            body = self._bucket.get(key).replace(b"\\", b"")
        except ObjectMissingError:
            return False
        named = [media_id for media_id, forms in names.items() if any(form in body for form in forms)]
        if named:
            self._objects.remove(Place.OPEN_BATCHES, key, named)
        return bool(named)

    def erase_older_versions(self) -> int:
        """Delete what objects no longer have, also if they are deleted; return the number of versions.

        Older versions of other dataset files stay, because nothing in them is erased.
        """
        days: dict[str, set[str]] = {}
        for key in changed_files(self._bucket):
            days.setdefault(key.rpartition("/")[0] + "/", set()).add(key)
        number = 0
        for folder, keys in days.items():
            number += self._objects.remove_older_versions(Place.DATASET_FILES, folder, keys)
        for folder, place in folders(self._found.networks).items():
            number += self._objects.remove_older_versions(place, folder)
        return number

    def unmap_images(self) -> int:
        """Delete the entries of raw images that nobody has, or link them to a rejected item; return their number."""
        owners = self._owners()
        rejected = {sha256: one for sha256, one in self._found.rejected.items() if sha256 in owners}
        changed = self._unmapping.hand_over(rejected, owners)
        free = [sha256 for sha256 in owners if sha256 not in self._kept and sha256 not in rejected]
        return changed + self._unmapping.delete(self._media_index.get_many(map(raw_image_id, free)).values())

    def unmap_items(self) -> int:
        """Delete the entries of erased items, except of those that still own a raw image; return their number."""
        owners = set(self._owners().values())
        entries = self._media_index.get_many(one for one in self._found.items if one not in owners)
        if entries:
            self._objects.note(Place.MEDIA_INDEX, "media-index", entries.keys())
        return self._unmapping.delete(entries.values())


def _in_json(text: str) -> tuple[bytes, ...]:
    """Return the forms of a text in JSON, also as a text inside JSON, without the backslashes of its escapes."""
    forms = (json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    return tuple(form.replace("\\", "").encode() for form in forms)
