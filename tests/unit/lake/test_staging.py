"""Staging: rows and images come back as they were written, whole or in parts, and apart if asked for."""

from __future__ import annotations

import pytest

from imagelake.lake import object_keys
from imagelake.lake.rows import Row, Status
from imagelake.lake.staging import Staging
from imagelake.run.aws import client
from imagelake.run.errors import ObjectMissingError
from tests.support.factories import item, plan, result
from tests.support.fake_lake import BUCKET, Lake

BATCH = plan(item("one"), item("two"), item("three")).batch


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
    assert staging.rows_with_images() == some_rows()
    assert lake.bucket.list("work/") == [object_keys.images(BATCH), object_keys.rows(BATCH)]
    images = client("s3").head_object(Bucket=BUCKET, Key=object_keys.images(BATCH))
    assert images["ContentType"] == "application/octet-stream"


def test_rows_say_where_their_images_are(lake: Lake, staging: Staging) -> None:
    staging.write(some_rows())
    first, second, third = staging.rows()
    images = lake.bucket.get(object_keys.images(BATCH))
    size = images.index(b"numbers")
    assert first["image"] == {"offset": 0, "length": size, "path": "bluesky/alice/one/0.jpg"}
    assert first["tensor"] == {"offset": size, "length": 7}
    assert second["image"] is second["tensor"] is third["tensor"] is None
    assert third["image"] == {"offset": size + 7, "length": len(images) - size - 7, "path": "bluesky/alice/three/0.jpg"}


def test_one_image_is_read_alone(staging: Staging) -> None:
    staging.write(some_rows())
    image = some_rows()[2]["image"]
    assert image is not None
    assert staging.read_image(staging.rows()[2]) == image["bytes"]


def test_counts_when_nothing_is_staged(staging: Staging) -> None:
    assert staging.counts() is None
    with pytest.raises(ObjectMissingError):
        staging.rows()


def test_counts_are_the_same_when_they_are_read(staging: Staging) -> None:
    assert staging.write(some_rows()) == staging.counts()
    assert staging.write([]) == staging.counts() == dict.fromkeys(Status, 0)


def test_batch_is_not_staged_before_its_rows_are_there(
    lake: Lake, staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(lake.bucket, "put_lines", fail)
    with pytest.raises(RuntimeError):
        staging.write(some_rows())
    assert lake.bucket.exists(object_keys.images(BATCH))
    assert staging.counts() is None


def test_parts_come_back_in_order(lake: Lake, staging: Staging) -> None:
    rows = some_rows()
    staging.save_part(rows[:2], 0)
    staging.save_part(rows[2:], 2)
    assert staging.load_parts() == rows
    assert staging.counts() is None, "parts are not the batch"
    staging.drop_parts()
    assert staging.load_parts() == []
    assert lake.bucket.list("work/") == []
