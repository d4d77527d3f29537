"""Backlog: the bytes that wait for an earlier result are limited, and the next result always goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from transform.backlog import Backlog

Ask = Callable[[int], "Future[bool]"]


@pytest.fixture
def backlog() -> Iterator[Backlog]:
    """A backlog of at most 100 bytes."""
    backlog = Backlog(100)
    yield backlog
    backlog.close()


@pytest.fixture
def ask(backlog: Backlog) -> Iterator[Ask]:
    """Ask in a thread of its own if a result may be made."""
    with ThreadPoolExecutor(8) as pool:
        yield lambda index: pool.submit(backlog.wait, index)
        backlog.close()


def waits(asked: Future[bool]) -> bool:
    time.sleep(0.05)
    return not asked.done()


def test_any_result_may_be_made_while_few_bytes_wait(backlog: Backlog) -> None:
    backlog.add(60)
    backlog.add(39)
    assert backlog.wait(7)


def test_later_result_waits_while_too_many_bytes_wait(backlog: Backlog, ask: Ask) -> None:
    backlog.add(100)
    later = ask(1)
    assert waits(later)
    backlog.remove(1)
    assert later.result(10)


def test_next_result_goes_on_although_too_many_bytes_wait(backlog: Backlog, ask: Ask) -> None:
    backlog.add(1000)
    assert backlog.wait(0)
    later = ask(3)
    backlog.reach(2)
    assert waits(later)
    backlog.reach(3)
    assert later.result(10)


def test_result_that_was_passed_goes_on(backlog: Backlog) -> None:
    backlog.add(1000)
    backlog.reach(5)
    assert backlog.wait(4)


def test_all_who_wait_go_when_bytes_are_removed(backlog: Backlog, ask: Ask) -> None:
    backlog.add(100)
    later = [ask(index) for index in range(1, 6)]
    backlog.remove(100)
    assert [asked.result(10) for asked in later] == [True] * 5


def test_nobody_needs_a_result_when_the_backlog_is_closed(backlog: Backlog, ask: Ask) -> None:
    backlog.add(1000)
    later = [ask(index) for index in range(1, 6)]
    backlog.close()
    assert [asked.result(10) for asked in later] == [False] * 5
    assert not backlog.wait(0), "the next result is not needed either"
