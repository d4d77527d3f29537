"""Stops the process before or after any call of AWS, like SIGKILL does: nothing catches it, nothing follows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from botocore.client import BaseClient

_make_api_call = BaseClient._make_api_call


class KilledError(BaseException):
    """The process is gone. Not an ``Exception``, so that no code takes it for a failure it can handle."""


class Point(NamedTuple):
    """Where the process ends: at the call of this number, before it is made or once it has had its effect."""

    call: int
    after: bool


class Killer:
    """Counts the calls of AWS and kills at ``point``; while dead, every further call of the process is refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self._point: Point | None = None
        self._dead = False
        self._watching = False
        self._lock = threading.Lock()
        killer = self

        def call(client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
            return killer._call(client, operation, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", call)

    @contextmanager
    def watch(self, point: Point | None = None) -> Iterator[None]:
        """Number the calls made within from 0 on, and kill at ``point``; afterwards the process lives again."""
        self.calls, self._point, self._watching = [], point, True
        try:
            yield
        finally:
            self._point, self._dead, self._watching = None, False, False

    def _call(self, client: BaseClient, operation: str, arguments: dict[str, Any]) -> Any:
        with self._lock:
            if self._dead:
                raise KilledError
            number = len(self.calls)
            if self._watching:
                self.calls.append(operation)
            if self._point == Point(number, after=False):
                self._dead = True
                raise KilledError
        try:
            return _make_api_call(client, operation, arguments)
        finally:
            if self._point == Point(number, after=True):
                self._dead = True
                # In place of the answer, be it an error: the caller never learns of either.
                raise KilledError
