"""The results of planned items: many downloads at once, but one image at a time per processor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import NamedTuple, cast

from imagelake.imaging import Options, ProcessedImage, process_all
from imagelake.imaging.features import Features
from imagelake.imaging.versions import library_versions
from imagelake.lake import object_keys
from imagelake.lake.rows import TRANSFORM_VERSION, Row, Status, image_file, new_row
from imagelake.run.aws import THREADS
from imagelake.run.errors import DownloadError, ImageRejectedError
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from transform.backlog import Backlog
from transform.micro_batcher import MicroBatcher, processors

# A worker that dies loses at most the downloads of the parts that it is working on.
ITEMS_PER_PART = 25
# The longest time that one item can take: the wait for its host, the download and the decoding, and if its URL has
# expired, a new URL and a second download. No item is started with less time left.
SECONDS_PER_ITEM = 150

# A thread takes several images, but decodes one after the other. So with two processors, the memory holds at most
# the backlog, THREADS downloads of 25 MB and two images of 400 MB: 1.4 GB of Transform's 3.5 GB.
_IMAGES_AT_A_TIME = 4
_BACKLOG_BYTES = 200_000_000
_MEASURED = ("content_type", "original_width", "original_height", *(field.name for field in fields(Features)))

Process = Callable[[bytes], ProcessedImage | ImageRejectedError]


class Result(NamedTuple):
    """The row of an item, and the bytes that were downloaded, if any; the row of an accepted image is ``ok``."""

    row: Row
    raw: bytes | None

    @property
    def size(self) -> int:
        """Number of bytes in memory."""
        image, tensor = self.row["image"], self.row["tensor"]
        return sum(map(len, (self.raw or b"", tensor or b"", image["bytes"] if image else b"")))


def made_with() -> dict[str, str]:
    """Return the versions of all that makes a row of an image: with the same ones, it is the same row."""
    return {"transform_version": str(TRANSFORM_VERSION), **library_versions()}


def make_results(
    plan: PlannedBatch, media_ids: set[str], download: Callable[[Item], bytes], seconds_left: Callable[[], float]
) -> Generator[tuple[int, list[Result]]]:
    """Make the results of these items, part by part, each with its number; leave out items without enough time.

    ``download`` returns the bytes of an image or raises ``DownloadError``.
    """
    options = Options(**plan.imaging_arguments)
    backlog = Backlog(_BACKLOG_BYTES)
    items = numbered_items(plan, media_ids)

    def process(files: list[bytes]) -> list[ProcessedImage | ImageRejectedError]:
        return process_all(files, options)

    def make(index: int) -> Result | None:
        if not backlog.wait(index) or seconds_left() < SECONDS_PER_ITEM:
            return None
        result = make_result(items[index][1], plan, download, micro_batcher)
        backlog.add(result.size)
        return result

    with (
        MicroBatcher(process, max_batch=_IMAGES_AT_A_TIME, threads=processors()) as micro_batcher,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        try:
            part: list[Result] = []
            for index, result in enumerate(pool.map(make, range(len(items)))):
                if result is not None:
                    part.append(result)
                backlog.reach(index + 1)
                number = items[index][0]
                if part and (index + 1 == len(items) or items[index + 1][0] != number):
                    yield number, part
                    backlog.remove(sum(result.size for result in part))
                    part = []
        finally:
            backlog.close()


def numbered_items(plan: PlannedBatch, media_ids: set[str]) -> list[tuple[int, Item]]:
    """Return these items in the order of the plan, each with the number of its part, which depends on the plan only."""
    numbered = ((position // ITEMS_PER_PART, item) for position, item in zip(plan.positions, plan.items, strict=True))
    return [(number, item) for number, item in numbered if item.media_id in media_ids]


def make_result(item: Item, plan: PlannedBatch, download: Callable[[Item], bytes], process: Process) -> Result:
    """Download an image and process it; a failure of either is a row as well."""
    row = new_row(item, run_id=plan.run_id, dt=plan.batch.dt, image_options=plan.image_options_json)
    try:
        raw = download(item)
    except DownloadError as error:
        row |= {"status": Status.FAILED, "error_code": error.code, "error_message": str(error)}
        return Result(row, None)

    sha256 = hashlib.sha256(raw).hexdigest()
    row |= {"raw_key": object_keys.raw_image(sha256), "raw_sha256": sha256, "raw_bytes": len(raw)}
    image = process(raw)
    if isinstance(image, ImageRejectedError):
        row |= {"status": Status.REJECTED, "error_code": image.code, "error_message": str(image)}
        return Result(row, raw)

    row = cast(Row, {**row, **{name: getattr(image, name) for name in _MEASURED}})
    row |= {
        "status": Status.OK,
        "width": image.width,
        "height": image.height,
        "image": image_file(item.media_id, image.image),
        "tensor": image.tensor,
    }
    return Result(row, raw)
