"""Staging: rows and images come back as they were written, whole or in parts; any damage is found."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from imagelake.lake import object_keys
from imagelake.lake.rows import Row, Status
from imagelake.lake.staging import Staging
from imagelake.run.aws import client
from imagelake.run.errors import DamagedObjectError, ObjectMissingError, StorageUnavailableError
from tests.support.factories import item, plan, result
from tests.support.fake_lake import BUCKET, Lake

BATCH = plan(item("one"), item("two"), item("three")).batch
KEY = object_keys.staged(BATCH)
NONE = dict.fromkeys(Status, 0)


@pytest.fixture
def staging(lake: Lake) -> Staging:
    return Staging(lake.bucket, BATCH)


def some_rows() -> list[Row]:
    """Three rows: one with an image and a tensor, one without both, one with an image."""
    rows = [result(item("one")), result(item("two"), Status.FAILED), result(item("three"))]
    rows[0]["tensor"] = b"numbers"
    return rows


def test_rows_come_back_with_their_images(lake: Lake, staging: Staging) -> None:
    assert staging.write(some_rows()) == {"ok": 2, "duplicate": 0, "rejected": 0, "failed": 1}
    rows, sha256 = staging.read()
    assert rows == some_rows()
    assert lake.bucket.list("work/") == [KEY]
    assert staging.read_rows() == (staging.rows(), sha256)
    assert client("s3").head_object(Bucket=BUCKET, Key=KEY)["ContentType"] == "application/octet-stream"


def test_rows_say_where_their_images_are(lake: Lake, staging: Staging) -> None:
    staging.write(some_rows())
    first, second, third = staging.rows()
    stored = lake.bucket.get(KEY)
    image, tensor, last = first["image"], first["tensor"], third["image"]
    assert image is not None
    assert tensor is not None
    assert last is not None
    assert stored[tensor["offset"] :].startswith(b"numbers")
    assert (image["path"], last["path"]) == ("bluesky/alice/one/0.jpg", "bluesky/alice/three/0.jpg")
    assert image["offset"] + image["length"] == tensor["offset"]
    assert tensor["offset"] + 7 == last["offset"]
    assert last["offset"] + last["length"] == len(stored)
    assert second["image"] is second["tensor"] is third["tensor"] is None


def test_rows_are_read_when_they_are_longer_than_the_first_read(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging.write(some_rows())
    rows = staging.read_rows()
    monkeypatch.setattr("imagelake.lake.staging._FIRST_READ", 100)
    assert staging.read_rows() == rows


def test_one_image_is_read_alone(staging: Staging) -> None:
    staging.write(some_rows())
    image = some_rows()[2]["image"]
    assert image is not None
    assert staging.read_image(staging.rows()[2]) == image["bytes"]


def test_counts_when_nothing_is_staged(staging: Staging) -> None:
    assert staging.counts() is None
    with pytest.raises(ObjectMissingError, match=KEY):
        staging.rows()
    with pytest.raises(ObjectMissingError, match=KEY):
        staging.read()


@pytest.mark.parametrize("rows", [some_rows(), []], ids=["some", "none"])
def test_counts_are_the_same_when_they_are_read(staging: Staging, rows: list[Row]) -> None:
    assert staging.write(rows) == staging.counts() == NONE | ({"ok": 2, "failed": 1} if rows else {})
    assert staging.read_rows()[0] == staging.rows()
    assert len(staging.rows()) == len(rows)


def test_first_result_stays_when_another_worker_comes_second(lake: Lake, staging: Staging) -> None:
    counts, stored = staging.write(some_rows()), lake.stored()
    assert staging.write(some_rows()[:1]) == counts
    assert lake.stored() == stored


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda stored: b"",
    "a short header": lambda stored: stored[:20],
    "another format": lambda stored: b"[]" + stored[2:],
    "cut rows": lambda stored: stored[:200],
    "other rows": lambda stored: stored.replace(b"Alice", b"Alike"),
    "another length": lambda stored: stored + b"x",
    "a cut image": lambda stored: stored[:-1],
    "another image": lambda stored: stored[:-1] + bytes([stored[-1] ^ 1]),
    "another tensor": lambda stored: stored.replace(b"numbers", b"members"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_object_is_named_and_replaced(lake: Lake, staging: Staging, damage: str) -> None:
    counts = staging.write(some_rows())
    stored = lake.bucket.get(KEY)
    damaged = DAMAGES[damage](stored)
    assert damaged != stored
    lake.bucket.put(KEY, damaged, "")
    with pytest.raises(DamagedObjectError, match=KEY):
        staging.read()
    assert staging.counts() is None
    assert staging.write(some_rows()) == counts
    assert lake.bucket.get(KEY) == stored


@pytest.mark.parametrize("damage", ["nothing", "a short header", "another format", "cut rows", "other rows"])
def test_error_when_rows_are_damaged(lake: Lake, staging: Staging, damage: str) -> None:
    staging.write(some_rows())
    lake.bucket.put(KEY, DAMAGES[damage](lake.bucket.get(KEY)), "")
    with pytest.raises(DamagedObjectError, match=KEY):
        staging.rows()


def test_error_when_the_image_is_damaged(lake: Lake, staging: Staging) -> None:
    staging.write(some_rows())
    lake.bucket.put(KEY, DAMAGES["another image"](lake.bucket.get(KEY)), "")
    with pytest.raises(DamagedObjectError, match=rf"the \d+ bytes at \d+ in {KEY} do not match their checksum"):
        staging.read_image(staging.rows()[2])


def test_damaged_object_is_left_to_a_worker_that_replaced_it_first(
    lake: Lake, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.bucket.put(KEY, b"damaged", "")
    counts = staging.counts

    def replaced_by_another() -> dict[str, int] | None:
        found = counts()
        monkeypatch.undo()
        Staging(lake.bucket, BATCH).write(some_rows()[:1])
        return found

    monkeypatch.setattr(staging, "counts", replaced_by_another)
    assert staging.write(some_rows())["ok"] == 1
    assert staging.read()[0] == some_rows()[:1]


def test_error_when_another_worker_is_always_first(
    lake: Lake, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging._bucket, "put_if_unchanged", lambda *_: False)
    with pytest.raises(StorageUnavailableError, match=f"{KEY}: 5 times another worker was first"):
        staging.write(some_rows())


def test_staged_rows_are_readable_text(lake: Lake, staging: Staging) -> None:
    staging.write(some_rows())
    lines = lake.bucket.get(KEY).splitlines()
    assert json.loads(lines[1])["media_id"] == item("two").media_id


def test_parts_come_back_in_order(lake: Lake, staging: Staging) -> None:
    rows = some_rows()
    staging.save_part(rows[:2], 0)
    staging.save_part(rows[2:], 2)
    assert staging.load_parts() == rows
    assert staging.counts() is None, "parts are not the batch"
    staging.drop_parts()
    assert staging.load_parts() == []
    assert lake.bucket.list("work/") == []


def test_parts_of_two_workers_have_each_item_once_and_with_its_image(staging: Staging) -> None:
    rows = some_rows()
    failed = result(item("three"), Status.FAILED)
    staging.save_part([rows[0], failed], 0)
    staging.save_part([rows[0], rows[1], rows[2]], 0)
    assert sorted(staging.load_parts(), key=lambda row: row["media_id"]) == [rows[0], rows[2], rows[1]]


def test_damaged_part_is_left_out(lake: Lake, staging: Staging) -> None:
    rows = some_rows()
    staging.save_part(rows[:1], 0)
    staging.save_part(rows[1:], 1)
    (first, _) = lake.bucket.list("work/parts/")
    lake.bucket.put(first, lake.bucket.get(first)[:-1], "")
    assert staging.load_parts() == rows[1:]
