"""Retries: call again after a failure that may not last."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Result = TypeVar("Result")
Failure = TypeVar("Failure", bound=Exception)


def retry(
    attempt: Callable[[], Result],
    *,
    tries: int,
    on: type[Failure],
    pause: Callable[[Failure, int], float | None],
) -> Result:
    """Call ``attempt`` at most ``tries`` times; return its first result or raise its last error.

    ``pause`` gets an error of the class ``on`` and the number of failed tries. It returns the seconds to wait, or
    ``None`` to give up.
    """
    for failed in range(1, tries):
        try:
            return attempt()
        except on as error:
            seconds = pause(error, failed)
            if seconds is None:
                raise
        time.sleep(seconds)
    return attempt()


def attempts(tries: int, *, max_pause: float = 0.0) -> Iterator[int]:
    """Count the tries of a loop from 0; before each further try, wait for a random time up to ``max_pause`` seconds."""
    for number in range(tries):
        if number:
            time.sleep(random.uniform(0, max_pause))
        yield number
