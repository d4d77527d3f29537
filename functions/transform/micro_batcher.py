"""Collect values from many threads, and process several of them at a time in a few worker threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MicroBatcher(Generic[T, R]):
    """A function that many threads call, each with one value; a call waits for the result of its value.

    ``work`` turns a list of values into a list of results. Worker threads call it with up to ``max_batch`` of the
    values that are waiting. One worker per processor is enough for work that only computes: more workers are not
    faster and need more memory. Several values in one call are faster than one, because the code and the tables of
    each stage of the work stay in the processor's caches.
    """

    def __init__(self, work: Callable[[list[T]], list[R]], *, max_batch: int, threads: int) -> None:
        self._work = work
        self._max_batch = max_batch
        self._queue: deque[tuple[T, Future[R]]] = deque()
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> MicroBatcher[T, R]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()

    def __call__(self, value: T) -> R:
        """Return the result of ``work`` for this value; an error is raised in every call of the batch."""
        result: Future[R] = Future()
        self._queue.append((value, result))
        # Submit one task per value, so that no value stays in the queue. An earlier task may take this value into its
        # batch; then the new task finds fewer values, or none.
        self._pool.submit(self._drain)
        return result.result()

    def _drain(self) -> None:
        """Take a batch of values from the queue and process it; do nothing if the queue is empty."""
        batch: list[tuple[T, Future[R]]] = []
        with suppress(IndexError):
            while len(batch) < self._max_batch:
                batch.append(self._queue.popleft())
        if not batch:
            return
        try:
            results = self._work([value for value, _ in batch])
            pairs = list(zip(batch, results, strict=True))
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in pairs:
                future.set_result(result)
