"""As many threads for the work of the processors as there are processors."""

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
    """How many of the machine's processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MicroBatcher(Generic[T, R]):
    """Works for many threads, each of which waits for the result of one value.

    ``work`` makes a list of results from a list of values: up to ``most`` of those that wait at a time. It runs in
    ``threads`` threads of its own. More of them would make work that is bound to the processors no faster and only
    hold more memory, and a thread that does nothing else finds its memory and code in the processor's caches.
    """

    def __init__(self, work: Callable[[list[T]], list[R]], *, most: int, threads: int) -> None:
        self._work = work
        self._most = most
        self._waiting: deque[tuple[T, Future[R]]] = deque()
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> MicroBatcher[T, R]:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()

    def __call__(self, value: T) -> R:
        """What ``work`` makes of ``value``; if it raises, so does this for each of the values it was given."""
        result: Future[R] = Future()
        self._waiting.append((value, result))
        # A turn for every value, so that none is left; one whose values went with earlier turns finds nothing to do.
        self._pool.submit(self._turn)
        return result.result()

    def _turn(self) -> None:
        group: list[tuple[T, Future[R]]] = []
        with suppress(IndexError):
            while len(group) < self._most:
                group.append(self._waiting.popleft())
        try:
            made = list(zip(group, self._work([value for value, _ in group]) if group else [], strict=True))
        except Exception as error:
            for _, result in group:
                result.set_exception(error)
        else:
            for (_, result), one in made:
                result.set_result(one)
