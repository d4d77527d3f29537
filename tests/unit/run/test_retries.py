"""Retries: how often a call is made, how long the pauses are, and which error comes out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from imagelake.run.retries import attempts, retry


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause between tries."""
    pauses: list[float] = []
    monkeypatch.setattr("imagelake.run.retries.time.sleep", pauses.append)
    return pauses


def failing(times: int, error: Exception) -> Callable[[], int]:
    """A call that raises ``error`` that many times, and then returns the number of calls."""
    calls = 0

    def call() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise error
        return calls

    return call


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_retry_when_a_try_succeeds(pauses: list[float], failures: int) -> None:
    call = failing(failures, OSError())
    assert retry(call, tries=3, on=OSError, pause=lambda error, failed: 10.0 * failed) == failures + 1
    assert pauses == [10, 20][:failures]


def test_retry_when_no_try_succeeds_raises_the_last_error(pauses: list[float]) -> None:
    error = OSError()
    with pytest.raises(OSError) as caught:  # noqa: PT011
        retry(failing(99, error), tries=3, on=OSError, pause=lambda error, failed: 1.0)
    assert caught.value is error
    assert pauses == [1, 1]


def test_retry_when_the_pause_gives_up(pauses: list[float]) -> None:
    with pytest.raises(KeyError, match="this one"):
        retry(failing(1, KeyError("this one")), tries=3, on=KeyError, pause=lambda error, failed: None)
    assert pauses == []


def test_retry_when_the_error_is_another(pauses: list[float]) -> None:
    with pytest.raises(ValueError, match="this one"):
        retry(failing(1, ValueError("this one")), tries=3, on=KeyError, pause=lambda error, failed: 1.0)
    assert pauses == []


def test_attempts_are_counted_with_a_random_pause_between_two(pauses: list[float]) -> None:
    assert list(attempts(4, max_pause=0.5)) == [0, 1, 2, 3]
    assert len(pauses) == 3
    assert all(0 <= pause <= 0.5 for pause in pauses)
