"""From planned items to rows: many downloads at once, as many pictures in the works as there are processors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from imagelake.imaging import Options, ProcessedImage, process_all
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Status, new_row
from imagelake.lake.staging import Result
from imagelake.run.aws import THREADS
from imagelake.run.errors import DownloadError, ImageRejectedError
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from transform.micro_batcher import MicroBatcher, processors

# What one picture may still take once begun: its turn at its host, its download, its decoding, and if its address has
# lapsed, a fresh one and the download from there. Below it none is begun.
SECONDS_AN_ITEM = 150

_FEATURES = (
    "mean_rgb", "brightness", "contrast", "sharpness", "entropy", "colorfulness", "dominant_colors",
    "thumbhash", "phash", "dhash",
    "is_dark", "is_light", "is_blurry", "is_low_information", "is_odd_aspect_ratio", "is_odd_size", "is_grayscale",
)  # fmt: skip
# In flight are at most THREADS bodies of 25 MB and a slot's 40 million pixels at some 20 bytes: 2.0 GB of Transform's
# 3.5 with two processors. Of the files that a slot takes at a time, one is decoded at a time.
_FILES_AT_A_TIME = 4


def make_rows(
    plan: PlannedBatch,
    wanted: set[str],
    download: Callable[[Item], bytes],
    bucket: Bucket,
    seconds_left: Callable[[], float],
) -> Iterator[Result]:
    """A result for each wanted item, in the plan's order, but for those that there is no time left to begin.

    ``download`` gives a picture's bytes or raises ``DownloadError``.
    """
    options = Options(preset=plan.preset, tensor=plan.tensor)

    def process(files: list[bytes]) -> list[ProcessedImage | ImageRejectedError]:
        return process_all(files, options)

    def make(item: Item) -> Result | None:
        return None if seconds_left() < SECONDS_AN_ITEM else _make_row(item, plan, download, bucket, micro_batcher)

    with (
        MicroBatcher(process, most=_FILES_AT_A_TIME, threads=processors()) as micro_batcher,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        made = pool.map(make, [item for item in plan.items if item.media_id in wanted])
        yield from (result for result in made if result is not None)


def _make_row(
    item: Item,
    plan: PlannedBatch,
    download: Callable[[Item], bytes],
    bucket: Bucket,
    process: Callable[[bytes], ProcessedImage | ImageRejectedError],
) -> Result:
    row = new_row(item, run_id=plan.run_id, dt=plan.batch.dt)
    try:
        body = download(item)
    except DownloadError as error:
        return Result(row | {"status": Status.FAILED, "error_code": error.code, "error_message": str(error)}, None)

    sha256 = hashlib.sha256(body).hexdigest()
    row |= {"raw_key": object_keys.raw_image(sha256), "raw_sha256": sha256, "raw_bytes": len(body)}
    owner = bucket.put_once(row["raw_key"], body, item.media_id)
    image = process(body)
    if isinstance(image, ImageRejectedError):
        return Result(row | {"status": Status.REJECTED, "error_code": image.code, "error_message": str(image)}, None)

    row |= _measured(image)
    if owner != item.media_id:
        return Result(row | {"status": Status.DUPLICATE, "duplicate_of": owner, "duplicate_distance": 0}, None)
    return Result(row | {"status": Status.OK, "width": image.width, "height": image.height}, image.image, image.tensor)


def _measured(image: ProcessedImage) -> dict[str, Any]:
    return {name: getattr(image, name) for name in ("content_type", "original_width", "original_height", *_FEATURES)}
