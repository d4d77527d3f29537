"""Posts of a history, and the comparison of its states with what is truly known."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from imagelake.run.errors import SourceUnavailableError
from tests.support.histories import BEGIN, History, index

OUTAGE: dict[int, Exception] = {0: SourceUnavailableError("madeup.example did not answer")}


def every(minutes: int, days: float = 14, first: datetime = BEGIN) -> list[datetime]:
    """The times of posts, one each so many minutes, each at an odd second."""
    number = int(days * 1440 / minutes)
    return [first + timedelta(minutes=minutes * n, seconds=17 * n % 60) for n in range(number)]


def just_after(posts: list[datetime], start: datetime, kept: int) -> datetime:
    """The first second that a run has read if it kept so many of the newest posts."""
    newest = sorted(time for time in posts if time <= start)[-kept:]
    return newest[0].replace(microsecond=0) + timedelta(seconds=1)


def check(history: History, *, may_be_unread: bool = False) -> None:
    """Compare the states of all seconds with what is truly known."""
    states = history.states()
    covered = np.sum([one.astype(np.int8) for one in states.values()], axis=0)
    assert (covered == history.time).all(), "every second of the feed's time is in exactly one state"
    unread = states["gap"] | states["failed"]
    truly_unread = history.time & ~history.known
    assert not (truly_unread & ~unread).any(), "a gap is missed"
    assert may_be_unread or not (unread & ~truly_unread).any(), "a gap is invented"
    posts = history.network.posts
    missing = [time for number, time in enumerate(posts) if number not in history.read_posts]
    assert all(unread[index(time)] for time in missing if history.time[min(index(time), len(unread) - 1)])
