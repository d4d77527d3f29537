"""The result of a search for what an erasure erases, kept because each later step deletes what the search needs."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

from pydantic import Field, NonNegativeInt

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import ObjectMissingError
from imagelake.run.frozen_model import FrozenModel


class FoundItem(FrozenModel):
    """An item to erase, and the key of its dataset file; ``row`` is ``None`` while its batch is open.

    ``others`` are the keys for other batches that have planned the item. ``with_copies`` is true if all other items
    with the same bytes are erased too.
    """

    key: str
    others: set[str] = Field(default_factory=set)
    row: int | None = None
    raw_sha256: str | None = None
    with_copies: bool = False

    @property
    def keys(self) -> set[str]:
        """The keys of all files that have the item or would get it."""
        return {self.key, *self.others}

    def completed_by(self, known: FoundItem | None, keys: Iterable[str] = ()) -> FoundItem:
        """Add more batches, and what another search knew; a killed erasure may have deleted what says it."""
        sha256 = self.raw_sha256 or (known and known.raw_sha256)
        others = {*self.others, *keys, *(known.keys if known else ())} - {self.key}
        return self.model_copy(update={"raw_sha256": sha256, "others": others})


class Promotion(FrozenModel):
    """The duplicate that gets the image of an erased owner, and the keys of both dataset files."""

    successor: str
    key: str
    owner_key: str


class Relink(FrozenModel):
    """The new original of a row whose original is erased, ``None`` if it has none any more, and the key of its file."""

    key: str
    original: str | None


class Found(FrozenModel):
    """Everything to erase or to change, by media id; promotions by the erased owner.

    ``raw_images`` are the keys of raw images that nobody needs any more. Those in ``with_copies``, by SHA-256, never
    come back. ``owners`` are the erased owners of raw images, and ``rejected`` the items for which a raw image stays,
    by its SHA-256.
    """

    items: dict[str, FoundItem] = Field(default_factory=dict)
    promotions: dict[str, Promotion] = Field(default_factory=dict)
    relinks: dict[str, Relink] = Field(default_factory=dict)
    raw_images: set[str] = Field(default_factory=set)
    with_copies: set[str] = Field(default_factory=set)
    owners: dict[str, str] = Field(default_factory=dict)
    rejected: dict[str, str] = Field(default_factory=dict)
    # The networks whose pages can name what is erased.
    networks: set[str] = Field(default_factory=set)
    # The number of complete searches of one execution.
    searches: NonNegativeInt = 0

    @property
    def files(self) -> dict[str, list[str]]:
        """The dataset files with rows to erase, by key, with the media ids of these rows."""
        return _by_key((one, {item.key}) for one, item in self.items.items() if item.row is not None)

    @property
    def open_batches(self) -> dict[str, list[str]]:
        """Other batches with items to erase, by the keys that their files will have or have; most of them are open."""
        return _by_key((one, item.keys if item.row is None else item.others) for one, item in self.items.items())

    @property
    def successors(self) -> dict[str, str]:
        """The duplicates that get the images of erased owners."""
        return {owner: promotion.successor for owner, promotion in self.promotions.items()}

    @property
    def sha256s(self) -> set[str]:
        """The SHA-256 of every raw image that is concerned."""
        return {item.raw_sha256 for item in self.items.values() if item.raw_sha256} | self.with_copies

    @property
    def names(self) -> list[tuple[str, str]]:
        """The kind and the id of everything that must not come back, as the suppression list hashes them."""
        # A copy names the whole post, as a requested item does; items of an erased post block nothing but themselves.
        media = [("media" if one.with_copies else "item", media_id) for media_id, one in sorted(self.items.items())]
        return media + [("image", sha256) for sha256 in sorted(self.with_copies)]

    @property
    def names_digest(self) -> str:
        """A digest of the names, which tells if these were put on the suppression list."""
        return hashlib.sha256(json.dumps(self.names).encode()).hexdigest() if self.names else ""

    @property
    def changes(self) -> list[FileChanges]:
        """The changes of each dataset file."""
        erase: defaultdict[str, list[str]] = defaultdict(list)
        promote: defaultdict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
        relink: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
        for media_id, item in sorted(self.items.items()):
            for key in item.keys:
                erase[key].append(media_id)
        for owner, promotion in sorted(self.promotions.items()):
            promote[promotion.key][promotion.successor] = (owner, promotion.owner_key)
        for media_id, new in sorted(self.relinks.items()):
            relink[new.key][media_id] = new.original
        keys = sorted({*erase, *promote, *relink})
        return [FileChanges(key=key, erase=erase[key], promote=promote[key], relink=relink[key]) for key in keys]

    def united_with(self, other: Found) -> Found:
        """Add what another execution has found; the next search decides again what becomes of it."""
        return self.model_copy(
            update={
                "items": {
                    **other.items,
                    **{one: item.completed_by(other.items.get(one)) for one, item in self.items.items()},
                },
                "promotions": {**other.promotions, **self.promotions},
                "relinks": {**other.relinks, **self.relinks},
                "raw_images": other.raw_images | self.raw_images,
                "with_copies": other.with_copies | self.with_copies,
                "networks": other.networks | self.networks,
            }
        )


def changed_files(bucket: Bucket) -> set[str]:
    """Return the keys of the dataset files that unfinished erasures change or have changed.

    What another one has changed before it was killed may no longer name anything that this one can find.
    """
    keys: set[str] = set()
    for key in bucket.list(object_keys.ERASURES):
        if key.split("/")[3] == "found":
            # An erasure deletes its objects at its end.
            with suppress(ObjectMissingError):
                keys.update(change.key for change in bucket.get_model(key, Found).changes)
    return keys


def _by_key(found: Iterable[tuple[str, set[str]]]) -> dict[str, list[str]]:
    files: defaultdict[str, list[str]] = defaultdict(list)
    for media_id, keys in sorted(found):
        for key in keys:
            files[key].append(media_id)
    return dict(files)


class FoundObjects:
    """The results of the executions of one erasure; each writes an object of its own.

    So an execution erases from the media index only what its own steps have erased everywhere else.
    """

    def __init__(self, bucket: Bucket, erasure_id: str, execution_arn: str) -> None:
        self._bucket = bucket
        self._key = object_keys.erasure_found(erasure_id, execution_arn)

    def read(self) -> Found:
        """Read what this execution has found."""
        try:
            return self._bucket.get_model(self._key, Found)
        except ObjectMissingError:
            return Found()

    def read_all(self) -> Found:
        """Read what all executions have found; others were killed, or are running now."""
        all_found = self.read()
        for key in self._bucket.list(self._key.rpartition("/")[0] + "/"):
            if key != self._key:
                all_found = all_found.united_with(self._bucket.get_model(key, Found))
        return all_found

    def write(self, found: Found) -> None:
        """Keep what this execution has found."""
        self._bucket.put_json(self._key, found.model_dump(mode="json"))
