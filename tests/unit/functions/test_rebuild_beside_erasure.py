"""A rebuild and an erasure of the same file, in each order: its erased row stays a tombstone, others are rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import map_keys.app
import rebuild_images.app
import transform.app
import unpack.app
import write_parquet.app
from imagelake.lake import object_keys
from imagelake.lake.dataset_file import is_rebuilt_by
from imagelake.lake.staging import Staging
from imagelake.run.aws import client
from imagelake.run.erasure_models import FileChanges
from imagelake.run.errors import FileChangedError
from imagelake.run.models import Batch, PlannedBatch
from parquet.table import read_made_with
from rebuild_images.statuses import Statuses
from tests.reliability.world import photo
from tests.support.factories import Context, event, item, keep_plan, plan
from tests.support.fake_lake import BUCKET, Lake
from tests.support.row_erasures import erase_rows, keep_versions, rows_of, traces
from tests.support.web_server import WebServer

GONE, OTHER, COPY = "gone", "other", "copy"
QUALITY = 40


@pytest.fixture
def closed(lake: Lake, website: WebServer) -> PlannedBatch:
    """A closed batch: an image to erase, another one, and a near duplicate of the first one."""
    keep_versions()
    lake.suppress()
    images = {GONE: photo(1), OTHER: photo(2), COPY: photo(1, quality=50)}
    items = [item(name, website.put(f"/{name}.jpg", image)) for name, image in images.items()]
    planned = keep_plan(lake, plan(*items))
    for app in (transform.app, write_parquet.app, map_keys.app):
        app.handler(event("transform", batch=planned.batch), Context())
    return planned


def unpacked(planned: PlannedBatch) -> dict[str, Any]:
    request = event("unpack", batch=planned.batch) | {"rebuild": {"encode_quality": QUALITY}}
    return dict(unpack.app.handler(request, Context()))


def batch_of(answer: dict[str, Any]) -> Batch:
    assert answer["status"] == "planned"
    return Batch.model_validate(answer["batch"])


def make_images(batch: Batch) -> None:
    rebuild_images.app.handler(event("rebuild_images", batch=batch), Context())


def write(batch: Batch) -> None:
    write_parquet.app.handler(event("write_parquet", batch=batch), Context())


def erase(lake: Lake, planned: PlannedBatch) -> None:
    """Suppress the first item, erase its row, and make the near duplicate an original."""
    gone, _, copy = (one.media_id for one in planned.items)
    lake.suppress(("media", gone))
    erase_rows(lake, "erase", FileChanges(key=object_keys.parquet(planned.batch), erase=[gone], relink={copy: None}))


def assert_is_erased_and_rebuilt(lake: Lake, planned: PlannedBatch, before: list[Any]) -> None:
    """The first row is a tombstone, and the others have new images."""
    gone, *others = rows_of(lake, planned)
    assert (gone["status"], gone["media_id"], gone["image"]) == ("erased", None, None)
    assert [(row["media_id"], row["status"], row["duplicate_of"]) for row in others] == [
        (one.media_id, "ok", None) for one in planned.items[1:]
    ]
    assert all(f'"encode_quality":{QUALITY}' in row["image_options"].replace(" ", "") for row in others)
    assert all(new["image"] != old["image"] for new, old in zip(others, before[1:], strict=True))
    version = lake.bucket.get_with_version(object_keys.parquet(planned.batch))[1]
    assert is_rebuilt_by(version, event("unpack")["run"]["run_id"])
    # No version of any object names the erased item, but for its entry, which goes last.
    assert traces(planned.items[0].media_id) == set()


def in_the_order(*steps: str) -> Callable[[Lake, PlannedBatch], None]:
    """Make a rebuild whose steps an erasure comes between; it reads the file again when it has to."""

    def run(lake: Lake, planned: PlannedBatch) -> None:
        batch = batch_of(unpacked(planned))
        for step in steps:
            if step == "erase":
                erase(lake, planned)
            else:
                {"images": make_images, "write": write}[step](batch)

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "steps", [("erase", "images"), ("images", "erase", "images"), ("images", "erase", "write")], ids="-".join
)
def test_rebuild_reads_the_file_again_if_an_erasure_comes_first(
    lake: Lake, closed: PlannedBatch, steps: tuple[str, ...]
) -> None:
    before = rows_of(lake, closed)
    assert before[2]["duplicate_of"] == closed.items[0].media_id
    with pytest.raises(FileChangedError):
        in_the_order(*steps)(lake, closed)
    assert [row["status"] for row in rows_of(lake, closed)] == ["erased", "ok", "ok"]
    again = batch_of(unpacked(closed))
    assert again.items == 2
    make_images(again)
    write(again)
    assert_is_erased_and_rebuilt(lake, closed, before)
    assert unpacked(closed)["status"] == "done"


def test_rebuild_stages_nothing_of_a_file_that_an_erasure_has_changed_meanwhile(
    lake: Lake, closed: PlannedBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that it staged now would name the erased original, and nobody would delete them."""
    # The rows of this rebuild, which began after the erasure, are those of others.
    lake.suppress(("media", closed.items[0].media_id))
    batch = batch_of(unpacked(closed))
    decide = Statuses.decide

    def decide_after_an_erasure(*arguments: Any) -> list[Any]:
        rows = decide(*arguments)
        erase(lake, closed)
        return rows

    monkeypatch.setattr(Statuses, "decide", decide_after_an_erasure)
    with pytest.raises(FileChangedError):
        make_images(batch)
    assert traces(closed.items[0].media_id) == set()


@pytest.mark.slow
def test_erasure_after_a_rebuild_keeps_what_the_rebuild_has_noted(lake: Lake, closed: PlannedBatch) -> None:
    before, key = rows_of(lake, closed), object_keys.parquet(closed.batch)
    in_the_order("images", "write", "erase")(lake, closed)
    assert_is_erased_and_rebuilt(lake, closed, before)
    (made_with,) = read_made_with(lake.bucket, key)
    assert made_with["transform_version"]
    assert unpacked(closed)["status"] == "done"
    left = client("s3").list_object_versions(Bucket=BUCKET, Prefix="work/rebuild/")
    folders = {one["Key"].split("/")[2] for one in [*left.get("Versions", []), *left.get("DeleteMarkers", [])]}
    assert folders == {"selected", "counts"}


def test_erasure_keeps_the_versions_in_staged_rows_and_in_the_file(lake: Lake, closed: PlannedBatch) -> None:
    staging, key = Staging(lake.bucket, closed.batch), object_keys.parquet(closed.batch)
    made_with, in_file = staging.read_staged().made_with, read_made_with(lake.bucket, key)
    erase(lake, closed)
    after = staging.read_staged()
    assert (after.made_with, read_made_with(lake.bucket, key)) == (made_with, in_file)
    assert in_file == [made_with]
    assert [row["status"] for row in after.rows] == ["erased", "ok", "ok"]
    # The file names the staged rows as they are now, so a step that is repeated finds its work done.
    assert after.sha256 in lake.bucket.get_with_version(key)[1].metadata["staged-sha256"].split()


@pytest.mark.slow
def test_erased_row_that_was_planned_before_the_suppression_becomes_a_tombstone(
    lake: Lake, closed: PlannedBatch
) -> None:
    """The erasure has not come to the file yet, and Write Parquet leaves out what is on the list."""
    batch = batch_of(unpacked(closed))
    make_images(batch)
    lake.suppress(("media", closed.items[0].media_id))
    write(batch)
    assert [row["status"] for row in rows_of(lake, closed)] == ["erased", "ok", "ok"]


def test_promotion_deletes_what_a_rebuild_has_made_of_the_duplicate(lake: Lake, website: WebServer) -> None:
    """The rebuilt row names the owner, and the erasure changes nothing else in its file."""
    keep_versions()
    lake.suppress()
    batches = [plan(item(one, website.put(f"/{one}.jpg", photo(1)))) for one in (GONE, COPY)]
    for planned in batches:
        keep_plan(lake, planned)
        for app in (transform.app, write_parquet.app, map_keys.app):
            app.handler(event("transform", batch=planned.batch), Context())
    gone, copy = (planned.items[0].media_id for planned in batches)
    assert rows_of(lake, batches[1])[0]["duplicate_of"] == gone
    make_images(batch_of(unpacked(batches[1])))
    lake.suppress(("item", gone))
    owner, key = (object_keys.parquet(planned.batch) for planned in batches)
    erase_rows(lake, "promote", FileChanges(key=key, promote={copy: (gone, owner)}))
    erase_rows(lake, "erase", FileChanges(key=owner, erase=[gone]))
    assert rows_of(lake, batches[1])[0]["status"] == "ok"
    assert traces(gone) == set()
