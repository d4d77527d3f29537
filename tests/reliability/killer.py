"""A killer: it keeps the state that a process leaves if SIGKILL stops it before or after any of its calls of AWS.

Nothing catches that and nothing follows it: what is stored at that moment is all that is left. So the process need not
stop for it, and one that goes on tells it of every call.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.reliability.world import Stored, stored
from tests.support.private_parts import calls_of_aws

_READING = ("BatchGet", "Describe", "Get", "Head", "List", "Query", "Scan")


class Point(NamedTuple):
    """The end of the process: at the call of this number, before it is made or after it has had its effect."""

    call: int
    operation: str
    after: bool


class Killer:
    """Numbers the calls of AWS from 0 on, and keeps what is stored on one side of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._after: bool | None = None
        self._left: list[tuple[Point, Stored]] = []
        self._has_written = True
        self._lock = threading.Lock()
        client_class, method = calls_of_aws()
        make = getattr(client_class, method)
        monkeypatch.setattr(client_class, method, lambda *call: self._call(make, *call))

    def kill(self, run: Callable[[], object], *, after: bool) -> list[tuple[Point, Stored]]:
        """Every point of a run on that side of its calls, in order, with what it leaves when it ends there."""
        self._after, self._left, self._has_written = after, [], True
        try:
            run()
        finally:
            self._after = None
        return self._left

    def _call(self, make: Callable[..., Any], client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if self._after is None:
            return make(client, operation, arguments)
        assert self._lock.acquire(blocking=False), "one call after the other, so that no other one is under way"
        try:
            if not self._after:
                self._keep(operation)
            try:
                return make(client, operation, arguments)
            finally:
                self._has_written |= not operation.startswith(_READING)
                # Be it answered or refused: the caller never learns of either.
                if self._after:
                    self._keep(operation)
        finally:
            self._lock.release()

    def _keep(self, operation: str) -> None:
        last = self._left[-1][1] if self._left else None
        # To copy the lake takes longer than a call.
        state = stored(last) if last is None or self._has_written else last
        self._has_written = False
        self._left.append((Point(len(self._left), operation, self._after is True), state))
