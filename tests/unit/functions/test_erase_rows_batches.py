"""Erase Rows: whatever a batch and its retries store of erased items beside the dataset file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import reconcile.app
import transform.app
import write_parquet.app
from imagelake.lake import object_keys
from imagelake.lake.dataset_file import is_made_from, read_version
from imagelake.lake.parts import Parts
from imagelake.lake.rows import Status, is_nameless, tombstone
from imagelake.lake.staging import Staging
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import DamagedObjectError, ErrorCode
from imagelake.run.models import PlannedBatch, Retry
from tests.support.factories import (
    RUN,
    Context,
    decide,
    event,
    feed_plan,
    item,
    jpeg,
    keep_plan,
    keep_rows,
    plan,
    result,
)
from tests.support.fake_lake import Lake
from tests.support.row_erasures import (
    BOB,
    close,
    copy_of,
    erase_rows,
    finish,
    keep_versions,
    of_bob,
    rows_of,
    staged_rows,
    traces,
    traces_before,
)
from tests.support.sample import pairs
from tests.support.web_server import WebServer
from validate.retries import reopen

GONE = item("gone").media_id
AUTHOR = ("author", "bluesky", BOB)


def erase(lake: Lake, planned: PlannedBatch, *names: str) -> dict[str, Any]:
    media_ids = [item(name).media_id for name in names]
    return erase_rows(lake, "erase", FileChanges(key=object_keys.parquet(planned.batch), erase=media_ids))


def counts(lake: Lake, planned: PlannedBatch) -> dict[str, int]:
    """The counts of Reconcile, without those that are 0."""
    plan = feed_plan(list_key="work/list.json")
    lake.bucket.put_json(plan["list_key"], [planned.batch.model_dump()])
    answer = reconcile.app.handler(event("reconcile", plan=plan), Context())
    return {name: number for name, number in answer["counts"].items() if number}


def retried(lake: Lake, planned: PlannedBatch, run_id: str, *names: str) -> PlannedBatch:
    """A retry of items of a closed batch."""
    batch = planned.batch.model_copy(update={"items": len(names), "retried_by": run_id})
    items = [one for one in planned.items if one.post_id in names]
    return planned.model_copy(update={"batch": batch, "items": items})


def test_closed_batch_has_nothing_about_the_person(lake: Lake) -> None:
    keep_versions()
    planned = close(lake, of_bob("gone"), result(item("one"), tensor=b"numbers"), of_bob("gone too"))
    before = staged_rows(lake, planned)
    assert len(traces_before("bob", GONE)) == 5
    erase(lake, planned, "gone", "gone too")
    assert traces("bob", "Bob", GONE, item("gone too").media_id) == set()
    assert staged_rows(lake, planned) == [tombstone(before[0]), before[1], tombstone(before[2])]
    stored = lake.bucket.get_model(object_keys.planned_batch(planned.batch), PlannedBatch)
    assert (stored.items, stored.erased) == ([planned.items[1]], [0, 2])
    assert counts(lake, planned) == {"planned": 3, "ok": 1, "erased": 2}


def test_late_steps_of_a_closed_batch_change_nothing(lake: Lake) -> None:
    planned = close(lake, of_bob("gone"), result(item("one")))
    erase(lake, planned, "gone")
    lake.media_index._dynamo.delete_item(TableName="image-keys", Key={"media_id": {"S": GONE}})
    stored = lake.stored()
    finish(planned)
    assert lake.stored() == stored


def test_late_steps_of_a_promoted_duplicate_change_nothing(lake: Lake) -> None:
    owner = of_bob("gone")
    planned = close(lake, owner, copy_of(owner, "copy"))
    key, copy = object_keys.parquet(planned.batch), item("copy").media_id
    erase_rows(lake, "promote", FileChanges(key=key, promote={copy: (GONE, key)}))
    stored = lake.stored()
    finish(planned)
    assert lake.stored() == stored
    assert counts(lake, planned) == {"planned": 2, "ok": 2}
    assert [row["duplicate_of"] for row in staged_rows(lake, planned)] == [None, None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("done", "names"),
    pairs(["planned", "claimed", "decided", "staged", "written"], [["gone"], ["gone", "one", "two"]]),
)
def test_open_batch_ends_without_the_person(lake: Lake, website: WebServer, done: str, names: list[str]) -> None:
    """The person was suppressed first, as in each erasure. However far the batch was, it ends with the same rows."""
    keep_versions()
    author = {"author_id": BOB, "author_name": "Bob", "caption": "bob's words"}
    items = [
        item(name, website.put(f"/{name}", jpeg(color)), **(author if name in names else {}))
        for name, color in (("one", "red"), ("gone", "green"), ("two", "blue"))
    ]
    planned = keep_plan(lake, plan(*items))
    if done == "claimed":
        lake.media_index.claim([one.media_id for one in items], planned.batch.batch_id)
    elif done == "decided":
        lake.media_index.claim([one.media_id for one in items], planned.batch.batch_id)
        decide(lake, planned.batch, *(result(one, Status.FAILED) for one in items))
    elif done != "planned":
        transform.app.handler(event("transform", batch=planned.batch), Context())
    if done == "written":
        write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    lake.suppress(AUTHOR)
    erase(lake, planned, *names)
    if done == "planned":
        (marker,) = lake.bucket.list("open/")
        assert lake.bucket.get_model(marker, PlannedBatch).erased == sorted(
            [one.post_id for one in items].index(name) for name in names
        )
    transform.app.handler(event("transform", batch=planned.batch), Context())
    finish(planned)
    rows = rows_of(lake, planned)
    erased = [one.post_id in names for one in items]
    assert [is_nameless(row) for row in rows] == erased
    living = "failed" if done == "decided" else "ok"
    expected = {"planned": 3, living: 3 - len(names), "erased": len(names)}
    assert counts(lake, planned) == {name: number for name, number in expected.items() if number}
    assert traces(BOB, "Bob", "bob's", *(item(name).media_id for name in names)) == set()
    assert lake.mapping().keys() == {one.media_id for one in items if one.post_id not in names}
    assert lake.bucket.list("open/") == []


def test_claim_of_another_batch_stays(lake: Lake) -> None:
    planned, other = (keep_plan(lake, plan(item("gone"), feed_id=feed_id)) for feed_id in ("one", "two"))
    lake.media_index.claim([GONE], other.batch.batch_id)
    erase(lake, planned, "gone")
    assert lake.mapping()[GONE]["batch_id"] == other.batch.batch_id
    erase(lake, other, "gone")
    assert lake.mapping() == {}


@pytest.mark.slow
def test_all_retries_of_a_batch(lake: Lake) -> None:
    keep_versions()
    names = ("gone", "one", "two")
    failed = [
        of_bob("gone", status=Status.FAILED, image=None),
        *(result(item(one), Status.FAILED) for one in names[1:]),
    ]
    planned = close(lake, *failed)
    first = retried(lake, planned, "retry-1", "gone", "one")
    keep_rows(lake, first, of_bob("gone"), result(item("one")))
    finish(first)
    second = retried(lake, planned, "retry-2", "two")
    keep_rows(lake, second, result(item("two")))
    before = rows_of(lake, planned)
    erase(lake, planned, "gone")
    assert traces("bob", "Bob", GONE) == set()
    assert rows_of(lake, planned) == [tombstone(before[0]), *before[1:]]
    version = read_version(lake.bucket, planned.batch)
    assert version is not None
    for batch, is_written in ((planned.batch, True), (first.batch, True), (second.batch, False)):
        assert is_made_from(version, Staging(lake.bucket, batch).read_rows()[1]) == is_written
    finish(second)
    finish(first)
    rows = rows_of(lake, planned)
    assert [(row["status"], row["media_id"]) for row in rows] == [
        ("erased", None), ("ok", item("one").media_id), ("ok", item("two").media_id)
    ]  # fmt: skip
    assert traces("bob", "Bob", GONE) == set()


@pytest.mark.slow
def test_open_retry_of_an_erased_item(lake: Lake, website: WebServer) -> None:
    keep_versions()
    planned = close(lake, of_bob("gone", status=Status.FAILED, image=None), result(item("one")))
    again = keep_plan(lake, retried(lake, planned, "retry-1", "gone"))
    lake.suppress(AUTHOR)
    erase(lake, planned, "gone")
    lake.media_index._dynamo.delete_item(TableName="image-keys", Key={"media_id": {"S": GONE}})
    transform.app.handler(event("transform", batch=again.batch), Context())
    finish(again)
    assert traces("bob", "Bob", GONE) == set()
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
    assert lake.mapping().keys() == {item("one").media_id}
    assert counts(lake, planned) == {"planned": 2, "ok": 1, "erased": 1}


@pytest.mark.slow
def test_retries_beyond_the_limit_of_the_metadata(lake: Lake) -> None:
    """S3 has room for 31 SHA-256s, of which the file names 21; the batch's own is always one of them."""
    rows = [of_bob("gone"), *(result(item(str(number)), Status.FAILED) for number in range(25))]
    planned = close(lake, *rows)
    for number in range(25):
        again = retried(lake, planned, f"retry-{number:02}", str(number))
        keep_rows(lake, again, result(item(str(number))))
        finish(again)
    erase(lake, planned, "gone")
    version = read_version(lake.bucket, planned.batch)
    assert version is not None
    assert len(version.metadata["staged-sha256"].split()) == 21
    for batch in (planned.batch, again.batch):
        assert is_made_from(version, Staging(lake.bucket, batch).read_rows()[1])
    before = lake.stored()
    finish(planned)
    assert lake.stored()[object_keys.parquet(planned.batch)] == before[object_keys.parquet(planned.batch)]


def test_part_keeps_the_places_of_the_others(lake: Lake) -> None:
    planned = plan(item("gone"), item("one"), item("two"))
    one, two = (result(item(name), tensor=f"numbers {name}".encode()) for name in ("one", "two"))
    keep_rows(lake, planned, of_bob("gone"), one, two)
    # Decided again, so that bytes of the first decision are left in the part, which no row of it names any more.
    decide(lake, planned.batch, of_bob("gone", tensor=b"other numbers"))
    key = object_keys.part(planned.batch, 0)
    size, rows = len(Parts(lake.bucket, planned.batch).read(0).images), staged_rows(lake, planned)[1:]
    erase(lake, planned, "gone")
    part = Parts(lake.bucket, planned.batch).read(0)
    assert part.rows.keys() == {item("one").media_id, item("two").media_id}
    assert (len(part.images), part.damaged) == (size, [])
    assert part.images.count(b"\0") > 2 * len(jpeg())
    assert not [word for word in (b"numbers of bob", b"other numbers", GONE.encode()) if word in lake.bucket.get(key)]
    assert staged_rows(lake, planned)[1:] == rows


@pytest.mark.slow
@pytest.mark.parametrize("original", [item("other").media_id, None])
@pytest.mark.parametrize("also_erased", [[], ["gone"]])
@pytest.mark.parametrize("kind", ["bytes", "crop"])
def test_parts_name_no_erased_original(lake: Lake, original: str | None, also_erased: list[str], kind: str) -> None:
    """The original is in another batch or in this one; a part says of each row whose duplicate it is."""
    keep_versions()
    lake.suppress(("media", GONE))
    near = result(item("two"), duplicate_of=GONE, duplicate_kind=kind, duplicate_distance=3)
    linked = copy_of(of_bob("gone"), "two") if kind == "bytes" else near
    planned = close(lake, of_bob("gone"), linked, result(item("one"), tensor=b"numbers"))
    before = staged_rows(lake, planned)
    key, two = object_keys.parquet(planned.batch), item("two").media_id
    erased = [item(name).media_id for name in also_erased]
    erase_rows(lake, "erase", FileChanges(key=key, erase=erased, relink={two: original}))
    part = Parts(lake.bucket, planned.batch).read(0)
    assert (part.damaged, part.rows[two]["duplicate_of"]) == ([], original)
    assert staged_rows(lake, planned)[2] == before[2]
    if also_erased:
        assert traces(GONE) == set()
    erase_rows(lake, "erase", FileChanges(key=key, erase=erased, relink={two: original}))
    assert Parts(lake.bucket, planned.batch).read(0) == part


def test_part_of_a_promoted_duplicate_does_not_name_the_former_owner(lake: Lake) -> None:
    keep_versions()
    owner = close(lake, of_bob("gone"))
    planned = close(lake, copy_of(of_bob("gone"), "two"), result(item("one")), dt="2026-04-02")
    two = item("two").media_id
    changes = FileChanges(
        key=object_keys.parquet(planned.batch), promote={two: (GONE, object_keys.parquet(owner.batch))}
    )
    for _ in range(2):
        erase_rows(lake, "promote", changes)
        part = Parts(lake.bucket, planned.batch).read(0)
        assert (part.damaged, part.rows[two]["duplicate_of"]) == ([], None)
        assert {key for key in traces(GONE) if planned.batch.batch_id in key} == set()


def test_part_keeps_bytes_that_only_staged_rows_name(lake: Lake) -> None:
    planned = plan(item("gone"), item("one"))
    keep_rows(lake, planned, of_bob("gone"), result(item("one"), tensor=b"first"))
    decide(lake, planned.batch, result(item("one"), tensor=b"second"))
    erase(lake, planned, "gone")
    assert staged_rows(lake, planned)[1]["tensor"] == b"first"


def cut_off(body: bytes) -> bytes:
    return body[:-3]


def changed(body: bytes) -> bytes:
    return body.replace(b"bluesky", b"BLUESKY", 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "of"),
    pairs(
        [cut_off, changed, lambda _: b""],
        [object_keys.staged, lambda batch: object_keys.part(batch, 0), object_keys.planned_batch],
    ),
)
def test_damaged_objects_are_deleted_and_made_again(
    lake: Lake, website: WebServer, damage: Callable[[bytes], bytes], of: Callable[[Any], str]
) -> None:
    keep_versions()
    bob = item("gone", website.put("/gone", jpeg("red")), author_id=BOB, caption="bob's words")
    planned = keep_plan(lake, plan(bob, item("one", website.put("/one", jpeg()))))
    transform.app.handler(event("transform", batch=planned.batch), Context())
    lake.suppress(AUTHOR)
    lake.bucket.put(of(planned.batch), damage(lake.bucket.get(of(planned.batch))), "")
    erase(lake, planned, "gone")
    assert traces(BOB, "bob's", GONE) == set()
    # As the run does that resumes the batch.
    (marker,) = lake.bucket.list("open/")
    lake.bucket.put(object_keys.planned_batch(planned.batch), lake.bucket.get(marker), "")
    transform.app.handler(event("transform", batch=planned.batch), Context())
    finish(planned)
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
    assert rows_of(lake, planned)[1]["image"] is not None


def test_damaged_marker_is_an_error(lake: Lake) -> None:
    """Nobody knows the items of the batch without it; the run that resumes the batch has the same error."""
    planned = keep_plan(lake, plan(item("gone")))
    key = object_keys.open_batch(planned.batch)
    lake.bucket.put(key, b"{", "")
    with pytest.raises(DamagedObjectError, match=f"{key} is damaged"):
        erase(lake, planned, "gone")


def test_expired_working_objects(lake: Lake) -> None:
    """They expire after 14 days, and their older versions 30 days later."""
    keep_versions()
    planned = close(lake, of_bob("gone"), result(item("one")))
    for key in lake.bucket.list("work/"):
        lake.bucket.delete(key)
    before = rows_of(lake, planned)
    assert len(traces_before("bob")) == 5
    erase(lake, planned, "gone")
    assert rows_of(lake, planned) == [tombstone(before[0]), before[1]]
    assert traces("bob", "Bob", GONE) == set()


def test_older_versions_go_although_the_pipeline_has_erased_the_row(lake: Lake) -> None:
    keep_versions()
    planned = close(lake, of_bob("gone"), result(item("one"), Status.FAILED))
    lake.suppress(AUTHOR)
    again = retried(lake, planned, "retry-1", "one")
    keep_rows(lake, again, result(item("one")))
    finish(again)
    assert [row["status"] for row in rows_of(lake, planned)] == ["erased", "ok"]
    erase(lake, planned, "gone")
    assert traces("bob", "Bob", GONE) == set()


def test_attempt_that_died_no_longer_names_the_item(lake: Lake) -> None:
    keep_versions()
    planned = close(lake, of_bob("gone"), result(item("one")))
    for number, one in enumerate(("gone", "one")):
        lake.bucket.put_json(
            object_keys.attempt(planned.batch, number),
            {"media_id": item(one).media_id, "decodes_until": "2026-04-01T12:00:00Z", "is_ended": False},
        )
    lake.bucket.put(object_keys.attempt(planned.batch, 2), b"damaged", "")
    erase(lake, planned, "gone")
    first, second = (lake.bucket.get_json(object_keys.attempt(planned.batch, number)) for number in (0, 1))
    assert first == {"media_id": None, "decodes_until": "2026-04-01T12:00:00Z", "is_ended": False}
    assert second["media_id"] == item("one").media_id
    assert traces(GONE) == set()


def test_other_batches_are_not_touched(lake: Lake) -> None:
    planned, other = close(lake, of_bob("gone")), close(lake, of_bob("one"), feed_id="second")
    stored = {key: lake.bucket.get_with_version(key) for key in lake.bucket.list("") if other.batch.batch_id in key}
    erase(lake, planned, "gone", "one")
    assert stored == {key: lake.bucket.get_with_version(key) for key in stored}


def test_retry_after_an_erasure_has_positions_of_its_own(lake: Lake) -> None:
    rows = [of_bob("gone", status=Status.FAILED, image=None), result(item("one"), Status.FAILED)]
    planned = close(lake, *rows)
    erase(lake, planned, "gone")
    batch = planned.batch
    lines = [{"media_id": item("one").media_id, "status": "failed", "error_code": "not_found"}]
    lake.bucket.put_lines(object_keys.failures(RUN.run_id, batch.feed_id), lines)
    retry = Retry(run_id=RUN.run_id, error_codes=(ErrorCode.NOT_FOUND,))
    assert reopen(retry, "retry-1", batch.feed_id, lake.bucket, lake.media_index) == []
    again = lake.bucket.get_model(object_keys.open_batch(batch), PlannedBatch)
    assert (again.items, again.erased, again.positions) == ([planned.items[1]], [], [0])
