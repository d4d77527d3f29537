"""Make the rows of planned items: many downloads at once, but one image at a time per processor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import cast

from imagelake.imaging import Options, ProcessedImage, process_all
from imagelake.imaging.features import Features
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Row, Status, image_file, new_row
from imagelake.run.aws import THREADS
from imagelake.run.errors import DownloadError, ImageRejectedError
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from transform.micro_batcher import MicroBatcher, processors

# The longest time that one item can take: the wait for its host, the download and the decoding, and if its URL has
# expired, a new URL and a second download. No item is started with less time left.
SECONDS_PER_ITEM = 150

# A thread takes several images, but decodes one after the other. So with two processors, the memory holds at
# most THREADS downloads of 25 MB and two images of 40 million pixels at 20 bytes: 2.0 GB of Transform's 3.5 GB.
_IMAGES_AT_A_TIME = 4
_MEASURED = ("content_type", "original_width", "original_height", *(field.name for field in fields(Features)))


def make_rows(
    plan: PlannedBatch,
    media_ids: set[str],
    download: Callable[[Item], bytes],
    bucket: Bucket,
    seconds_left: Callable[[], float],
) -> Iterator[Row]:
    """Make the rows of these items in the order of the plan; leave out items for which the time is too short.

    ``download`` returns the bytes of an image or raises ``DownloadError``.
    """
    options = Options(preset=plan.preset, tensor=plan.tensor)

    def process(files: list[bytes]) -> list[ProcessedImage | ImageRejectedError]:
        return process_all(files, options)

    def make(item: Item) -> Row | None:
        return None if seconds_left() < SECONDS_PER_ITEM else _make_row(item, plan, download, bucket, micro_batcher)

    with (
        MicroBatcher(process, max_batch=_IMAGES_AT_A_TIME, threads=processors()) as micro_batcher,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        rows = pool.map(make, [item for item in plan.items if item.media_id in media_ids])
        yield from (row for row in rows if row is not None)


def _make_row(
    item: Item,
    plan: PlannedBatch,
    download: Callable[[Item], bytes],
    bucket: Bucket,
    process: Callable[[bytes], ProcessedImage | ImageRejectedError],
) -> Row:
    row = new_row(item, run_id=plan.run_id, dt=plan.batch.dt)
    try:
        body = download(item)
    except DownloadError as error:
        return row | {"status": Status.FAILED, "error_code": error.code, "error_message": str(error)}

    sha256 = hashlib.sha256(body).hexdigest()
    raw_key = object_keys.raw_image(sha256)
    row |= {"raw_key": raw_key, "raw_sha256": sha256, "raw_bytes": len(body)}
    owner = bucket.put_once(raw_key, body, item.media_id)
    image = process(body)
    if isinstance(image, ImageRejectedError):
        return row | {"status": Status.REJECTED, "error_code": image.code, "error_message": str(image)}

    row = cast(Row, {**row, **{name: getattr(image, name) for name in _MEASURED}})
    if owner != item.media_id:
        return row | {"status": Status.DUPLICATE, "duplicate_of": owner, "duplicate_distance": 0}
    return row | {
        "status": Status.OK,
        "width": image.width,
        "height": image.height,
        "image": image_file(item.media_id, image.image),
        "tensor": image.tensor,
    }
