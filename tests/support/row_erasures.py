"""Erasures for tests of Erase Rows: one batch carried into the dataset, one call, and what is still stored."""

from __future__ import annotations

import io
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from aws_lambda_powertools.utilities.typing import LambdaContext

import map_keys.app
import write_parquet.app
from erase_rows.app import handler
from imagelake.lake import object_keys
from imagelake.lake.bucket import Bucket
from imagelake.lake.rows import Row, Status
from imagelake.lake.staging import Staging
from imagelake.run.aws import client
from imagelake.run.erasure_models import FileChanges
from imagelake.run.models import PlannedBatch
from tests.support.erasures import delete_older_versions
from tests.support.factories import Context, event, item, keep_rows, plan, result
from tests.support.fake_lake import BUCKET, Lake

ERASURE = {
    "erasure_id": "e1",
    "execution_arn": "arn:aws:states:us-east-1:123456789012:execution:Erasure:one",
    "started_at": "2026-04-02T00:00:00Z",
    "reason": "author_request",
    "reference": "ticket 1",
    "dry_run": False,
}
BOB = "did:plc:bob"
SHA256 = "ab" * 32
FEATURES: dict[str, Any] = {
    "tensor": b"numbers of bob's image",
    "content_type": "image/jpeg",
    "mean_rgb": [0.1, 2.5, 255.0],
    "brightness": 0.1,
    "dominant_colors": ["#ffffff", "#000000"],
    "phash": -(2**63) + 1,
    "view_hashes": [0, -(2**63), 2**62 + 1],
    "width": 64,
    "height": 48,
    "is_dark": True,
}


def keep_versions() -> None:
    """Keep all versions of objects, as the bucket of the stack does."""
    client("s3").put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})


def erase_rows(lake: Lake, step: str, changes: FileChanges, erasure_id: str = "e1") -> dict[str, Any]:
    """Call Erase Rows with the changes of one file."""
    lake.bucket.put_json(object_keys.erasure_list(erasure_id, "files/0"), changes.model_dump())
    request = {"erasure": ERASURE | {"erasure_id": erasure_id}, "step": step, "number": 0}
    answer: dict[str, Any] = handler(request, cast(LambdaContext, Context()))
    return answer


def finish(planned: PlannedBatch) -> None:
    """Carry a staged batch into the dataset and close it."""
    for app, name in ((write_parquet.app, "write_parquet"), (map_keys.app, "map_keys")):
        app.handler(event(name, batch=planned.batch), Context())


def close(lake: Lake, *rows: Row, **batch: str) -> PlannedBatch:
    """Make a batch of rows and close it."""
    items = [item(row["post_id"], author_id=row["author_id"]) for row in rows]
    planned = plan(*items, **batch)
    keep_rows(lake, planned, *(cast(Row, {**row, "dt": planned.batch.dt}) for row in rows))
    finish(planned)
    owners = {row["raw_sha256"]: row["media_id"] for row in rows if row["image"] is not None and row["raw_sha256"]}
    lake.media_index.own(owners)
    return planned


def of_bob(name: str, **changes: Any) -> Row:
    """A row of Bob, with his image and an id, texts and numbers by which he could be found."""
    bob = item(name, author_id=BOB, author_name="Bob", caption="bob's words", tags=["bob"], alt_text="bob's cat")
    return result(bob, **{"raw_sha256": SHA256, "raw_key": object_keys.raw_image(SHA256), **FEATURES, **changes})


def copy_of(original: Row, name: str, **changes: Any) -> Row:
    """The row of Alice's post that shows the same bytes."""
    same = {key: original[key] for key in ("raw_key", "raw_sha256", "raw_bytes")}
    kind = {"duplicate_of": original["media_id"], "duplicate_distance": 0, "duplicate_kind": "bytes"}
    return result(item(name), Status.DUPLICATE, **{**same, **kind, **changes})


def file_of(lake: Lake, planned: PlannedBatch) -> pq.ParquetFile:
    """The dataset file of a batch."""
    return pq.ParquetFile(pa.BufferReader(lake.bucket.get(object_keys.parquet(planned.batch))))


def rows_of(lake: Lake, planned: PlannedBatch) -> list[Any]:
    """The rows in the dataset file of a batch."""
    rows: list[Any] = file_of(lake, planned).read().to_pylist()
    return rows


def staged_rows(lake: Lake, planned: PlannedBatch) -> list[Any]:
    """The staged rows of a batch, with their images."""
    return Staging(lake.bucket, planned.batch).read()[0]


def traces(*words: str) -> set[str]:
    """The keys of all objects, in any version that the end of an erasure leaves, that have one of these words.

    The erasure's own objects are left out.
    """
    delete_older_versions(Bucket(BUCKET))
    return traces_before(*words)


def traces_before(*words: str) -> set[str]:
    """The same for all versions that there are."""
    s3 = client("s3")
    found = set()
    for one in s3.list_object_versions(Bucket=BUCKET).get("Versions", []):
        body = s3.get_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])["Body"].read()
        if not one["Key"].startswith("work/erasures/") and any(word.encode() in body for word in words):
            found.add(one["Key"])
    return found


def without_columns(lake: Lake, planned: PlannedBatch, *names: str) -> None:
    """Make the file of a batch one of an older version, which lacks columns and has text in those of the path."""
    key = object_keys.parquet(planned.batch)
    body, version = lake.bucket.get_with_version(key)
    old = pq.read_table(io.BytesIO(body)).drop_columns(list(names))
    as_text = [pa.field(one.name, pa.string()) if one.name in ("source", "dt") else one for one in old.schema]
    out = io.BytesIO()
    pq.write_table(old.cast(pa.schema(as_text, metadata={"huggingface": "old"})), out, row_group_size=2)
    lake.bucket.put(key, out.getvalue(), "application/vnd.apache.parquet", version.metadata)
