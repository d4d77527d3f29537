"""A few of the run's pictures, small, for the eye to check."""

from __future__ import annotations

import base64
import io
from typing import Any, NamedTuple

from PIL import Image

from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.run.errors import ObjectMissingError
from imagelake.run.models import Batch
from report.summary import Summary

_PICTURES = 48
_SIDE = 160


class Thumbnail(NamedTuple):
    """A picture's row and its thumbnail as a ``data:`` address."""

    row: dict[str, Any]
    src: str


def contact_sheet(summary: Summary, bucket: Bucket) -> list[Thumbnail]:
    """Up to 48 thumbnails, none of them marked sensitive; the same number from every feed as far as it has them."""
    feeds = [feed for feed in summary.feeds if feed.closed]
    share = -(-_PICTURES // len(feeds)) if feeds else 0
    thumbnails: list[Thumbnail] = []
    for feed in feeds:
        taken = 0
        for batch in (Batch.model_validate(entry) for entry in feed.closed):
            if taken >= share:
                break
            some = _batch_thumbnails(batch, share - taken, bucket)
            thumbnails += some
            taken += len(some)
    return thumbnails[:_PICTURES]


def _batch_thumbnails(batch: Batch, most: int, bucket: Bucket) -> list[Thumbnail]:
    try:
        rows = bucket.get_lines(object_keys.rows(batch))
        shown = [row for row in rows if row["image"] is not None and not row["sensitive"]][:most]
        return [Thumbnail(row, _shrink(_picture(batch, row["image"], bucket))) for row in shown]
    except ObjectMissingError:
        # Staging expires; a report made again later has fewer pictures.
        return []


def _picture(batch: Batch, place: dict[str, Any], bucket: Bucket) -> bytes:
    return bucket.get_range(object_keys.images(batch), place["offset"], place["length"])


def _shrink(jpeg: bytes) -> str:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        picture.thumbnail((_SIDE, _SIDE))
        small = io.BytesIO()
        picture.save(small, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(small.getvalue()).decode()
