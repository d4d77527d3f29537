"""Some of the run's images, for a person to look at."""

from __future__ import annotations

import base64
import io
from typing import NamedTuple

from PIL import Image

from imagelake.lake.bucket import Bucket
from imagelake.lake.parts import StagedRow
from imagelake.lake.rows import Status
from imagelake.lake.staging import Staging
from imagelake.run.errors import DamagedObjectError, ObjectMissingError
from imagelake.run.models import Batch
from report.shares import fair_shares
from report.summary import FeedSummary, Summary

_MAX_IMAGES = 48
# A page with 48 images stays at a few megabytes.
_MAX_SIDE = 512


class ShownImage(NamedTuple):
    """The row of an image, and the image as a ``data:`` URL, at most 512 pixels wide and high."""

    row: StagedRow
    src: str


def contact_sheet(summary: Summary, bucket: Bucket) -> list[ShownImage]:
    """Read up to 48 images, the same number for every feed that has enough; sensitive images are left out."""
    shares = fair_shares([feed.counts.get(Status.OK, 0) for feed in summary.feeds], _MAX_IMAGES)
    feeds = zip(summary.feeds, shares, strict=True)
    return [image for feed, share in feeds for image in _of_feed(feed, share, bucket)]


def _of_feed(feed: FeedSummary, limit: int, bucket: Bucket) -> list[ShownImage]:
    images: list[ShownImage] = []
    for batch in feed.closed:
        if len(images) >= limit:
            break
        images += _of_batch(batch, limit - len(images), bucket)
    return images


def _of_batch(batch: Batch, limit: int, bucket: Bucket) -> list[ShownImage]:
    try:
        staging = Staging(bucket, batch)
        shown = [row for row in staging.rows() if row["image"] is not None and not row["sensitive"]][:limit]
        return [ShownImage(row, _src(staging.read_image(row))) for row in shown]
    except (ObjectMissingError, DamagedObjectError):
        # Staging expires after 14 days; a report that is made again later has fewer images.
        return []


def _src(jpeg: bytes) -> str:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        if max(image.size) > _MAX_SIDE:
            image.thumbnail((_MAX_SIDE, _MAX_SIDE))
            smaller = io.BytesIO()
            image.save(smaller, "JPEG", quality=80)
            jpeg = smaller.getvalue()
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
