"""Rebuild Images: rows from raw images alone, and statuses that fit the media index and the other rows."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

import map_keys.app
import transform.app
import unpack.app
import write_parquet.app
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.staging import Staging
from imagelake.run.errors import BatchDeadlineError, FileChangedError
from imagelake.run.models import Batch, PlannedBatch
from rebuild_images.app import handler
from tests.reliability.world import photo
from tests.support.factories import Context, event, item, jpeg, keep_plan, plan
from tests.support.fake_lake import Lake
from tests.support.private_parts import calls_of_aws
from tests.support.web_server import Answer, WebServer

COLORS = ("teal", "red", "blue")


@pytest.fixture
def closed(lake: Lake, website: WebServer) -> PlannedBatch:
    """A batch that is closed: three images, a duplicate of the first one, and a file that is no image."""
    urls = [website.put(f"/{color}.jpg", jpeg(color)) for color in COLORS]
    urls += [website.put("/copy.jpg", jpeg(COLORS[0])), website.put("/page.jpg", b"<html>")]
    planned = keep_plan(lake, plan(*(item(f"post-{number}", url) for number, url in enumerate(urls))))
    for app in (transform.app, write_parquet.app, map_keys.app):
        app.handler(event("transform", batch=planned.batch), Context())
    for path in list(website.answers):
        website.put(path, Answer(b"gone", 410))
    return planned


def unpacked(planned: PlannedBatch, **request: Any) -> Batch:
    answer = unpack.app.handler(event("unpack", batch=planned.batch) | {"rebuild": request}, Context())
    return Batch.model_validate(answer["batch"])


def rebuild(batch: Batch, context: Context | None = None) -> dict[str, int]:
    counts: dict[str, int] = handler(event("rebuild_images", batch=batch), context or Context())
    return counts


@pytest.mark.slow
def test_rows_are_made_from_raw_images_alone(lake: Lake, website: WebServer, closed: PlannedBatch) -> None:
    asked, mapping = len(website.asked), lake.mapping()
    batch = unpacked(closed, encode_quality=40)
    counts = {"ok": 3, "duplicate": 1, "rejected": 1, "unreadable": 0, "kept": 0, "changed": 0}
    assert rebuild(batch) == counts
    assert len(website.asked) == asked
    assert lake.mapping() == mapping
    rows = Staging(lake.bucket, batch).read()[0]
    assert [row["media_id"] for row in rows] == [one.media_id for one in closed.items]
    old = Staging(lake.bucket, closed.batch).read()[0]
    assert all(new["image"] != before["image"] for new, before in zip(rows[:3], old, strict=False))
    assert rows[3]["duplicate_of"] == rows[0]["media_id"]


@pytest.mark.slow
def test_result_names_the_versions_that_made_it(lake: Lake, closed: PlannedBatch) -> None:
    batch = unpacked(closed)
    rebuild(batch)
    staged = Staging(lake.bucket, batch).read_staged()
    assert staged.made_with == Staging(lake.bucket, closed.batch).read_staged().made_with
    assert {"transform_version", "Pillow", "numpy", "simplejpeg"} <= staged.made_with.keys()


def test_second_call_reads_no_raw_image(lake: Lake, closed: PlannedBatch, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = unpacked(closed)
    first = rebuild(batch)
    client_class, method = calls_of_aws()
    make, keys = getattr(client_class, method), []

    def watched(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        keys.append(arguments.get("Key", ""))
        return make(client, operation, arguments)

    monkeypatch.setattr(client_class, method, watched)
    assert rebuild(batch) == first
    assert not [key for key in keys if key.startswith("raw/")]


def test_call_without_enough_time_goes_on_later(lake: Lake, closed: PlannedBatch) -> None:
    batch = unpacked(closed)
    with pytest.raises(BatchDeadlineError, match=r"out of time after 0 of 5 images"):
        rebuild(batch, Context(seconds=lambda: 1.0))
    assert rebuild(batch)["ok"] == 3


def test_row_without_its_raw_image_is_left_out(lake: Lake, closed: PlannedBatch) -> None:
    sha256 = hashlib.sha256(jpeg("red")).hexdigest()
    lake.bucket.put(object_keys.raw_image(sha256), jpeg("green"), "")
    batch = unpacked(closed)
    assert rebuild(batch) == {"ok": 2, "duplicate": 1, "rejected": 1, "unreadable": 1, "kept": 0, "changed": 0}
    assert closed.items[1].media_id not in {row["media_id"] for row in Staging(lake.bucket, batch).rows()}


@pytest.mark.slow
def test_worker_that_died_makes_the_next_one_careful(lake: Lake, closed: PlannedBatch) -> None:
    batch = unpacked(closed)
    lake.bucket.put(object_keys.attempt(batch, 0), b"{}", "application/json")
    assert rebuild(batch)["ok"] == 3


def test_owner_that_others_refer_to_is_not_rejected(lake: Lake, closed: PlannedBatch) -> None:
    """All images are smaller than 100 pixels. The first one has a duplicate."""
    before = lake.mapping()
    batch = unpacked(closed, min_image_size=100)
    assert rebuild(batch) == {"ok": 0, "duplicate": 0, "rejected": 4, "unreadable": 0, "kept": 1, "changed": 3}
    mapping, owners = lake.mapping(), lake.owners()
    ids = [one.media_id for one in closed.items]
    assert mapping[ids[0]] == before[ids[0]]
    assert [mapping[media_id]["status"] for media_id in ids[1:]] == ["rejected"] * 4
    # The rejected copy is linked to its bytes, so that an erasure finds it by them.
    assert mapping[ids[3]]["duplicate_of"] == f"sha256/{hashlib.sha256(jpeg('teal')).hexdigest()}"
    assert owners[hashlib.sha256(jpeg("teal")).hexdigest()]["state"] == "held"
    assert owners[hashlib.sha256(jpeg("red")).hexdigest()]["state"] == "rejected"


@pytest.mark.slow
def test_media_index_is_not_changed_if_the_file_has_changed(lake: Lake, closed: PlannedBatch) -> None:
    batch = unpacked(closed, min_image_size=100)
    key = object_keys.parquet(batch)
    lake.bucket.put(key, lake.bucket.get(key) + b" ", "")
    before = lake.stored()
    with pytest.raises(FileChangedError, match="has changed since the rebuild has read it"):
        rebuild(batch)
    after = lake.stored()
    assert (after["mapping"], after["owners"], after["hashes"]) == (
        before["mapping"],
        before["owners"],
        before["hashes"],
    )
    assert Staging(lake.bucket, batch).counts() is None


def test_entry_that_an_erasure_has_changed_stays(
    lake: Lake, closed: PlannedBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure changes an entry after the file was looked at, and before the rebuild replaces the entry."""
    promoted = closed.items[3].media_id
    batch = unpacked(closed, min_image_size=100)
    find = Bucket.version

    def promote(bucket: Bucket, key: str) -> Any:
        version = find(bucket, key)
        if key == object_keys.parquet(batch):
            entry = lake.mapping()[promoted]
            after = {name: value for name, value in entry.items() if name != "duplicate_of"} | {"status": "ok"}
            lake.media_index.replace(entry, after)
        return version

    monkeypatch.setattr(Bucket, "version", promote)
    with pytest.raises(FileChangedError, match="an entry of batch"):
        rebuild(batch)
    assert lake.mapping()[promoted]["status"] == "ok"


@pytest.mark.slow
def test_entry_that_an_erasure_has_deleted_stays_deleted(lake: Lake, closed: PlannedBatch) -> None:
    batch = unpacked(closed, min_image_size=100)
    gone = closed.items[1].media_id
    lake.media_index._dynamo.delete_item(TableName=lake.media_index._table, Key={"media_id": {"S": gone}})
    rebuild(batch)
    assert gone not in lake.mapping()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "is_compared"), [(512, False), (48, True)])
def test_near_duplicate_is_compared_again_only_if_its_hashes_changed(
    lake: Lake, website: WebServer, size: int, is_compared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat colors are never compared, so these are photos: one, and a copy of it with another quality."""
    urls = [website.put("/one.jpg", photo(1)), website.put("/two.jpg", photo(1, quality=50))]
    planned = keep_plan(lake, plan(item("one", urls[0]), item("two", urls[1])))
    for app in (transform.app, write_parquet.app, map_keys.app):
        app.handler(event("transform", batch=planned.batch), Context())
    before = [(row["duplicate_of"], row["duplicate_kind"]) for row in Staging(lake.bucket, planned.batch).rows()]
    assert before == [(None, None), (planned.items[0].media_id, "whole")]
    compared: list[str] = []

    def watched(rows: list[Any], *_: Any) -> list[Any]:
        compared.extend(row["media_id"] for row in rows)
        return rows

    monkeypatch.setattr("rebuild_images.statuses.mark_near_duplicates", watched)
    rebuild(unpacked(planned, image_size=size))
    assert compared == ([planned.items[1].media_id] if is_compared else [])
