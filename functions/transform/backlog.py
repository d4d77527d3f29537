"""The backlog: results that wait for an earlier one, because rows are decided in the order of the plan."""

from __future__ import annotations

import threading


class Backlog:
    """Limits the bytes that wait. While they are too many, only the next result may be made; indexes count from 0."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        self._bytes = 0
        self._next = 0
        self._is_closed = False

    def wait(self, index: int) -> bool:
        """Wait until this result may be made; return ``False`` if nobody needs it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._bytes < self._max_bytes or index <= self._next or self._is_closed)
            return not self._is_closed

    def add(self, size: int) -> None:
        """Count a result that was made."""
        with self._changed:
            self._bytes += size

    def remove(self, size: int) -> None:
        """Take out bytes of results that were decided."""
        with self._changed:
            self._bytes -= size
            self._changed.notify_all()

    def reach(self, index: int) -> None:
        """Say which result is the next one."""
        with self._changed:
            self._next = index
            self._changed.notify_all()

    def close(self) -> None:
        """Let all who wait go, because no more results are needed."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
