"""Erase Rows killed at any call, started twice, and beside other workers: the end is always the same."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

import erase_rows.batch_rows
import transform.app
import write_parquet.app
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.dataset_file import write_file
from imagelake.lake.erased_objects import ErasedObjects
from imagelake.lake.rows import Status, tombstone
from imagelake.lake.staging import Staging
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import ReconciliationError, StorageUnavailableError
from imagelake.run.models import PlannedBatch
from tests.support.erasures import delete_older_versions
from tests.support.factories import Context, event, item, jpeg, keep_plan, keep_rows, plan, result, stage
from tests.support.fake_lake import Lake
from tests.support.private_parts import calls_of_aws, stored_in_memory
from tests.support.row_erasures import (
    BOB,
    close,
    copy_of,
    finish,
    keep_versions,
    of_bob,
    rows_of,
    traces,
)
from tests.support.row_erasures import (
    erase_rows as call,
)
from tests.support.sample import exhaustive, full
from tests.support.web_server import WebServer

GONE, COPY, NEAR = (item(name).media_id for name in ("gone", "copy", "near"))
AUTHOR = ("author", "bluesky", BOB)


class KilledError(BaseException):
    """The process ends here."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, calls: int, *, after: bool) -> Iterator[list[str]]:
    """End the process at a call of AWS, before or after AWS has done it."""
    client_class, method = calls_of_aws()
    real, made = getattr(client_class, method), list[str]()

    def make(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        made.append(operation)
        if len(made) == calls and not after:
            raise KilledError
        answer = real(client, operation, arguments)
        if len(made) == calls:
            raise KilledError
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(client_class, method, make)
        yield made


def world(lake: Lake) -> list[tuple[str, FileChanges]]:
    """Two files, of which one has a retry, an open batch, near duplicates, and the steps of one erasure of Bob."""
    keep_versions()
    owner = of_bob("gone", tensor=b"numbers")
    failed = of_bob("gone too", status=Status.FAILED, image=None)
    theirs = close(lake, owner, result(item("one")), failed, result(item("two"), Status.FAILED))
    batch = theirs.batch.model_copy(update={"items": 1, "retried_by": "retry-1"})
    again = theirs.model_copy(update={"batch": batch, "items": theirs.items[2:]})
    keep_rows(lake, again, of_bob("gone too", raw_sha256="cd" * 32), result(item("two")))
    finish(again)
    ours = close(lake, copy_of(owner, "copy"), result(item("near"), duplicate_of=GONE), feed_id="second")
    waiting = plan(item("gone 3", author_id=BOB), item("three"), feed_id="third")
    keep_rows(lake, waiting, of_bob("gone 3"), result(item("three")))
    lake.suppress(AUTHOR, ("media", GONE), ("media", item("gone too").media_id), ("media", item("gone 3").media_id))
    keys = [object_keys.parquet(planned.batch) for planned in (theirs, ours, waiting)]
    return [
        ("promote", FileChanges(key=keys[1], promote={COPY: (GONE, keys[0])})),
        ("erase", FileChanges(key=keys[0], erase=[GONE, item("gone too").media_id])),
        ("erase", FileChanges(key=keys[1], relink={NEAR: COPY})),
        ("erase", FileChanges(key=keys[2], erase=[item("gone 3").media_id])),
    ]


def traces_of_bob() -> set[str]:
    """A part of a batch never names originals; only in these tests it does, because they decide and stage at once."""
    return traces("bob", "Bob", BOB) | {key for key in traces(GONE) if not key.startswith("work/parts/")}


def state(lake: Lake) -> dict[str, Any]:
    """Everything that is stored, with the number of versions, but for the erasure's own objects."""
    delete_older_versions(lake.bucket)
    everything = lake.bucket.all_versions_under("").items()
    versions = {key: len(each) for key, each in everything if not key.startswith("work/erasures/")}
    stored = lake.stored() | {"versions": versions}
    return {key: value for key, value in stored.items() if not key.startswith("work/erasures/")}


def snapshot() -> bytes:
    """Copy the lake; of each object, the copy has only the current version."""
    return pickle.dumps([vars(backend) for backend in stored_in_memory()])


def restore(stored: bytes) -> None:
    for backend, values in zip(stored_in_memory(), pickle.loads(stored), strict=True):
        vars(backend).update(values)


@pytest.mark.slow
@pytest.mark.parametrize("stride", [29, full(11), exhaustive(1)])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(4), ids=["promote", "owners", "duplicates", "open batch"])
def test_killed_at_any_call_and_started_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, step: int, after: bool, stride: int
) -> None:
    steps = world(lake)
    for one in steps[:step]:
        call(lake, *one)
    before = snapshot()
    restore(before)
    call(lake, *steps[step])
    end = state(lake)
    for number in count(1, stride):
        restore(before)
        with killed(monkeypatch, number, after=after) as made:
            try:
                call(lake, *steps[step])
                break
            except KilledError:
                pass
        call(lake, *steps[step])
        assert state(lake) == end, (number, made[-1])
    assert number > stride


@pytest.mark.slow
@pytest.mark.parametrize("step", range(4), ids=["promote", "owners", "duplicates", "open batch"])
def test_started_twice(lake: Lake, step: int) -> None:
    steps = world(lake)
    for one in steps:
        call(lake, *one)
    end = state(lake)
    assert traces_of_bob() == set()
    call(lake, *steps[step])
    assert state(lake) == end


def once_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, action: Callable[[], Any]) -> None:
    """Do something the first time that a method is called, before it works."""
    real = getattr(owner, name)

    def method(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(owner, name, real)
        action()
        return real(*args, **options)

    monkeypatch.setattr(owner, name, method)


def erasure_of(planned: PlannedBatch, *names: str) -> FileChanges:
    return FileChanges(key=object_keys.parquet(planned.batch), erase=[item(name).media_id for name in names])


@pytest.mark.slow
@pytest.mark.parametrize("point", ["put_if_unchanged", "put_json", "get_with_version"])
def test_two_erasures_of_one_file_both_take_effect(lake: Lake, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    keep_versions()
    rows = [of_bob("gone"), of_bob("other", raw_sha256="cd" * 32), result(item("one"))]
    planned = close(lake, *rows)
    before = rows_of(lake, planned)
    once_at(monkeypatch, Bucket, point, lambda: call(lake, "erase", erasure_of(planned, "other"), "e2"))
    call(lake, "erase", erasure_of(planned, "gone"))
    assert rows_of(lake, planned) == [tombstone(before[0]), tombstone(before[1]), before[2]]
    assert traces("bob", "Bob", GONE) == set()
    for erasure_id, media_id in (("e1", GONE), ("e2", item("other").media_id)):
        notes = {note.key: note for note in ErasedObjects(lake.bucket, erasure_id).notes()}
        assert notes[object_keys.parquet(planned.batch)].items == [media_id]


def test_two_promotions_in_one_file_both_take_effect(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = of_bob("gone"), of_bob("other", raw_sha256="cd" * 32)
    theirs = close(lake, first, second)
    ours = close(lake, copy_of(first, "copy"), copy_of(second, "copy 2"), feed_id="second")
    keys = object_keys.parquet(ours.batch), object_keys.parquet(theirs.batch)
    one, two = (
        FileChanges(key=keys[0], promote={item(name).media_id: (owner["media_id"], keys[1])})
        for name, owner in (("copy", first), ("copy 2", second))
    )
    once_at(monkeypatch, Bucket, "put_if_unchanged", lambda: call(lake, "promote", two, "e2"))
    call(lake, "promote", one)
    assert [(row["status"], row["duplicate_of"]) for row in rows_of(lake, ours)] == [("ok", None)] * 2
    assert {entry["owner"] for entry in lake.owners().values()} == {COPY, item("copy 2").media_id}


def test_error_when_staged_rows_always_change(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = close(lake, of_bob("gone"))
    monkeypatch.setattr(erase_rows.batch_rows.BatchRows, "_is_done", lambda _: False)
    with pytest.raises(StorageUnavailableError, match=r"5 times the staged rows changed meanwhile"):
        call(lake, "erase", erasure_of(planned, "gone"))


def with_failed(lake: Lake) -> tuple[PlannedBatch, PlannedBatch]:
    """A closed batch of Bob's and another item, and a retry of the other one that is staged."""
    planned = close(lake, of_bob("gone"), result(item("one"), Status.FAILED))
    batch = planned.batch.model_copy(update={"items": 1, "retried_by": "retry-1"})
    again = planned.model_copy(update={"batch": batch, "items": planned.items[1:]})
    return planned, keep_rows(lake, again, result(item("one")))


@pytest.mark.slow
@pytest.mark.parametrize("is_listed", [False, True])
@pytest.mark.parametrize("point", ["put_if_unchanged", "get_with_version", "version"])
def test_retry_that_writes_the_file_at_the_same_time(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, point: str, is_listed: bool
) -> None:
    keep_versions()
    planned, again = with_failed(lake)
    if is_listed:
        lake.suppress(AUTHOR)
    once_at(monkeypatch, Bucket, point, lambda: finish(again))
    call(lake, "erase", erasure_of(planned, "gone"))
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
    assert traces("bob", "Bob", GONE) == set()


def test_erasure_while_a_retry_writes_the_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, again = with_failed(lake)

    def first(*args: Any) -> bool:
        monkeypatch.setattr("write_parquet.file.write_file", write_file)
        call(lake, "erase", erasure_of(planned, "gone"))
        return write_file(*args)

    monkeypatch.setattr("write_parquet.file.write_file", first)
    finish(again)
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["put_if_unchanged", "put_json", "list", "version"])
def test_first_file_of_a_batch_that_is_written_at_the_same_time(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """If the file was made from the former staged rows, the batch stays open, and the next run ends it."""
    keep_versions()
    planned = plan(item("gone", author_id=BOB), item("one"))
    keep_rows(lake, planned, of_bob("gone"), result(item("one")))
    lake.suppress(AUTHOR)

    def write() -> None:
        write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())

    once_at(monkeypatch, Bucket, point, write)
    call(lake, "erase", erasure_of(planned, "gone"))
    try:
        finish(planned)
    except ReconciliationError:
        finish(planned)
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
    assert traces("bob", "Bob", GONE) == set()
    assert lake.mapping().keys() == {item("one").media_id}
    assert lake.bucket.list("open/") == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["put_if_unchanged", "put_json", "get_with_version", "list"])
def test_batch_that_is_transformed_at_the_same_time(
    lake: Lake, website: WebServer, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    keep_versions()
    bob = item("gone", website.put("/gone", jpeg("red")), author_id=BOB, caption="bob's words")
    planned = keep_plan(lake, plan(bob, item("one", website.put("/one", jpeg()))))
    lake.media_index.claim([one.media_id for one in planned.items], planned.batch.batch_id)
    lake.suppress(AUTHOR)

    def work() -> None:
        transform.app.handler(event("transform", batch=planned.batch), Context())

    once_at(monkeypatch, Bucket, point, work)
    call(lake, "erase", erasure_of(planned, "gone"))
    work()
    finish(planned)
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
    assert traces(BOB, "bob's", GONE) == set()
    assert lake.mapping().keys() == {item("one").media_id}


def test_plan_that_a_run_writes_again_from_the_marker(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_versions()
    planned = keep_plan(lake, plan(item("gone"), item("one")))
    marker, key = object_keys.open_batch(planned.batch), object_keys.planned_batch(planned.batch)
    body, real = lake.bucket.get(marker), Bucket.put_if_unchanged

    def put(bucket: Bucket, to: str, *args: Any) -> bool:
        if to == marker:
            bucket.put(key, body, "application/json")
        return real(bucket, to, *args)

    monkeypatch.setattr(Bucket, "put_if_unchanged", put)
    call(lake, "erase", erasure_of(planned, "gone"))
    assert traces(GONE) == set()


def test_staged_rows_that_are_replaced_at_the_same_time(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker stages other rows of the batch, after the file has named the rows as they were to be."""
    planned = plan(item("gone", author_id=BOB), item("one"))
    keep_rows(lake, planned, of_bob("gone"), result(item("one")))
    finish(planned)

    def stage_again() -> None:
        lake.bucket.delete(object_keys.staged(planned.batch))
        stage(lake, planned.batch, of_bob("gone"), result(item("one"), caption="again"))

    real = Bucket.put_if_unchanged

    def put(bucket: Bucket, to: str, *args: Any) -> bool:
        if to == object_keys.staged(planned.batch):
            monkeypatch.setattr(Bucket, "put_if_unchanged", real)
            stage_again()
        return real(bucket, to, *args)

    monkeypatch.setattr(Bucket, "put_if_unchanged", put)
    call(lake, "erase", erasure_of(planned, "gone"))
    staged = Staging(lake.bucket, planned.batch).rows()
    assert [(row["status"], row["caption"]) for row in staged] == [("erased", None), ("ok", "again")]
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
