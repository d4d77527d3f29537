"""Write Parquet: one file per batch, with exact types, and images as they are."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from imagelake.lake import object_keys
from imagelake.lake.dataset_file import is_made_from, read_version, write_file
from imagelake.lake.rows import COLUMNS, Row, Status, tombstone
from imagelake.lake.staging import Staging
from imagelake.run.errors import (
    DamagedObjectError,
    FileChangedError,
    ObjectMissingError,
    StorageDeniedError,
    StorageUnavailableError,
)
from imagelake.run.models import PlannedBatch
from imagelake.run.posts import Item
from parquet.table import read, read_without_images, replace_rows, to_parquet, to_table
from tests.support.factories import Context, decide, event, item, jpeg, keep_rows, plan, result, stage
from tests.support.fake_lake import Lake
from tests.support.watched_calls import watch
from write_parquet.app import handler

_FEATURES: dict[str, Any] = {
    "mean_rgb": [1.5, 2.5, 255.0],
    "brightness": 0.5,
    "dominant_colors": ["#ffffff"],
    "thumbhash": "abc=",
    "phash": -(2**63) + 1,
    "dhash": 2**62 + 1,
    "view_hashes": [0, -(2**63), 2**62 + 1],
    "width": 64,
    "height": 48,
}


def write(planned: PlannedBatch) -> dict[str, Any]:
    answer: dict[str, Any] = handler(event("write_parquet", batch=planned.batch), Context())
    return answer


def file_of(lake: Lake, planned: PlannedBatch) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(lake.bucket.get(object_keys.parquet(planned.batch))))


def one_of_each(lake: Lake) -> PlannedBatch:
    planned = plan(*(item(status) for status in Status))
    results = [result(one, status, **_FEATURES) for one, status in zip(planned.items, Status, strict=True)]
    for row in results[1:]:
        row.update(dict.fromkeys(_FEATURES))  # type: ignore[typeddict-item]
    return keep_rows(lake, planned, *results)


def test_file_is_one_object_under_the_batch(lake: Lake) -> None:
    planned = one_of_each(lake)
    key = f"lake/images/source=bluesky/dt=2026-04-01/{planned.batch.batch_id}.parquet"
    assert write(planned) == {"key": key, "rows": 5}
    assert lake.bucket.list("lake/") == [key]


def test_columns_have_the_types_of_the_contract(lake: Lake) -> None:
    planned = one_of_each(lake)
    write(planned)
    schema = file_of(lake, planned).schema_arrow
    assert schema.names == [column.name for column in COLUMNS]
    types = {
        "string": pa.string(),
        "binary": pa.binary(),
        "int": pa.int32(),
        "bigint": pa.int64(),
        "float": pa.float32(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"),
        "array<string>": pa.list_(pa.string()),
        "array<float>": pa.list_(pa.float32()),
        "array<bigint>": pa.list_(pa.int64()),
        "struct<bytes:binary,path:string>": pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    }
    for column in COLUMNS:
        read = schema.field(column.name).type
        if column.name in ("source", "dt"):
            # The type that pyarrow and pandas take from the path, which is ``source=.../dt=.../``.
            assert read == pa.dictionary(pa.int32(), pa.string())
            continue
        # Arrow calls the element of a list "item" or "element".
        assert read.equals(types[column.type]) or read.value_type == types[column.type].value_type, column


def test_columns_of_the_path_are_text_for_readers_that_do_not_know_arrow(lake: Lake) -> None:
    """Athena reads the type of Parquet. A dictionary is only an encoding there.

    https://parquet.apache.org/docs/file-format/data-pages/encodings/
    """
    planned = one_of_each(lake)
    write(planned)
    columns = file_of(lake, planned).schema
    for column in (columns.column(number) for number in range(len(columns))):
        if column.name in ("source", "dt", "feed"):
            assert (column.physical_type, str(column.logical_type)) == ("BYTE_ARRAY", "String")


def test_rows_are_those_that_were_staged(lake: Lake) -> None:
    planned = one_of_each(lake)
    write(planned)
    rows = file_of(lake, planned).read().to_pylist()
    staged = Staging(lake.bucket, planned.batch).read()[0]
    for row, expected in zip(rows[:4], staged[:4], strict=True):
        assert row == expected | {"posted_at": datetime(2026, 4, 1, 12)}
    assert rows[4] == tombstone(staged[4])
    assert rows[0]["image"] == {"bytes": jpeg(), "path": "57a1567f776789ed6615bd06eb17e9bc.jpg"}
    assert [row["image"] for row in rows[1:]] == [None, None, None, None]


def test_times_are_utc_to_the_microsecond(lake: Lake) -> None:
    times = ["2026-04-01T12:00:00.123456+02:00", "1970-01-01T00:00:00Z", "2200-12-31T23:59:59.5Z"]
    planned = plan(*(item(str(number)) for number in range(3)))
    keep_rows(lake, planned, *(result(one, posted_at=t) for one, t in zip(planned.items, times, strict=True)))
    write(planned)
    assert file_of(lake, planned).read(["posted_at"]).column(0).to_pylist() == [
        datetime(2026, 4, 1, 10, 0, 0, 123456),
        datetime(1970, 1, 1),
        datetime(2200, 12, 31, 23, 59, 59, 500000),
    ]


@pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED, Status.DUPLICATE])
def test_columns_when_they_are_all_null(lake: Lake, status: Status) -> None:
    planned = plan(item("one", author_name=None), item("two", author_name=None))
    write(keep_rows(lake, planned, *(result(one, status) for one in planned.items)))
    table = file_of(lake, planned).read()
    assert table.num_rows == 2
    assert table.column("image").null_count == table.column("phash").null_count == 2


def test_row_groups_hold_500_rows_at_most(lake: Lake) -> None:
    planned = plan(*(item(f"p{number}") for number in range(501)))
    stage(lake, planned.batch, *map(result, planned.items))
    write(planned)
    metadata = file_of(lake, planned).metadata
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [500, 1]


def test_row_group_is_one_for_a_default_batch(lake: Lake) -> None:
    planned = plan(*(item(f"p{number}") for number in range(250)))
    stage(lake, planned.batch, *map(result, planned.items))
    write(planned)
    assert file_of(lake, planned).metadata.num_row_groups == 1


def test_images_are_neither_compressed_nor_in_a_dictionary(lake: Lake) -> None:
    planned = one_of_each(lake)
    write(planned)
    group = file_of(lake, planned).metadata.row_group(0)
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(group.num_columns)}
    image = columns["image.bytes"]
    assert image.compression == "UNCOMPRESSED"
    assert not {encoding for encoding in image.encodings if "DICTIONARY" in encoding}
    assert any("DICTIONARY" in encoding for encoding in columns["source"].encodings)


def test_schema_tells_hugging_face_which_column_is_an_image(lake: Lake) -> None:
    planned = one_of_each(lake)
    write(planned)
    features = json.loads(file_of(lake, planned).schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == [column.name for column in COLUMNS]
    assert features["image"] == {"_type": "Image"}
    assert features["posted_at"] == {"_type": "Value", "dtype": "timestamp[us]"}
    assert features["tags"] == {"_type": "Sequence", "feature": {"_type": "Value", "dtype": "string"}}


def test_same_call_again_leaves_the_same_objects(lake: Lake) -> None:
    planned = one_of_each(lake)
    answer, stored = write(planned), lake.stored()
    assert write(planned) == answer
    assert lake.stored() == stored


def test_no_file_when_there_are_no_rows(lake: Lake) -> None:
    planned = plan(item("theirs"))
    lake.media_index.claim([item("theirs").media_id], "another batch")
    Staging(lake.bucket, planned.batch).write([])
    assert write(planned)["rows"] == 0
    assert lake.bucket.list("lake/") == []


def test_error_when_nothing_is_staged(lake: Lake) -> None:
    with pytest.raises(ObjectMissingError, match=r"work/staged/\w+\.jsonl does not exist"):
        write(plan(item("one")))


def test_error_when_the_file_may_not_be_written(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")

    planned = one_of_each(lake)
    monkeypatch.setattr(lake.bucket._s3, "put_object", refuse)
    with pytest.raises(
        StorageDeniedError, match=rf"PutObject on {object_keys.parquet(planned.batch)}: AccessDenied: no"
    ):
        write(planned)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lacking",
    [[], ["duplicate_distance", "is_dark", "license", "mean_rgb"]],
    ids=["new file", "file of a version before"],
)
def test_retried_rows_take_the_places_of_those_that_failed(lake: Lake, lacking: list[str]) -> None:
    statuses = [*Status, Status.ERASED]
    planned = plan(*(item(str(number)) for number in range(len(statuses))))
    results = [result(one, status) for one, status in zip(planned.items, statuses, strict=True)]
    results[0]["tensor"] = b"numbers"
    write(keep_rows(lake, planned, *results))
    columns, before = file_of(lake, planned).schema_arrow, file_of(lake, planned).read().to_pylist()
    assert before[0]["tensor"] == b"numbers"
    old = file_of(lake, planned).read().drop_columns(lacking)
    if lacking:
        as_text = [pa.field(one.name, pa.string()) if one.name in ("source", "dt") else one for one in old.schema]
        old = old.cast(pa.schema(as_text))
    body = io.BytesIO()
    pq.write_table(old, body)
    lake.bucket.put(object_keys.parquet(planned.batch), body.getvalue(), "")
    failed = planned.items[3]
    batch = planned.batch.model_copy(update={"items": 1, "retried_by": "retry-1"})
    again = planned.model_copy(update={"batch": batch, "items": [failed]})
    stage(lake, batch, result(failed, **_FEATURES))
    assert write(again) == write(again) == {"key": object_keys.parquet(planned.batch), "rows": 1}
    file = file_of(lake, planned)
    after = file.read().to_pylist()
    assert (after[:3], after[4:]) == (before[:3], before[4:])
    assert (before[3]["status"], after[3]["status"]) == ("failed", "ok")
    assert after[3]["image"]["bytes"] == jpeg()
    assert after[3]["phash"] == _FEATURES["phash"]
    assert file.schema_arrow.equals(columns, check_metadata=True)


def staged_anew(lake: Lake, planned: PlannedBatch, **changes: Any) -> list[str | None]:
    """Replace the staged rows of a batch, as after damage; returns the captions of its file before."""
    lake.bucket.delete(object_keys.staged(planned.batch))
    stage(lake, planned.batch, *(result(one, **changes) for one in planned.items))
    captions: list[str | None] = file_of(lake, planned).read(["caption"]).column(0).to_pylist()
    return captions


def test_file_of_another_staged_result_is_replaced(lake: Lake) -> None:
    planned = keep_rows(lake, plan(item("one")))
    write(planned)
    assert staged_anew(lake, planned, caption="new") == ["A cat"]
    assert write(planned)["rows"] == 1
    assert file_of(lake, planned).read(["caption"]).column(0).to_pylist() == ["new"]


def test_late_worker_does_not_undo_a_newer_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = keep_rows(lake, plan(item("one")))

    def write_first(table: pd.DataFrame, made_with: Any) -> bytes:
        # While this worker makes its file, another one finds newer rows and writes their file.
        monkeypatch.undo()
        body = to_parquet(table, made_with)
        write(planned)
        staged_anew(lake, planned, caption="new")
        write(planned)
        return body

    monkeypatch.setattr("write_parquet.file.to_parquet", write_first)
    write(planned)
    assert file_of(lake, planned).read(["caption"]).column(0).to_pylist() == ["new"]


def test_file_keeps_a_retry_when_the_first_worker_comes_late(lake: Lake) -> None:
    planned = keep_rows(lake, plan(item("one")), result(item("one"), Status.FAILED))
    write(planned)
    batch = planned.batch.model_copy(update={"retried_by": "retry-1"})
    stage(lake, batch, result(item("one")))
    write(planned.model_copy(update={"batch": batch}))
    stored = lake.stored()
    write(planned)
    assert lake.stored() == stored
    version = read_version(lake.bucket, planned.batch)
    assert version is not None
    for one in (planned.batch, batch):
        assert is_made_from(version, Staging(lake.bucket, one).read_rows()[1])


def retried(lake: Lake, planned: PlannedBatch, run_id: str, one: Item, **changes: Any) -> PlannedBatch:
    """Stage the rows of a run that retries one item of a batch."""
    batch = planned.batch.model_copy(update={"items": 1, "retried_by": run_id})
    stage(lake, batch, result(one, **changes))
    return planned.model_copy(update={"batch": batch, "items": [one]})


@pytest.mark.slow
@pytest.mark.parametrize("size", [1000, 6_000_000], ids=["small", "above 5 MB"])
def test_second_of_two_retries_is_refused_and_reads_the_file_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    image = {"bytes": random.Random(size).randbytes(size), "path": "a.jpg"}
    items = [item("one"), item("two")]
    planned = plan(*items)
    write(keep_rows(lake, planned, *(result(each, Status.FAILED) for each in items)))
    first, second = (retried(lake, planned, f"retry-{each.post_id}", each, image=image) for each in items)
    puts = watch(monkeypatch, "PutObject")

    def write_first(table: pd.DataFrame, made_with: Any) -> bytes:
        # After this worker has read the file, another one changes it.
        monkeypatch.setattr("write_parquet.file.to_parquet", to_parquet)
        write(first)
        return to_parquet(table, made_with)

    monkeypatch.setattr("write_parquet.file.to_parquet", write_first)
    write(second)
    assert puts == ["PutObject", "PreconditionFailed", "PutObject"]
    rows = file_of(lake, planned).read(["status", "image"]).to_pylist()
    assert rows == [{"status": "ok", "image": image}] * 2


@pytest.mark.slow
def test_first_of_two_new_files_stays_when_it_is_above_5_mb(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    image = {"bytes": random.Random(5).randbytes(6_000_000), "path": "a.jpg"}
    planned = keep_rows(lake, plan(item("one")), result(item("one"), image=image))
    write(planned)
    stored, puts = lake.stored(), watch(monkeypatch, "PutObject", "CreateMultipartUpload")
    assert write(planned)["rows"] == 1
    assert (lake.stored(), puts) == (stored, ["PreconditionFailed"])


@pytest.mark.parametrize("reader", [read_without_images, read])
def test_file_that_changes_while_a_retry_reads_it_is_read_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, reader: Any
) -> None:
    planned = plan(item("one"), item("two"), item("three"))
    statuses = (Status.FAILED, Status.FAILED, Status.OK)
    write(keep_rows(lake, planned, *map(result, planned.items, statuses)))
    first, second = (retried(lake, planned, f"retry-{each.post_id}", each) for each in planned.items[:2])

    def write_first(*call: Any) -> pd.DataFrame | None:
        monkeypatch.undo()
        write(first)
        return reader(*call)

    monkeypatch.setattr(f"write_parquet.file.{reader.__name__}", write_first)
    write(second)
    assert file_of(lake, planned).read(["status"]).column(0).to_pylist() == ["ok", "ok", "ok"]


# ---- Memory ----------------------------------------------------------------------------------------------------------

TENSOR_BYTES = 602_112


def with_tensors(number: int) -> pd.DataFrame:
    """A table of rows with a tensor of ``float32`` each, which are the largest that a rebuild adds."""
    tensor = random.Random(1).randbytes(TENSOR_BYTES)
    return to_table([result(item(f"post-{index}"), tensor=tensor) for index in range(number)])


@contextmanager
def watched_memory() -> Iterator[pa.MemoryPool]:
    """Arrow's memory from now on."""
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    try:
        yield pool
    finally:
        pa.set_memory_pool(usual)


def test_file_is_written_without_a_copy_of_its_images() -> None:
    """Write Parquet has 1769 MB, and a rebuild with tensors makes 361 MB of a default file of 60 MB."""
    table = with_tensors(100)
    with watched_memory() as pool:
        body = to_parquet(table)
        assert pool.max_memory() < 0.4 * len(body)
    assert len(body) > 100 * TENSOR_BYTES


def test_rows_are_replaced_without_a_copy_of_their_images() -> None:
    table, new = with_tensors(100), with_tensors(60).iloc[::-1]
    with watched_memory() as pool:
        replaced = replace_rows(table, new)
        assert pool.max_memory() < TENSOR_BYTES
    assert [*replaced["media_id"]] == [*table["media_id"]]


def test_images_that_a_rebuild_replaces_are_not_read(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan(item("one"), item("two"))
    write(keep_rows(lake, planned, result(planned.items[0], Status.FAILED), result(planned.items[1])))
    monkeypatch.setattr("write_parquet.file.read", lambda *_: pytest.fail("the whole file was read"))
    write(with_versions(lake, rebuilt(lake, planned), "5", result(planned.items[1], caption="new")))
    rows = file_of(lake, planned).read(["status", "caption"]).to_pylist()
    assert [row["status"] for row in rows] == ["failed", "ok"]


def test_error_when_the_file_that_a_retry_changes_is_gone(lake: Lake) -> None:
    planned = plan(item("one"))
    with pytest.raises(ObjectMissingError, match=f"{object_keys.parquet(planned.batch)} does not exist"):
        write(retried(lake, planned, "retry-1", item("one")))


@pytest.mark.parametrize("keep", [slice(0, -5), slice(1000, None)])
def test_error_when_the_file_that_a_retry_changes_is_damaged(lake: Lake, keep: slice) -> None:
    planned = keep_rows(lake, plan(item("one")))
    write(planned)
    key = object_keys.parquet(planned.batch)
    lake.bucket.put(key, lake.bucket.get(key)[keep], "")
    with pytest.raises(DamagedObjectError, match=f"{key} is damaged: "):
        write(retried(lake, planned, "retry-1", item("one")))


def test_error_when_another_worker_is_always_first(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = one_of_each(lake)
    monkeypatch.setattr("write_parquet.file.write_file", lambda *_: False)
    with pytest.raises(StorageUnavailableError, match=r"\.parquet: 5 times another worker was first"):
        write(planned)


def test_error_when_an_image_is_damaged(lake: Lake) -> None:
    planned = one_of_each(lake)
    key = object_keys.part(planned.batch, 0)
    lake.bucket.put(key, b"?" + lake.bucket.get(key)[1:], "")
    with pytest.raises(DamagedObjectError, match=f"in {key} do not match their checksum"):
        write(planned)
    assert lake.bucket.list("lake/") == []


def test_file_names_its_first_rows_after_many_retries(lake: Lake) -> None:
    planned = plan(item("one"))
    assert write_file(lake.bucket, planned.batch, b"PAR1", "first" * 12, None)
    retried = planned.batch.model_copy(update={"retried_by": "retry"})
    for number in range(40):
        before = read_version(lake.bucket, retried)
        assert write_file(lake.bucket, retried, b"PAR1", f"{number:064}", before)
    version = read_version(lake.bucket, retried)
    assert version is not None
    assert is_made_from(version, "first" * 12)
    assert is_made_from(version, f"{39:064}")
    assert not is_made_from(version, f"{1:064}")
    assert len(str(version.metadata)) < 2048


def test_retry_that_is_erased_takes_the_place_of_the_failed_row(lake: Lake) -> None:
    planned = plan(item("one"), item("two"))
    write(keep_rows(lake, planned, *(result(each, Status.FAILED) for each in planned.items)))
    before = file_of(lake, planned).read().to_pylist()
    write(retried(lake, planned, "retry-1", item("one"), status=Status.ERASED))
    after = file_of(lake, planned).read().to_pylist()
    assert after[1] == before[1]
    assert {name for name, value in after[0].items() if value is not None} == {
        "source", "status", "run_id", "transform_version", "image_options", "dt",
    }  # fmt: skip
    assert after[0]["status"] == "erased"


@pytest.mark.parametrize("name", [("author", "bluesky", "did:plc:bob"), ("media", "bluesky/alice/gone/0")])
def test_rows_on_the_suppression_list_are_tombstones(lake: Lake, name: tuple[str, ...]) -> None:
    planned = plan(item("one"), item("gone", author_id="did:plc:bob"), item("two"))
    keep_rows(lake, planned, *(result(one, **_FEATURES, tensor=b"numbers") for one in planned.items))
    other = one_of_each(lake)
    write(other)
    lake.suppress(name)
    write(planned)
    rows = file_of(lake, planned).read().to_pylist()
    assert rows[1] == tombstone(rows[0])
    assert [row["status"] for row in rows] == ["ok", "erased", "ok"]
    assert b"did:plc:bob" not in lake.bucket.get(object_keys.parquet(planned.batch))
    assert file_of(lake, planned).schema_arrow.equals(file_of(lake, other).schema_arrow, check_metadata=True)


def test_retry_makes_tombstones_of_earlier_rows_on_the_suppression_list(lake: Lake) -> None:
    planned = plan(*(item(name) for name in ("one", "gone", "two")))
    write(keep_rows(lake, planned, result(item("one")), result(item("gone")), result(item("two"), Status.FAILED)))
    before = file_of(lake, planned).read().to_pylist()
    sha256 = before[1]["raw_sha256"]
    lake.suppress(("image", sha256))
    write(retried(lake, planned, "retry-1", item("two")))
    after = file_of(lake, planned).read().to_pylist()
    assert [row["status"] for row in after] == ["ok", "erased", "ok"]
    assert (after[0], after[1]) == (before[0], tombstone(before[1]))


# ---- Rebuilds --------------------------------------------------------------------------------------------------------


def made_with(lake: Lake, planned: PlannedBatch) -> list[dict[str, str]]:
    """The versions in the metadata of a file."""
    metadata = file_of(lake, planned).schema_arrow.metadata
    found: list[dict[str, str]] = json.loads(metadata[b"imagelake"])["made_with"]
    return found


def with_versions(lake: Lake, planned: PlannedBatch, version: str, *rows: Row) -> PlannedBatch:
    staged = decide(lake, planned.batch, *rows)
    Staging(lake.bucket, planned.batch).write(staged, made_with={"Pillow": version})
    return planned


def rebuilt(lake: Lake, planned: PlannedBatch, name: str = "rebuild-1") -> PlannedBatch:
    """A rebuild of the file as it is now."""
    version = lake.bucket.version(object_keys.parquet(planned.batch))
    assert version is not None
    changes = {"rebuilt_by": name, "read_etag": version.etag.strip('"')}
    return planned.model_copy(update={"batch": planned.batch.model_copy(update=changes)})


def test_file_names_the_versions_that_made_its_images(lake: Lake) -> None:
    planned = plan(item("one"))
    write(with_versions(lake, planned, "13", result(planned.items[0])))
    assert made_with(lake, planned) == [{"Pillow": "13"}]


def test_file_that_keeps_older_images_has_the_versions_of_both(lake: Lake) -> None:
    planned = plan(item("one"), item("two"))
    write(with_versions(lake, planned, "13", *map(result, planned.items)))
    write(with_versions(lake, rebuilt(lake, planned), "14", result(planned.items[0])))
    assert made_with(lake, planned) == [{"Pillow": "14"}, {"Pillow": "13"}]
    write(with_versions(lake, rebuilt(lake, planned, "rebuild-2"), "15", *map(result, planned.items)))
    assert made_with(lake, planned) == [{"Pillow": "15"}]


def test_footer_larger_than_the_first_read_is_read_to_its_end(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("parquet.table._FOOTER_BYTES", 100)
    test_file_that_keeps_older_images_has_the_versions_of_both(lake)


def test_file_of_older_code_has_no_versions(lake: Lake) -> None:
    planned = plan(item("one"), item("two"))
    write(keep_rows(lake, planned))
    assert made_with(lake, planned) == []
    write(with_versions(lake, rebuilt(lake, planned), "14", result(planned.items[0])))
    assert made_with(lake, planned) == [{"Pillow": "14"}]


def test_rebuild_of_a_file_that_has_changed_is_refused(lake: Lake) -> None:
    planned = plan(item("one"), item("two"))
    write(with_versions(lake, planned, "13", *map(result, planned.items)))
    first, second = (rebuilt(lake, planned, name) for name in ("rebuild-1", "rebuild-2"))
    for one in (first, second):
        with_versions(lake, one, "14", result(planned.items[0]))
    write(first)
    stored = lake.bucket.get(object_keys.parquet(planned.batch))
    with pytest.raises(FileChangedError, match="has changed since the rebuild has read it"):
        write(second)
    assert lake.bucket.get(object_keys.parquet(planned.batch)) == stored
    # The first one is done, whoever asks again.
    assert write(first)["rows"] == 1


def test_rebuild_of_a_file_that_is_gone_is_refused(lake: Lake) -> None:
    planned = plan(item("one"))
    write(with_versions(lake, planned, "13", result(planned.items[0])))
    again = with_versions(lake, rebuilt(lake, planned), "14", result(planned.items[0]))
    lake.bucket.delete(object_keys.parquet(planned.batch))
    with pytest.raises(FileChangedError):
        write(again)


def test_late_worker_of_the_first_run_does_not_undo_a_rebuild(lake: Lake) -> None:
    planned = plan(item("one"))
    write(with_versions(lake, planned, "13", result(planned.items[0])))
    write(with_versions(lake, rebuilt(lake, planned), "14", result(planned.items[0], width=7)))
    stored = lake.bucket.get(object_keys.parquet(planned.batch))
    assert write(planned)["rows"] == 1
    assert lake.bucket.get(object_keys.parquet(planned.batch)) == stored
