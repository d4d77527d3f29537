"""MicroBatcher: every value gets its own result, however many threads call."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from transform.micro_batcher import MicroBatcher, processors


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("max_batch", [1, 4])
def test_every_thread_gets_the_result_of_its_own_value(max_batch: int, threads: int) -> None:
    groups: list[list[int]] = []

    def work(values: list[int]) -> list[int]:
        groups.append(values)
        return [2 * value for value in values]

    with MicroBatcher(work, max_batch=max_batch, threads=threads) as micro_batcher, ThreadPoolExecutor(16) as pool:
        assert list(pool.map(micro_batcher, range(500))) == [2 * value for value in range(500)]
    assert sorted(value for group in groups for value in group) == list(range(500))
    assert all(1 <= len(group) <= max_batch for group in groups)


def test_values_that_wait_go_together_and_no_more_at_once_than_there_are_threads() -> None:
    gate, started = threading.Event(), threading.Semaphore(0)
    groups: list[list[str]] = []

    def work(values: list[str]) -> list[str]:
        groups.append(values)
        started.release()
        assert gate.wait(10)
        return values

    with MicroBatcher(work, max_batch=4, threads=1) as micro_batcher, ThreadPoolExecutor(8) as pool:
        first = pool.submit(micro_batcher, "first")
        assert started.acquire(timeout=10)
        others = [pool.submit(micro_batcher, name) for name in "abcdef"]
        while len(micro_batcher._queue) < 6:
            threading.Event().wait(0.001)
        assert groups == [["first"]]
        gate.set()
        assert [future.result(10) for future in (first, *others)] == ["first", *"abcdef"]
    assert [len(group) for group in groups] == [1, 4, 2]


def test_an_error_reaches_the_callers_of_its_batch_and_the_thread_goes_on() -> None:
    def work(values: list[int]) -> list[float]:
        return [1 / value for value in values]

    with MicroBatcher(work, max_batch=1, threads=1) as micro_batcher, ThreadPoolExecutor(3) as pool:
        good, bad, better = (pool.submit(micro_batcher, value) for value in (1, 0, 2))
        assert (good.result(10), better.result(10)) == (1, 0.5)
        with pytest.raises(ZeroDivisionError):
            bad.result(10)


def test_there_is_at_least_one_processor() -> None:
    assert processors() >= 1


def test_a_lost_result_is_an_error_for_every_value_of_its_group() -> None:
    others: list[Future[str]] = [Future(), Future()]

    def work(values: list[str]) -> list[str]:
        return values[:-1]

    with MicroBatcher(work, max_batch=3, threads=1) as micro_batcher:
        micro_batcher._queue.extend(zip("ab", others, strict=True))
        with pytest.raises(ValueError, match="zip"):
            micro_batcher("c")
    assert [type(future.exception(10)) for future in others] == [ValueError, ValueError]
