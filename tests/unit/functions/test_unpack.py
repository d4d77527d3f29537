"""Unpack: which rows of a file are planned, with which options, and what says that there is nothing to do."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow.parquet as pq
import pytest

import write_parquet.app
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Status
from imagelake.run.errors import ObjectMissingError, StorageUnavailableError
from imagelake.run.image_option_models import ImageOptions
from imagelake.run.models import PlannedBatch
from imagelake.run.rebuild_models import RebuildPlan, Selected
from tests.support.factories import RUN, Context, event, item, keep_rows, plan, result
from tests.support.fake_lake import Lake
from unpack.app import handler

STATUSES = [Status.OK, Status.FAILED, Status.REJECTED, Status.OK, Status.ERASED]


def keep_file(lake: Lake, *statuses: Status) -> PlannedBatch:
    planned = plan(*(item(f"post-{number}") for number, _ in enumerate(statuses)))
    rows = (result(one, status) for one, status in zip(planned.items, statuses, strict=True))
    keep_rows(lake, planned, *rows)
    write_parquet.app.handler(event("write_parquet", batch=planned.batch), Context())
    lake.bucket.delete(object_keys.open_batch(planned.batch))
    return planned


def unpack(planned: PlannedBatch, **request: Any) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("unpack", batch=planned.batch) | {"rebuild": request}, Context())
    return answer


def plan_of(lake: Lake, answer: dict[str, Any]) -> RebuildPlan:
    batch = event("rebuild_images")["batch"] | answer["batch"]
    return lake.bucket.get_model(object_keys.planned_batch(RebuildPlan(batch=batch, rows=[]).batch), RebuildPlan)


def test_rows_with_a_raw_image_are_planned_in_their_order(lake: Lake) -> None:
    planned = keep_file(lake, *STATUSES)
    answer = unpack(planned)
    assert (answer["status"], answer["batch"]["items"]) == ("planned", 3)
    rows = plan_of(lake, answer).rows
    expected = [result(planned.items[number], STATUSES[number]) for number in (0, 2, 3)]
    for row, old in zip(rows, expected, strict=True):
        assert row == {name: value for name, value in old.items() if name not in ("image", "tensor")}
    selected = lake.bucket.get_model(object_keys.rebuild_selection(RUN.run_id, planned.batch.batch_id), Selected)
    assert selected == Selected(rows=3, raw_bytes=3000)


def test_options_of_the_request_come_before_those_of_the_row(lake: Lake) -> None:
    planned = keep_file(lake, Status.OK)
    (row,) = plan_of(lake, unpack(planned, image_size=128, tensor="uint8")).rows
    assert json.loads(row["image_options"]) == ImageOptions(image_size=128, tensor="uint8").image_options


def test_tensor_of_the_row_is_taken_away(lake: Lake) -> None:
    """The options are those of an image that never had a tensor, because equal options give equal bytes."""
    planned = keep_file(lake, Status.OK)
    (row,) = plan_of(lake, unpack(planned, tensor="none")).rows
    assert row["image_options"] == ImageOptions().image_options_json


def test_plan_is_of_one_version_of_the_file(lake: Lake) -> None:
    planned = keep_file(lake, Status.OK)
    version = lake.bucket.version(object_keys.parquet(planned.batch))
    assert version is not None
    batch = unpack(planned)["batch"]
    assert (batch["read_etag"], batch["rebuilt_by"]) == (version.etag.strip('"'), RUN.run_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statuses", "request_"),
    [
        ([Status.FAILED, Status.ERASED], {}),
        ([Status.OK], {"feeds": ["bluesky:other.example"]}),
        ([Status.OK], {"transform_version_below": 1}),
        ([Status.OK, Status.REJECTED], {"error_codes": ["too_small"]}),
        ([Status.OK], {"dry_run": True}),
    ],
    ids=str,
)
def test_nothing_to_do(lake: Lake, statuses: list[Status], request_: dict[str, Any]) -> None:
    planned = keep_file(lake, *statuses)
    assert unpack(planned, **request_)["status"] == "nothing"
    assert lake.bucket.list("work/rebuild/plans/") == []
    assert len(lake.bucket.list("work/rebuild/selected/")) == 1


def test_suppressed_row_is_not_planned(lake: Lake) -> None:
    planned = keep_file(lake, Status.OK, Status.OK)
    lake.suppress(("media", planned.items[0].media_id))
    assert [row["media_id"] for row in plan_of(lake, unpack(planned)).rows] == [planned.items[1].media_id]


def test_file_that_is_gone_is_an_error(lake: Lake) -> None:
    with pytest.raises(ObjectMissingError, match="does not exist"):
        unpack(plan(item("one")))


def test_file_that_changes_again_and_again_is_a_transient_error(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = keep_file(lake, Status.OK)
    key = object_keys.parquet(planned.batch)
    find = Bucket.version

    def change(bucket: Bucket, asked: str) -> Any:
        version = find(bucket, asked)
        bucket.put(key, lake.bucket.get(key) + b" ", "")
        return version

    monkeypatch.setattr(Bucket, "version", change)
    with pytest.raises(StorageUnavailableError, match="changed 5 times"):
        unpack(planned)


def test_file_of_older_code_lacks_columns(lake: Lake) -> None:
    """The columns that files have had from the first version on are those of the post, status and raw image."""
    planned = keep_file(lake, Status.OK)
    key = object_keys.parquet(planned.batch)
    missing = [
        "license",
        "duplicate_distance",
        "duplicate_kind",
        "view_hashes",
        "tensor",
        "image_options",
        "transform_version",
    ]
    older = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(lake.bucket.get(key))).drop_columns(missing), older)
    lake.bucket.put(key, older.getvalue(), "")
    (row,) = plan_of(lake, unpack(planned, transform_version_below=2)).rows
    assert row["license"] is row["view_hashes"] is row["transform_version"] is None
    assert row["image_options"] == ImageOptions().image_options_json


def test_file_of_an_open_batch_waits_for_its_run(lake: Lake) -> None:
    """Map Keys would map the rows as they were staged, so a rebuild of them has to come after it."""
    planned = keep_file(lake, Status.OK, Status.REJECTED)
    lake.bucket.put_json(object_keys.open_batch(planned.batch), planned.model_dump(mode="json"))
    with pytest.raises(StorageUnavailableError, match=f"batch {planned.batch.batch_id} is open"):
        unpack(planned)
    # It waits for nothing if there is nothing to do.
    assert unpack(planned, dry_run=True)["status"] == "nothing"
    assert unpack(planned, transform_version_below=1)["status"] == "nothing"
    lake.bucket.delete(object_keys.open_batch(planned.batch))
    assert unpack(planned)["status"] == "planned"


def test_file_waits_for_its_own_batch_alone(lake: Lake) -> None:
    planned, other = keep_file(lake, Status.OK), plan(item("other"))
    lake.bucket.put_json(object_keys.open_batch(other.batch), other.model_dump(mode="json"))
    assert unpack(planned)["status"] == "planned"
