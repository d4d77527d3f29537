"""The careful way to make results, for a batch whose worker has died: one image at a time, in a process of its own.

The rows are the same as those of `transform.results`, but it takes longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

from imagelake.imaging import ProcessedImage
from imagelake.run.errors import ImageRejectedError
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from transform.attempts import Attempts
from transform.decoder import LIMITS, MAX_FAILURES, Decoder, Limits, rejection
from transform.results import SECONDS_PER_ITEM, Result, make_result, numbered_items

# Rows that are decided at a time. If the worker dies, the downloads of these and of those ahead are lost.
_ITEMS_PER_STEP = 5
# Downloads and the results of one step are at most 450 MB, and the decoder 1 GB, of Transform's 3.5 GB.
_DOWNLOADS_AHEAD = 8
# No image is decoded with less time left: it takes its time twice, and its row must be stored after that.
_SECONDS_PER_IMAGE = 2 * LIMITS.seconds + 20


def make_results_carefully(
    plan: PlannedBatch,
    media_ids: set[str],
    download: Callable[[Item], bytes],
    seconds_left: Callable[[], float],
    attempts: Attempts,
    limits: Limits = LIMITS,
) -> Generator[tuple[int, list[Result]]]:
    """Make the results of these items, a few at a time, each time with the number of their part.

    Leaves out items without enough time. ``download`` returns the bytes of an image or raises ``DownloadError``.
    """
    items = numbered_items(plan, media_ids)
    step: list[Result] = []
    step_number = 0
    with Decoder(plan, limits) as decoder, ThreadPoolExecutor(_DOWNLOADS_AHEAD) as pool:
        for number, item, downloaded in _download_ahead(pool, items, download, seconds_left):
            if step and (number != step_number or len(step) == _ITEMS_PER_STEP):
                yield step_number, step
                step = []
            wait([downloaded])
            if seconds_left() < _SECONDS_PER_IMAGE:
                break
            step_number = number
            step.append(_make_result(item, plan, downloaded, decoder, attempts))
        if step:
            yield step_number, step


def _download_ahead(
    pool: ThreadPoolExecutor,
    items: list[tuple[int, Item]],
    download: Callable[[Item], bytes],
    seconds_left: Callable[[], float],
) -> Iterator[tuple[int, Item, Future[bytes]]]:
    """Yield each item with the number of its part and its download, which has begun some items earlier."""
    ahead: deque[tuple[int, Item, Future[bytes]]] = deque()
    for number, item in items:
        if seconds_left() < SECONDS_PER_ITEM:
            break
        ahead.append((number, item, pool.submit(download, item)))
        if len(ahead) == _DOWNLOADS_AHEAD:
            yield ahead.popleft()
    while ahead:
        yield ahead.popleft()


def _make_result(
    item: Item, plan: PlannedBatch, downloaded: Future[bytes], decoder: Decoder, attempts: Attempts
) -> Result:
    def process(data: bytes) -> ProcessedImage | ImageRejectedError:
        deaths = attempts.deaths[item.media_id]
        if deaths >= MAX_FAILURES:
            return rejection(deaths, "took its worker with it")
        with attempts.decoding(item.media_id, _SECONDS_PER_IMAGE):
            return decoder.decode(data, failures=deaths)

    return make_result(item, plan, lambda _: downloaded.result(), process)
