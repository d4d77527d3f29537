"""The receipt of an erasure: what was requested, what was erased where, what remains until when. It names nobody."""

from __future__ import annotations

import json
import platform
from collections import Counter
from datetime import datetime
from importlib.metadata import version
from itertools import count

from pydantic import AwareDatetime

from imagelake import __version__
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.erased_objects import ErasedObject, ErasedObjects, Place
from imagelake.lake.suppression import hash_of
from imagelake.run.erasure_models import Erasure, ErasureReason, ErasureRequest, FileChanges
from imagelake.run.frozen_model import FrozenModel
from write_receipt.page import render
from write_receipt.remains import Remaining, remaining
from write_receipt.settings import WriteReceiptSettings

# Keys and bodies of these objects confirm no guess about a person. All others are hashed, such as a feed's definition.
_PLAIN_PLACES = frozenset({Place.DATASET_FILES})
# The notes of these places have media ids; those of other places have posts or lines.
_MEDIA_PLACES = frozenset(
    {Place.DATASET_FILES, Place.RAW_IMAGES, Place.OPEN_BATCHES, Place.STAGED_BATCHES, Place.PARTS, Place.MEDIA_INDEX}
)


class Requested(FrozenModel):
    """One thing that the request names: its kind, and its keyed hash, as in the suppression list."""

    kind: str
    hash: str


class PlaceCounts(FrozenModel):
    """The numbers of objects or table items that were changed in a place, of their entries that were erased, and of
    the versions that were deleted. Most of these name nobody who is erased, except in dataset files and raw images.
    """

    place: Place
    changed: int
    erased: int
    versions: int


class ReceiptObject(FrozenModel):
    """One changed object: its key and its SHA-256 before and after; all three are keyed hashes if a guess could
    confirm whose object it is.
    """

    place: Place
    key: str
    erased: int
    sha256_before: str | None
    sha256_after: str | None


class Receipt(FrozenModel):
    """The receipt as it is stored."""

    erasure_id: str
    reason: ErasureReason
    reference: str
    requested: list[Requested]
    started_at: AwareDatetime
    finished_at: AwareDatetime
    execution: str
    # Media items of which something was erased.
    items: int
    # Items whose image another post shows, so that the image stays in that post's row.
    images_kept: int
    places: list[PlaceCounts]
    objects: list[ReceiptObject]
    remains: list[Remaining]
    # The number of items, open batches and raw images that the last search still found.
    left_after_verification: int
    software: dict[str, str]


def make_receipt(
    erasure: Erasure, left: int, bucket: Bucket, key: bytes, settings: WriteReceiptSettings, now: datetime
) -> Receipt:
    """Make the receipt from the request and from the notes of the erasure; ``left`` is what its last search found."""
    request = bucket.get_model(object_keys.erasure_request(erasure.erasure_id), ErasureRequest)
    notes = sorted(ErasedObjects(bucket, erasure.erasure_id).notes(), key=lambda note: (note.place, note.key))
    return Receipt(
        erasure_id=erasure.erasure_id,
        reason=erasure.reason,
        reference=erasure.reference,
        requested=[Requested(kind=name[0], hash=hash_of(key, *name)) for name in request.erase.names],
        started_at=erasure.started_at,
        finished_at=now,
        execution=erasure.execution_arn,
        items=len({item for note in notes if note.place in _MEDIA_PLACES for item in note.items}),
        images_kept=len(_promoted(bucket, erasure)),
        places=_places(notes),
        objects=[_object(note, key) for note in notes if not note.is_folder],
        remains=remaining(now, settings),
        left_after_verification=left,
        software={
            "imagelake": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("boto3", "aws-lambda-powertools")},
        },
    )


def store(bucket: Bucket, receipt: Receipt) -> tuple[str, Receipt]:
    """Store a receipt and its page, and return its key; an earlier receipt of the same work is returned instead.

    An erasure that is repeated after its end finds nothing, or something new, which has a receipt of its own.
    """
    for number in count(1):
        key = object_keys.receipt(receipt.erasure_id, number)
        body = json.dumps(receipt.model_dump(mode="json"), indent=2).encode()
        if not bucket.put_if_unchanged(key, body, "application/json", None):
            earlier = bucket.get_model(key, Receipt)
            if any(one not in earlier.objects for one in receipt.objects):
                continue
            receipt = earlier
        page = render(receipt.model_dump(mode="json")).encode()
        bucket.put_if_unchanged(object_keys.receipt_page(key), page, "text/html", None)
        return key, receipt
    raise AssertionError("the numbers of receipts do not end")


def _promoted(bucket: Bucket, erasure: Erasure) -> set[str]:
    """Return the duplicates that got the images of erased items."""
    keys = bucket.list(object_keys.erasure_files(erasure.erasure_id))
    return {media_id for key in keys for media_id in bucket.get_model(key, FileChanges).promote}


def _places(notes: list[ErasedObject]) -> list[PlaceCounts]:
    changed = Counter(note.place for note in notes if not note.is_folder)
    return [
        PlaceCounts(
            place=place,
            changed=changed[place],
            erased=sum(len(note.items) for note in notes if note.place == place),
            versions=sum(len(note.versions) for note in notes if note.place == place),
        )
        for place in Place
    ]


def _object(note: ErasedObject, key: bytes) -> ReceiptObject:
    is_plain = note.place in _PLAIN_PLACES

    def keyed(kind: str, text: str | None) -> str | None:
        return text if is_plain or text is None else hash_of(key, kind, text)

    return ReceiptObject(
        place=note.place,
        key=keyed("key", note.key) or "",
        erased=len(note.items),
        sha256_before=keyed("object", note.sha256_before),
        sha256_after=keyed("object", note.sha256_after),
    )
