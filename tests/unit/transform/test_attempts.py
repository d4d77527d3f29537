"""Attempts at a batch: the next one knows whether an earlier one died, and at which image."""

from __future__ import annotations

from typing import Any

import pytest

from imagelake.lake import object_keys
from imagelake.run.errors import BatchDeadlineError, StorageUnavailableError
from tests.support.factories import item, plan
from tests.support.fake_lake import Lake
from tests.support.private_parts import calls_of_aws
from transform.attempts import Attempts

BATCH = plan(item("a")).batch


def begin(lake: Lake) -> Attempts:
    return Attempts(lake.bucket, BATCH)


def die_at(lake: Lake, media_id: str) -> None:
    """Begin an attempt that ends while it decodes an image."""
    begin(lake).decoding(media_id, 0).__enter__()


def test_first_attempt_makes_one_request(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    operations: list[str] = []
    client_class, method = calls_of_aws()
    call = getattr(client_class, method)

    def watch(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        operations.append(operation)
        return call(client, operation, arguments)

    monkeypatch.setattr(client_class, method, watch)
    with begin(lake) as attempts:
        assert not attempts.is_careful
    assert operations == ["PutObject"]


def test_attempt_after_one_that_died_is_careful(lake: Lake) -> None:
    begin(lake)
    assert begin(lake).is_careful
    assert begin(lake).is_careful
    assert not Attempts(lake.bucket, BATCH.model_copy(update={"retried_by": "run-2"})).is_careful


@pytest.mark.parametrize("error", [BatchDeadlineError, StorageUnavailableError])
def test_attempt_after_an_error_of_ours_is_not_careful(lake: Lake, error: type[Exception]) -> None:
    for _ in range(3):
        with pytest.raises(error), begin(lake) as attempts:
            raise error("later")
        assert not attempts.is_careful
    assert not begin(lake).is_careful
    assert begin(lake).is_careful


def test_any_other_error_counts_as_a_death(lake: Lake) -> None:
    with pytest.raises(MemoryError), begin(lake):
        raise MemoryError
    assert begin(lake).is_careful


def test_deaths_are_counted_by_the_image(lake: Lake) -> None:
    begin(lake)
    for name in ("a", "b", "a"):
        die_at(lake, name)
    assert begin(lake).deaths == {"a": 2, "b": 1}


def test_image_that_was_decoded_is_not_blamed(lake: Lake) -> None:
    begin(lake)
    attempts = begin(lake)
    with attempts.decoding("a", 0):
        pass
    with attempts.decoding("b", 0):
        pass
    assert begin(lake).deaths == {}


def test_careful_attempt_that_ends_with_an_error_of_ours_blames_no_image(lake: Lake) -> None:
    begin(lake)
    with pytest.raises(StorageUnavailableError), begin(lake) as attempts, attempts.decoding("a", 0):
        raise StorageUnavailableError("later")
    assert begin(lake).is_careful
    assert begin(lake).deaths == {}


def test_careful_attempt_that_decodes_nothing_stores_nothing(lake: Lake) -> None:
    begin(lake)
    stored = lake.stored()
    with begin(lake):
        pass
    assert lake.stored() == stored


def test_two_attempts_at_once_have_notes_of_their_own(lake: Lake) -> None:
    begin(lake)
    first, second = begin(lake), begin(lake)
    first.decoding("a", 0).__enter__()
    second.decoding("b", 0).__enter__()
    assert begin(lake).deaths == {"a": 1, "b": 1}


def test_attempt_that_may_still_be_at_work_is_no_death(lake: Lake) -> None:
    """Three live workers that decoded the same good image at the same moment got it rejected for good."""
    begin(lake)
    for _ in range(3):
        begin(lake).decoding("a", 60).__enter__()
    assert begin(lake).is_careful
    assert begin(lake).deaths == {}


def test_note_without_an_end_counts_as_before(lake: Lake) -> None:
    for number in range(2):
        lake.bucket.put(object_keys.attempt(BATCH, number), b'{"media_id": "a", "is_ended": false}', "")
    assert begin(lake).deaths == {"a": 2}


@pytest.mark.parametrize(("failures", "deaths"), [(1, {}), (3, {}), (4, {"a": 1})])
def test_name_is_taken_back_when_the_storage_is_back(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, failures: int, deaths: dict[str, int]
) -> None:
    """The storage fails right after an image was named: the attempt has ended, but it has not died."""
    write, left = Attempts._write, [failures]
    monkeypatch.setattr("imagelake.run.retries.time.sleep", lambda _: None)
    begin(lake)

    def fail(self: Attempts, attempt: Any) -> None:
        left[0] -= attempt.media_id is None
        if left[0] >= 0 and attempt.media_id is None:
            raise StorageUnavailableError("later")
        write(self, attempt)

    monkeypatch.setattr(Attempts, "_write", fail)
    with pytest.raises(StorageUnavailableError), begin(lake) as attempts, attempts.decoding("a", 0):
        raise StorageUnavailableError("later")
    assert begin(lake).deaths == deaths


def test_attempt_that_names_no_image_ends_with_one_request(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def fail(self: Attempts, attempt: Any) -> None:
        calls.append(attempt)
        raise StorageUnavailableError("later")

    monkeypatch.setattr(Attempts, "_write", fail)
    with pytest.raises(BatchDeadlineError), begin(lake):
        raise BatchDeadlineError("later")
    assert len(calls) == 1


def test_damaged_note_counts_as_a_death(lake: Lake) -> None:
    lake.bucket.put(object_keys.attempt(BATCH, 0), b"damaged", "")
    assert begin(lake).is_careful
