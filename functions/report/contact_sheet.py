"""Thumbnails of some of the run's images, for a person to look at."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

from PIL import Image

from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import StagedRow
from imagelake.lake.staging import Staging
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from imagelake.run.models import Batch
from report.summary import FeedSummary, Summary

_MAX_THUMBNAILS = 48
_SIDE = 160


class Thumbnail(NamedTuple):
    """The row of an image, and the small image as a ``data:`` URL."""

    row: StagedRow
    src: str


def contact_sheet(summary: Summary, bucket: Bucket) -> list[Thumbnail]:
    """Make up to 48 thumbnails, the same number for every feed that has enough; sensitive images are left out."""
    feeds = [feed for feed in summary.feeds if feed.closed]
    share = -(-_MAX_THUMBNAILS // len(feeds)) if feeds else 0
    return [thumbnail for feed in feeds for thumbnail in _of_feed(feed, share, bucket)][:_MAX_THUMBNAILS]


def _of_feed(feed: FeedSummary, limit: int, bucket: Bucket) -> list[Thumbnail]:
    thumbnails: list[Thumbnail] = []
    for batch in feed.closed:
        if len(thumbnails) >= limit:
            break
        thumbnails += _of_batch(batch, limit - len(thumbnails), bucket)
    return thumbnails


def _of_batch(batch: Batch, limit: int, bucket: Bucket) -> list[Thumbnail]:
    try:
        staging = Staging(bucket, batch)
        shown = [row for row in staging.rows() if row["image"] is not None and not row["sensitive"]][:limit]
        return [Thumbnail(row, _shrink(staging.read_image(row))) for row in shown]
    except (ObjectMissingError, DamagedObjectError):
        # Staging expires after 14 days; a report that is made again later has fewer thumbnails.
        return []


def _shrink(jpeg: bytes) -> str:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        image.thumbnail((_SIDE, _SIDE))
        thumbnail = io.BytesIO()
        image.save(thumbnail, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail.getvalue()).decode()
