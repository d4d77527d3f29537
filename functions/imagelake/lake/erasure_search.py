"""The search for what a request erases, and for the duplicates that take the places of erased items.

It only reads, so a dry run does the same search. The media index knows an item when its batch is closed; until then,
the open marker of the batch has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.media_index import MediaIndex, raw_image_id
from imagelake.lake.rows import Status
from imagelake.lake.suppression import SuppressionList, hash_of
from imagelake.run.erasure_models import Selection
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import PlannedBatch

Entry = Mapping[str, Any]


class Found(NamedTuple):
    """The entries to erase by media id, and the open batches by their keys, with the media ids to erase in each.

    ``successors`` are the duplicates that get the images of erased items, by the media id of the erased one.
    ``raw_images`` are the keys of raw images that nobody needs any more.
    """

    entries: dict[str, Entry]
    successors: dict[str, str]
    raw_images: set[str]
    open_batches: dict[str, list[str]]

    @property
    def files(self) -> dict[str, list[str]]:
        """The dataset files with rows to erase, by key, with the media ids of these rows."""
        files: defaultdict[str, list[str]] = defaultdict(list)
        for media_id, entry in sorted(self.entries.items()):
            files[entry["processed_key"]].append(media_id)
        return dict(files)


class Search:
    """One search in the media index and in the open batches."""

    def __init__(self, media_index: MediaIndex, bucket: Bucket) -> None:
        self._media_index = media_index
        self._bucket = bucket

    def find(self, selection: Selection) -> Found:
        """Find what is to be erased; all copies go with the images of a person, and with an image itself."""
        with_copies = self._with_copies(selection)
        of_posts = (self._media_index.of_post(one.source, one.author_id, one.post_id) for one in selection.posts)
        entries = with_copies | self._finished({*selection.media_ids, *chain.from_iterable(of_posts)})
        if selection.near_duplicates:
            entries |= self._all_copies(self._copies(entries, Status.OK))
        owned = self._owned(entries)
        successors = self._successors(owned.values() - with_copies.keys(), entries)
        raw_images = {object_keys.raw_image(sha256) for sha256, owner in owned.items() if owner not in successors}
        return Found(entries, successors, raw_images, self._open_batches(selection))

    def _with_copies(self, selection: Selection) -> dict[str, Entry]:
        """Find the items of authors and the owners of images, with all duplicates of their images."""
        of_authors = (self._media_index.of_author(one.source, one.author_id) for one in selection.authors)
        owners = self._media_index.get_many(map(raw_image_id, selection.sha256))
        media_ids = {*chain.from_iterable(of_authors), *(entry["owner"] for entry in owners.values())}
        return self._all_copies(self._finished(media_ids))

    def _all_copies(self, entries: dict[str, Entry]) -> dict[str, Entry]:
        return entries | self._copies(entries, Status.DUPLICATE)

    def _copies(self, originals: Iterable[str], status: Status) -> dict[str, Entry]:
        """Find the duplicates of items, or with the status ``ok``, their near duplicates."""
        media_ids = {one for original in originals for one in self._media_index.duplicates_of(original)}
        return {one: entry for one, entry in self._finished(media_ids).items() if entry["status"] == status}

    def _finished(self, media_ids: Iterable[str]) -> dict[str, Entry]:
        """Read the entries of items whose rows are in the dataset."""
        entries = self._media_index.get_many(media_ids)
        return {one: entry for one, entry in entries.items() if "processed_key" in entry}

    def _owned(self, entries: Mapping[str, Entry]) -> dict[str, str]:
        """Return the SHA-256 of each raw image that one of these items owns, and the owner."""
        sha256s = {entry["raw_sha256"] for entry in entries.values() if "raw_sha256" in entry}
        owners = self._media_index.get_many(map(raw_image_id, sha256s))
        owned = {sha256: owners[raw_image_id(sha256)]["owner"] for sha256 in sha256s if raw_image_id(sha256) in owners}
        return {sha256: owner for sha256, owner in owned.items() if owner in entries}

    def _successors(self, owners: Iterable[str], erased: Mapping[str, Entry]) -> dict[str, str]:
        """Choose the oldest remaining duplicate of each owner, by its day and its media id."""
        successors = {}
        for owner in sorted(owners):
            duplicates = self._copies([owner], Status.DUPLICATE)
            remaining = sorted((entry["dt"], one) for one, entry in duplicates.items() if one not in erased)
            if remaining:
                successors[owner] = remaining[0][1]
        return successors

    def _open_batches(self, selection: Selection) -> dict[str, list[str]]:
        """Find the planned items in the markers of open batches, which have no complete entries yet."""
        listed = SuppressionList(b"", frozenset(hash_of(b"", *name) for name in selection.names))
        found = {}
        for key in self._bucket.list(object_keys.OPEN):
            # A run may close the batch after it was listed. Then the media index has its items.
            with suppress(ObjectMissingError):
                planned = self._bucket.get_model(key, PlannedBatch)
                media_ids = [item.media_id for item in planned.items if listed.covers_item(item)]
                if media_ids:
                    found[key] = media_ids
        return found
