"""The search for what a request erases, and for the duplicates that take the places of erased items.

It only reads, so a dry run does the same search. The media index knows an item when its batch is closed; until then,
the open marker, the parts and the staged rows of its batch have it. Open batches are read first: one that is closed
after that is still in the list, and one that was closed before is in the media index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erasure_found import Found, FoundItem, Promotion, Relink
from imagelake.lake.index_keys import raw_image_id
from imagelake.lake.media_index import MediaIndex
from imagelake.lake.open_items import OpenItem, open_items, planned_items, stored_images
from imagelake.lake.rows import Status
from imagelake.lake.suppression import SuppressionList, hash_of
from imagelake.run.aws import THREADS
from imagelake.run.erasure_models import Selection

Entry = Mapping[str, Any]
Items = dict[str, FoundItem]


class Search:
    """One search in the media index and in the open batches.

    ``listed`` is the suppression list: a duplicate on it takes nobody's place, because another erasure erases it.
    """

    def __init__(self, media_index: MediaIndex, bucket: Bucket, listed: SuppressionList | None = None) -> None:
        self._media_index = media_index
        self._bucket = bucket
        self._listed = listed or SuppressionList()
        self._entries: dict[str, Entry] = {}
        self._links: dict[str, list[str]] = {}
        self._open: list[OpenItem] = []
        self._planned: list[OpenItem] = []
        # The number of items, new owners and new originals that are not changed yet.
        self.left = 0

    def find(self, selection: Selection, earlier: Found | None = None) -> Found:
        """Find what is to be erased, and add what was found earlier.

        All copies go with the images of a person, and with an image itself.
        """
        before = earlier or Found()
        self._open = open_items(self._bucket)
        self._planned = planned_items(self._bucket)
        planned: defaultdict[str, set[str]] = defaultdict(set)
        for one in [*self._open, *self._planned]:
            planned[one.item.media_id].add(one.key)
        whole = {one: item for one, item in before.items.items() if item.with_copies}
        sha256s = {*selection.sha256, *before.with_copies}
        whole |= self._whole(selection)
        sha256s |= self._owned(whole)
        whole |= self._copies(whole, sha256s)
        items = before.items | self._single(selection) | whole
        if selection.near_duplicates:
            near = self._linked_items(items, {Status.OK}, with_copies=True)
            sha256s |= self._owned(near)
            items |= near | self._copies(near, sha256s)
        items = {one: item.completed_by(before.items.get(one), planned.get(one, ())) for one, item in items.items()}
        found = before.model_copy(update={"items": items, "with_copies": sha256s})
        found = self._with_new_originals(self._with_new_owners(found))
        self.left += len(self._media_index.get_many(items).keys() | planned.keys() & items.keys())
        return found

    def _whole(self, selection: Selection) -> Items:
        """Find the items of authors, and those with the images that are named."""
        of_authors = (self._media_index.of_author(one.source, one.author_id) for one in selection.authors)
        owners = self._media_index.get_many(map(raw_image_id, selection.sha256))
        media_ids = {*chain.from_iterable(of_authors), *(entry["owner"] for entry in owners.values())}
        authors = _listed(("author", one.source, one.author_id) for one in selection.authors)
        opened = [
            one
            for one in [*self._open, *self._planned]
            if authors.covers_item(one.item) or one.raw_sha256 in selection.sha256
        ]
        return self._items(media_ids, opened, with_copies=True)

    def _single(self, selection: Selection) -> Items:
        """Find the items of posts, and those that are named."""
        of_posts = (self._media_index.of_post(one.source, one.author_id, one.post_id) for one in selection.posts)
        names = _listed(name for name in selection.names if name[0] in ("post", "media"))
        opened = [one for one in [*self._open, *self._planned] if names.covers_item(one.item)]
        return self._items({*selection.media_ids, *chain.from_iterable(of_posts)}, opened)

    def _copies(self, items: Items, sha256s: Collection[str]) -> Items:
        """Find the duplicates of items, and all items with these bytes, decided or not."""
        opened = [one for one in self._open if one.raw_sha256 in sha256s]
        rejected = self._linked(map(raw_image_id, sha256s))
        return self._linked_items(items, {Status.DUPLICATE}, with_copies=True) | self._items(
            rejected, opened, with_copies=True
        )

    def _linked_items(self, originals: Iterable[str], statuses: Collection[str], *, with_copies: bool) -> Items:
        """Find the duplicates or near duplicates of items."""
        ids = set(originals)
        linked = [one for one, entry in self._finished(self._linked(ids)).items() if entry["status"] in statuses]
        opened = [one for one in self._open if one.duplicate_of in ids and one.status in statuses]
        return self._items(linked, opened, with_copies=with_copies)

    def _items(self, media_ids: Iterable[str], opened: Iterable[OpenItem], *, with_copies: bool = False) -> Items:
        items: Items = {}
        opened = list(opened)
        finished = self._finished({*media_ids})
        # The entry of an item that was suppressed before its batch was staged does not lead to its raw image.
        mapped = {one for one, entry in finished.items() if entry["status"] != Status.ERASED}
        unmapped = [one for one in opened if one.raw_sha256 is None and one.item.media_id not in mapped]
        for one in opened:
            media_id = one.item.media_id
            item = FoundItem(key=one.key, raw_sha256=one.raw_sha256, with_copies=with_copies)
            items[media_id] = item.completed_by(items.get(media_id))
        for media_id, sha256 in stored_images(self._bucket, unmapped).items():
            items[media_id] = items[media_id].model_copy(update={"raw_sha256": sha256})
        for media_id, entry in finished.items():
            item = FoundItem(
                key=entry["processed_key"],
                row=int(entry["row"]),
                raw_sha256=entry.get("raw_sha256"),
                with_copies=with_copies,
            )
            items[media_id] = item.completed_by(items.get(media_id))
        return items

    def _owned(self, items: Items) -> set[str]:
        """Return the SHA-256 of each raw image that one of these items owns, or that has no owner yet."""
        sha256s = {item.raw_sha256 for item in items.values() if item.raw_sha256}
        owners = self._owners(sha256s)
        return {sha256 for sha256 in sha256s if sha256 not in owners or owners[sha256] in items}

    def _owners(self, sha256s: Iterable[str]) -> dict[str, str]:
        entries = self._media_index.get_many(map(raw_image_id, sha256s))
        prefix = len(raw_image_id(""))
        return {key[prefix:]: entry["owner"] for key, entry in entries.items()}

    def _with_new_owners(self, found: Found) -> Found:
        """Decide what happens to the raw image of each erased item: it gets another owner, or it goes."""
        items, sha256s = found.items, found.sha256s
        owners = self._owners(sha256s)
        self._linked([*items, *map(raw_image_id, sha256s)])
        needed_by_open = {one.raw_sha256 for one in self._open if one.item.media_id not in items}
        promotions: dict[str, Promotion] = {}
        rejected: dict[str, str] = {}
        unneeded = []
        for sha256 in sorted(sha256s):
            owner = owners.get(sha256)
            if owner is not None and owner not in items:
                continue
            if owner is not None and (successor := self._oldest(owner, Status.DUPLICATE, items)):
                key = self._entries[successor]["processed_key"]
                promotions[owner] = Promotion(successor=successor, key=key, owner_key=items[owner].key)
            elif other := self._oldest(raw_image_id(sha256), Status.REJECTED, items):
                rejected[sha256] = other
            elif sha256 not in needed_by_open:
                unneeded.append(object_keys.raw_image(sha256))
        with ThreadPoolExecutor(THREADS) as pool:
            exist = dict(zip(unneeded, pool.map(self._is_stored, unneeded), strict=True))
        # What was found earlier may not be complete: an image that is gone can have older versions.
        earlier = {
            owner: one
            for owner, one in found.promotions.items()
            if self._is_still_new_owner(one.successor, owner, items, owners)
        }
        raw_images = {key for key in unneeded if exist[key] or key in found.raw_images}
        self.left += len(promotions) + len(rejected) + sum(exist.values())
        return found.model_copy(
            update={
                "promotions": earlier | promotions,
                "owners": {sha256: owner for sha256, owner in owners.items() if owner in items},
                "rejected": rejected,
                "raw_images": raw_images,
            }
        )

    def _is_stored(self, key: str) -> bool:
        # A version that somebody has deleted stays for a while. To list versions costs more than to look.
        return self._bucket.exists(key) or bool(self._bucket.all_versions(key))

    def _oldest(self, original: str, status: str, erased: Items) -> str | None:
        """Return the oldest item that names an original and is not erased, by its day and its media id."""
        remaining = [
            (entry["dt"], one)
            for one, entry in self._finished(self._linked([original])).items()
            if one not in erased and entry["status"] == status and not self._is_listed(one, entry)
        ]
        return min(remaining)[1] if remaining else None

    def _is_still_new_owner(self, media_id: str, owner: str, erased: Items, owners: Mapping[str, str]) -> bool:
        """Tell if an item that an earlier search chose has the image of an owner, or can still get it."""
        entry = self._finished([media_id]).get(media_id)
        if entry is None or media_id in erased or self._is_listed(media_id, entry):
            return False
        return entry.get("duplicate_of") == owner or owners.get(entry.get("raw_sha256", "")) == media_id

    def _is_listed(self, media_id: str, entry: Entry) -> bool:
        return self._listed.has_media(media_id) or self._listed.has_image(entry.get("raw_sha256"))

    def _with_new_originals(self, found: Found) -> Found:
        """Give the remaining duplicates and near duplicates of erased items a new original, or none."""
        items, successors = found.items, found.successors
        relinks = {
            opened.item.media_id: Relink(key=opened.key, original=successors.get(opened.duplicate_of))
            for opened in self._open
            if opened.duplicate_of in items and opened.item.media_id not in items
        }
        for erased in items:
            for one, entry in self._finished(self._linked([erased])).items():
                if one not in items and successors.get(erased) != one:
                    relinks[one] = Relink(key=entry["processed_key"], original=successors.get(erased))
        self.left += len(relinks)
        earlier = {
            one: new
            for one, new in found.relinks.items()
            if one not in items and new.original not in items and not self._listed.has_media(new.original or "")
        }
        return found.model_copy(update={"relinks": earlier | relinks})

    def _linked(self, originals: Iterable[str]) -> list[str]:
        """Return the items that name these originals in the index ``by-duplicate-of``."""
        ids = list(dict.fromkeys(originals))
        unknown = [one for one in ids if one not in self._links]
        with ThreadPoolExecutor(THREADS) as pool:
            self._links |= zip(unknown, pool.map(self._media_index.duplicates_of, unknown), strict=True)
        linked = list(chain.from_iterable(self._links[one] for one in ids))
        self._finished(linked)
        return linked

    def _finished(self, media_ids: Iterable[str]) -> dict[str, Entry]:
        """Read the entries of items whose rows are in the dataset."""
        ids = dict.fromkeys(media_ids)
        entries = self._media_index.get_many([one for one in ids if one not in self._entries])
        self._entries |= {one: entry for one, entry in entries.items() if "processed_key" in entry}
        return {one: self._entries[one] for one in ids if one in self._entries}


def _listed(names: Iterable[tuple[str, ...]]) -> SuppressionList:
    return SuppressionList(b"", frozenset(hash_of(b"", *name) for name in names))
