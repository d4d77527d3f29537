"""Two workers that take turns, call of AWS by call of AWS, so that a test chooses how they meet.

Each worker is a thread, and only one of them goes on at any time. Each has its own cache of the hash log, as two
processes have.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from erase_images.erasing import Erasing
from imagelake.lake.bucket import Bucket
from imagelake.lake.hash_log import HashLog
from imagelake.lake.hash_log_cache import HashLogCache
from imagelake.lake.hash_log_snapshot import HashLogSnapshot
from imagelake.run.errors import StorageUnavailableError
from tests.support.private_parts import calls_of_aws

# Far above the time of a test: a worker that waits longer waits for ever.
_SECONDS = 60


class Turns:
    """Makes the calls of two workers in a chosen order; ``operations`` are those of the last run, by worker."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.operations: list[list[str]] = []
        self._current: int | None = None
        self._turns: Iterator[int] = iter(())
        self._left: int | None = None
        self._done = [False, False]
        self._go = [threading.Event(), threading.Event()]
        self._caches: list[dict[str, HashLogCache]] = []
        client_class, method = calls_of_aws()
        make = getattr(client_class, method)
        monkeypatch.setattr(client_class, method, lambda *call: self._call(make, *call))
        monkeypatch.setattr("transform.batch.hash_log_cache", self._cache)
        # Before Python 3.12, this has one lock for all workers of a process; real workers are processes.
        monkeypatch.setattr(vars(Erasing)["_kept"], "lock", nullcontext(), raising=False)

    def take(self, workers: Sequence[Callable[[], object]], turns: Sequence[int]) -> None:
        """Run both workers to their ends.

        ``turns`` are numbers of calls: the first worker makes the first number of them, the second one the next
        number, and so on. After the last turn, one worker after the other runs to its end.
        """
        self.operations, self._caches = [[], []], [{}, {}]
        self._turns, self._done = iter(turns), [False, False]
        errors: list[BaseException] = []

        def work(number: int) -> None:
            self._wait(number)
            try:
                self._work(number, workers[number])
            except BaseException as error:
                errors.append(error)
            self._done[number] = True
            self._next(1 - number)

        threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
        for thread in threads:
            thread.start()
        self._next(0)
        for thread in threads:
            thread.join(_SECONDS)
        self._current = None
        for error in errors:
            raise error

    def _work(self, number: int, worker: Callable[[], object]) -> None:
        """Let a worker do its work; if it has to wait for the other one, do it again when that one has ended."""
        try:
            worker()
        except StorageUnavailableError:
            self._let_other_end(number)
            worker()

    def wait_for_other(self) -> None:
        """Let the other worker go to its end; the worker that calls this goes on after it."""
        assert self._current is not None
        self._let_other_end(self._current)

    def _let_other_end(self, number: int) -> None:
        if not self._done[1 - number]:
            self._turns = iter(())
            self._next(1 - number)
            self._wait(number)

    def _next(self, number: int) -> None:
        """Let a worker go on, for the next number of calls."""
        if not self._done[number]:
            self._current, self._left = number, next(self._turns, None)
            self._go[number].set()

    def _wait(self, number: int) -> None:
        assert self._go[number].wait(_SECONDS), "the other worker has not come back"
        self._go[number].clear()

    def _call(self, make: Callable[..., Any], client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        number = self._current
        try:
            return make(client, operation, arguments)
        finally:
            if number is not None:
                self.operations[number].append(operation)
                self._count(number)

    def _count(self, number: int) -> None:
        """Count one call, and let the other worker go on if it was the last of this turn."""
        if self._left is not None:
            self._left -= 1
            if not self._left and not self._done[1 - number]:
                self._next(1 - number)
                self._wait(number)

    def _cache(self, table: str, bucket: str) -> HashLogCache:
        caches = {} if self._current is None else self._caches[self._current]
        return caches.setdefault(table, HashLogCache(HashLog(table), HashLogSnapshot(Bucket(bucket))))
