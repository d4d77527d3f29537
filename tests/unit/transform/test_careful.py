"""Careful results: the same as the others, a few at a time, and no image that breaks its decoder ends them."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest

from imagelake.lake.rows import Row
from imagelake.run.errors import DownloadError, ErrorCode
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from tests.support.crashing_decoder import breaking, dying_worker
from tests.support.factories import item, jpeg, plan
from tests.support.fake_lake import Lake
from tests.support.images import encoded, photo
from tests.support.sample import full
from transform import careful
from transform.attempts import Attempts
from transform.careful import make_results_carefully
from transform.decoder import LIMITS
from transform.results import ITEMS_PER_PART, Result, make_results

IMAGE = jpeg()
Parts = list[tuple[int, list[Result]]]


@pytest.fixture(autouse=True)
def dying(monkeypatch: pytest.MonkeyPatch) -> None:
    dying_worker(monkeypatch)


@pytest.fixture
def attempts(lake: Lake) -> Attempts:
    """The second attempt at a batch, whose first one died."""
    batch = plan(item("a")).batch
    Attempts(lake.bucket, batch)
    return Attempts(lake.bucket, batch)


def planned(number: int) -> PlannedBatch:
    return plan(*(item(f"p{number:03d}") for number in range(number)))


def make(
    batch: PlannedBatch,
    attempts: Attempts,
    download: Callable[[Item], bytes] = lambda one: IMAGE,
    seconds_left: Callable[[], float] = lambda: 300.0,
) -> Parts:
    wanted = {one.media_id for one in batch.items}
    return list(make_results_carefully(batch, wanted, download, seconds_left, attempts))


def rows(parts: Parts) -> list[Row]:
    return [result.row for _, part in parts for result in part]


@pytest.mark.slow
def test_rows_are_those_of_the_fast_way(attempts: Attempts) -> None:
    bodies: list[bytes | DownloadError] = [
        jpeg("red", (900, 500)), encoded(photo(300, 200), "PNG"), encoded(photo(64, 64), "WEBP"), b"<html>",
        DownloadError(ErrorCode.NOT_FOUND, "cdn.test answered 404"), IMAGE[:200], IMAGE,
    ]  # fmt: skip
    batch = planned(4 * len(bodies)).model_copy(update={"tensor": "uint8", "image_size": 32, "max_aspect_ratio": 2.0})

    def download(one: Item) -> bytes:
        body = bodies[int(one.post_id[1:]) % len(bodies)]
        if isinstance(body, DownloadError):
            raise body
        return body

    wanted = {one.media_id for one in batch.items[1:]}
    fast = list(make_results(batch, wanted, download, lambda: 300.0))
    careful = list(make_results_carefully(batch, wanted, download, lambda: 300.0, attempts))
    assert [(number, one) for number, part in careful for one in part] == [
        (number, one) for number, part in fast for one in part
    ]


@pytest.mark.slow
def test_a_few_rows_are_decided_at_a_time(attempts: Attempts) -> None:
    made = make(planned(ITEMS_PER_PART + 7), attempts)
    assert [(number, len(part)) for number, part in made] == [*[(0, 5)] * 5, (1, 5), (1, 2)]


@pytest.mark.slow
def test_images_that_break_their_decoder_are_rejected(attempts: Attempts) -> None:
    made = rows(make(planned(9), attempts, lambda one: breaking(IMAGE, "SIGSEGV") if one.post_id == "p004" else IMAGE))
    assert [row["status"] for row in made] == [*["ok"] * 4, "rejected", *["ok"] * 4]
    assert made[4]["error_code"] == "decoder_failed"
    assert made[4]["raw_sha256"] is not None


@pytest.mark.slow
def test_image_that_took_two_workers_with_it_is_not_decoded_again(lake: Lake) -> None:
    batch = planned(2)
    for _ in range(2):
        attempts = Attempts(lake.bucket, batch.batch)
        attempts.decoding(batch.items[1].media_id, 0).__enter__()
    # Its decoder would give it another code.
    made = rows(make(batch, Attempts(lake.bucket, batch.batch), lambda one: IMAGE if one is batch.items[0] else b""))
    assert [(row["status"], row["error_code"]) for row in made] == [("ok", None), ("rejected", "decoder_failed")]
    assert made[1]["error_message"] == (
        "The decoder failed 2 times on this file; the last time, it took its worker with it."
    )


@pytest.mark.slow
def test_workers_that_decode_the_same_image_at_once_do_not_blame_it(lake: Lake) -> None:
    batch = planned(1)
    for _ in range(3):
        Attempts(lake.bucket, batch.batch).decoding(batch.items[0].media_id, careful._SECONDS_PER_IMAGE).__enter__()
    (row,) = rows(make(batch, Attempts(lake.bucket, batch.batch)))
    assert row["status"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("endless", [2, full(3)])
def test_many_endless_images_cost_their_time_once(attempts: Attempts, endless: int) -> None:
    """Real images take at most 1 s of CPU time; each endless one took 40 s, twice 20."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    made = rows(
        make(planned(3 + endless), attempts, lambda one: breaking(IMAGE, "loop") if one.post_id > "p002" else IMAGE)
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert [row["error_code"] for row in made] == [*[None] * 3, *["decoder_failed"] * endless]
    assert made[3]["error_message"] == (
        f"The decoder failed on this file: it took more than {LIMITS.cpu_seconds} seconds of CPU time."
    )
    # The process of these tests has a limit of one second of CPU time, and its start takes less than another one.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < endless * 2 + 3


@pytest.mark.slow
def test_items_without_enough_time_are_left_out(attempts: Attempts) -> None:
    def seconds() -> Iterator[float]:
        yield from [300.0] * 20
        while True:
            yield 60.0

    clock = seconds()
    made = rows(make(planned(40), attempts, seconds_left=lambda: next(clock)))
    assert 0 < len(made) < 20


def test_download_that_fails_in_an_unknown_way_ends_the_results(attempts: Attempts) -> None:
    def download(one: Item) -> bytes:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        make(planned(2), attempts, download)
